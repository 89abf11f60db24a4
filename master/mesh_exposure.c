#include "master/mesh_exposure.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <string.h>

#include "base/log.h"
#include "codecs/netmask.h"

static const struct netmask PRIVATE_NETWORKS[] = {
    {0x0a000000, 0xff000000}, /* 10.0.0.0/8 */
    {0x7f000000, 0xff000000}, /* 127.0.0.0/8 */
    {0xac100000, 0xfff00000}, /* 172.16.0.0/12 */
    {0xc0a80000, 0xffff0000}, /* 192.168.0.0/16 */
    {0xa9fe0000, 0xffff0000}, /* 169.254.0.0/16 */
    {0x64400000, 0xffc00000}, /* 100.64.0.0/10, RFC 6598 */
};

bool address_is_private(uint32_t address)
{
    for (size_t i = 0; i < sizeof PRIVATE_NETWORKS / sizeof *PRIVATE_NETWORKS; i++)
        if (netmask_contains(&PRIVATE_NETWORKS[i], address))
            return true;
    return false;
}

/* Any address of this host that is not private, or 0. */
static uint32_t find_public_address(void)
{
    struct ifaddrs *all;
    uint32_t found = 0;
    if (getifaddrs(&all) != 0)
        return 0;
    for (const struct ifaddrs *at = all; at && !found; at = at->ifa_next) {
        struct sockaddr_in in;
        if (!at->ifa_addr || at->ifa_addr->sa_family != AF_INET)
            continue;
        memcpy(&in, at->ifa_addr, sizeof in);
        if (!address_is_private(ntohl(in.sin_addr.s_addr)))
            found = ntohl(in.sin_addr.s_addr);
    }
    freeifaddrs(all);
    return found;
}

void mesh_exposure_warn(const struct settings *settings)
{
    uint32_t address = 0;
    if (!settings->mmrp_port || settings->mesh_public_key)
        return;
    if (strcmp(settings->mmrp_host, "*") == 0)
        address = find_public_address();
    else if (ipv4_parse(slice_from_string(settings->mmrp_host), &address) != 0 ||
             address_is_private(address))
        address = 0;
    if (address)
        LOG_WARNING("mesh-unprotected",
                    "address=%u.%u.%u.%u why=\"MMRP listens on an address that is not private, "
                    "without encryption: whoever reaches it can read and send messages\" "
                    "hint=\"bind server.mmrp.bind.host to a private address, or set "
                    "server.mmrp.curve.keyFile and peersFile (docs/mesh-encryption.md)\"",
                    address >> 24, address >> 16 & 255, address >> 8 & 255, address & 255);
}
