#include "master/discovery/cluster_id.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "base/encoding.h"

/* MAGE's key; it makes no secret, it only keeps IDs apart from plain hashes of addresses. */
static const char DIGEST_KEY[] = "secret";
static const char LOOPBACK[] = "127.0.0.1";

__attribute__((format(printf, 3, 4))) static int refuse(char *why, size_t why_room,
                                                        const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    /* A false alarm that comes and goes with the files checked together. */
    vsnprintf(why, why_room, format, arguments); /* NOLINT(clang-analyzer-valist.Uninitialized) */
    va_end(arguments);
    return -1;
}

/* --- lists of addresses ----------------------------------------------------------------------- */

void addresses_free(struct string_list *addresses)
{
    for (size_t i = 0; i < addresses->count; i++)
        free(addresses->items[i]);
    free(addresses->items);
    *addresses = (struct string_list){0};
}

static int append_address(struct string_list *addresses, const char *address)
{
    char **items = reallocarray(addresses->items, addresses->count + 1, sizeof *items);
    if (!items)
        return -1;
    addresses->items = items;
    items[addresses->count] = strdup(address);
    if (!items[addresses->count])
        return -1;
    addresses->count++;
    return 0;
}

static bool is_ipv4(const char *text, uint32_t *address)
{
    struct in_addr parsed;
    if (inet_pton(AF_INET, text, &parsed) != 1)
        return false;
    *address = ntohl(parsed.s_addr);
    return true;
}

static bool is_loopback(const char *text)
{
    uint32_t address;
    return is_ipv4(text, &address) && address >> 24 == 127;
}

/* As Node's os.networkInterfaces(), which MAGE asks: only what is up and running. */
static bool is_announceable(const struct ifaddrs *at, const char *interface)
{
    const unsigned running = IFF_UP | IFF_RUNNING;
    if (!at->ifa_addr || at->ifa_addr->sa_family != AF_INET || (at->ifa_flags & running) != running)
        return false;
    return interface ? strcmp(at->ifa_name, interface) == 0 : !(at->ifa_flags & IFF_LOOPBACK);
}

/* The IPv4 addresses of `interface`, or with NULL of every one that is not a loopback, in the
 * system's order. */
static int system_addresses(const char *interface, struct string_list *addresses)
{
    struct ifaddrs *all;
    if (getifaddrs(&all) != 0)
        return -1;
    int result = 0;
    for (const struct ifaddrs *at = all; at && result == 0; at = at->ifa_next) {
        char text[INET_ADDRSTRLEN];
        if (!is_announceable(at, interface))
            continue;
        struct sockaddr_in in;
        memcpy(&in, at->ifa_addr, sizeof in);
        inet_ntop(AF_INET, &in.sin_addr, text, sizeof text);
        result = append_address(addresses, text);
    }
    freeifaddrs(all);
    return result;
}

/* What the configuration says about our addresses. Returns 1 when it says something, 0 when not,
 * -1 with `why`. */
static int configured_addresses(const struct settings *settings, struct string_list *addresses,
                                char *why, size_t why_room)
{
    const struct string_list *advertise = &settings->mmrp_advertise;
    for (size_t i = 0; i < advertise->count; i++) {
        uint32_t unused;
        if (!is_ipv4(advertise->items[i], &unused))
            return refuse(why, why_room, "server.mmrp.advertise: \"%s\" is not an IPv4 address",
                          advertise->items[i]);
        if (append_address(addresses, advertise->items[i]) != 0)
            return refuse(why, why_room, "out of memory");
    }
    if (advertise->count > 0)
        return 1;
    if (!is_loopback(settings->mmrp_host))
        return 0;
    if (append_address(addresses, settings->mmrp_host) != 0)
        return refuse(why, why_room, "out of memory");
    return 1;
}

