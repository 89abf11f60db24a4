/* Any text is a netmask or is refused with a reason; what is accepted reads the same when it is
 * written out in full. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "codecs/netmask.h"

static void require(bool condition)
{
    if (!condition)
        abort();
}

static size_t format(char *text, size_t room, uint32_t address)
{
    return (size_t)snprintf(text, room, "%u.%u.%u.%u", address >> 24, address >> 16 & 255,
                            address >> 8 & 255, address & 255);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_of(data, size);
    struct netmask netmask, again;
    const char *why = NULL;
    uint32_t address;
    if (ipv4_parse(text, &address) == 0)
        require(netmask_parse(text, &netmask, NULL) == 0 && netmask.address == address);
    if (netmask_parse(text, &netmask, &why) != 0) {
        require(why != NULL);
        return 0;
    }
    require((netmask.address & ~netmask.mask) == 0);
    require(netmask_contains(&netmask, netmask.address));
    require(netmask_contains(&netmask, netmask.address | ~netmask.mask));
    char full[64];
    size_t len = format(full, sizeof full, netmask.address);
    require(ipv4_parse(slice_of(full, len), &address) == 0 && address == netmask.address);
    full[len++] = '/';
    len += format(full + len, sizeof full - len, netmask.mask);
    require(netmask_parse(slice_of(full, len), &again, NULL) == 0);
    require(again.address == netmask.address && again.mask == netmask.mask);
    return 0;
}