static int find_addresses(const struct settings *settings, const char *interface,
                          struct string_list *addresses, char *why, size_t why_room)
{
    int configured = configured_addresses(settings, addresses, why, why_room);
    if (configured != 0)
        return configured > 0 ? 0 : -1;
    if (system_addresses(interface, addresses) != 0)
        return refuse(why, why_room, "cannot list the addresses of this host: %s", strerror(errno));
    if (addresses->count > 0)
        return 0;
    if (interface)
        return refuse(why, why_room,
                      "server.serviceDiscovery.options.interface: \"%s\" has no IPv4 address",
                      interface);
    if (append_address(addresses, LOOPBACK) != 0)
        return refuse(why, why_room, "out of memory");
    return 0;
}

int announced_addresses(const struct settings *settings, struct string_list *addresses, char *why,
                        size_t why_room)
{
    *addresses = (struct string_list){0};
    if (find_addresses(settings, settings->discovery_interface, addresses, why, why_room) == 0)
        return 0;
    addresses_free(addresses);
    return -1;
}

/* --- the digest ------------------------------------------------------------------------------- */

static int compare_strings(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int cluster_host_digest(const struct string_list *addresses, char host[CLUSTER_HOST_ROOM])
{
    struct buffer message = {0};
    char **sorted = calloc(addresses->count + 1, sizeof *sorted);
    int result = sorted ? 0 : -1;
    if (sorted && addresses->count > 0) {
        memcpy(sorted, addresses->items, addresses->count * sizeof *sorted);
        qsort(sorted, addresses->count, sizeof *sorted, compare_strings);
    }
    for (size_t i = 0; i < addresses->count && result == 0; i++)
        result = buffer_append_string(&message, sorted[i]);
    free(sorted);

    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned digest_len;
    const void *bytes = buffer_len(&message) > 0 ? buffer_bytes(&message) : "";
    if (result == 0 && HMAC(EVP_sha256(), DIGEST_KEY, sizeof DIGEST_KEY - 1, bytes,
                            buffer_len(&message), digest, &digest_len)) {
        encode_hex(digest, CLUSTER_HOST_DIGITS / 2, host);
    } else {
        errno = ENOMEM;
        result = -1;
    }
    buffer_free(&message);
    return result;
}

/* --- this host's name ------------------------------------------------------------------------- */

static bool is_port(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    return digits > 0 && digits <= 5 && text[digits] == '\0';
}

static int split_cluster_id(const char *id, const char *bind_port, char host[CLUSTER_HOST_ROOM],
                            char *why, size_t why_room)
{
    static const char NAME_CHARACTERS[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    size_t len = strspn(id, NAME_CHARACTERS);
    if (len == 0 || id[len] != ':' || !is_port(id + len + 1))
        return refuse(why, why_room,
                      "server.mmrp.clusterId: \"%s\" is not a name of letters, digits, '-' and "
                      "'_', a colon and a port",
                      id);
    if (len >= CLUSTER_HOST_ROOM)
        return refuse(why, why_room, "server.mmrp.clusterId: the name is longer than %d characters",
                      CLUSTER_HOST_ROOM - 1);
    if (bind_port && is_port(bind_port) && strcmp(bind_port, id + len + 1) != 0)
        return refuse(why, why_room,
                      "server.mmrp.clusterId: its port %s is not server.mmrp.bind.port, which is "
                      "%s",
                      id + len + 1, bind_port);
    memcpy(host, id, len);
    host[len] = '\0';
    return 0;
}

int cluster_host_of(const struct settings *settings, char host[CLUSTER_HOST_ROOM], char *why,
                    size_t why_room)
{
    if (settings->mmrp_cluster_id)
        return split_cluster_id(settings->mmrp_cluster_id, settings->mmrp_port, host, why,
                                why_room);
    struct string_list addresses = {0};
    int result = find_addresses(settings, NULL, &addresses, why, why_room);
    if (result == 0 && cluster_host_digest(&addresses, host) != 0)
        result = refuse(why, why_room, "out of memory");
    addresses_free(&addresses);
    return result;
}
