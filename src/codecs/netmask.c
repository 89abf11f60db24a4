#include "codecs/netmask.h"

#include <errno.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Reads a decimal number up to `max`, without leading zeros, off the front of `text`. */
static bool take_number(struct slice *text, uint32_t max, uint32_t *number)
{
    size_t digits = 0;
    *number = 0;
    while (digits < text->len && is_digit(text->data[digits])) {
        *number = *number * 10 + (uint32_t)(text->data[digits++] - '0');
        if (*number > max)
            return false;
    }
    if (digits == 0 || (digits > 1 && *text->data == '0'))
        return false;
    *text = slice_of(text->data + digits, text->len - digits);
    return true;
}

/* One to four bytes parted by dots and nothing else. Returns how many, or 0; the missing ones are
 * zero in `address`. */
static unsigned parse_bytes(struct slice text, uint32_t *address)
{
    unsigned count = 0;
    *address = 0;
    for (;;) {
        uint32_t byte;
        if (count == 4 || !take_number(&text, 255, &byte))
            return 0;
        *address |= byte << (8 * (3 - count++));
        if (text.len == 0)
            return count;
        if (*text.data != '.')
            return 0;
        text = slice_of(text.data + 1, text.len - 1);
    }
}

static uint32_t mask_of(uint32_t bits)
{
    return bits == 0 ? 0 : UINT32_MAX << (32 - bits);
}

static bool is_contiguous(uint32_t mask)
{
    return (~mask & (~mask + 1)) == 0;
}

/* What follows the slash. Returns NULL, or what is wrong with it. */
static const char *parse_mask(struct slice text, uint32_t *mask)
{
    uint32_t bits;
    if (text.len > 0 && memchr(text.data, '.', text.len)) {
        if (parse_bytes(text, mask) != 4)
            return "a dotted mask needs four bytes";
        return is_contiguous(*mask) ? NULL : "the ones of a mask must be at its start";
    }
    if (!take_number(&text, 32, &bits) || text.len > 0)
        return "a mask is a number from 0 to 32 or four bytes";
    *mask = mask_of(bits);
    return NULL;
}

int netmask_parse(struct slice text, struct netmask *netmask, const char **why)
{
    const char *slash = text.len > 0 ? memchr(text.data, '/', text.len) : NULL;
    struct slice address = slash ? slice_of(text.data, (size_t)(slash - text.data)) : text;
    const char *wrong = NULL;
    unsigned bytes = parse_bytes(address, &netmask->address);
    if (bytes == 0)
        wrong = "an address is one to four numbers from 0 to 255, without leading zeros";
    else if (slash)
        wrong = parse_mask(slice_of(slash + 1, text.len - address.len - 1), &netmask->mask);
    else
        netmask->mask = mask_of(8 * bytes);
    if (wrong) {
        if (why)
            *why = wrong;
        errno = EINVAL;
        return -1;
    }
    netmask->address &= netmask->mask;
    return 0;
}

bool netmask_contains(const struct netmask *netmask, uint32_t address)
{
    return (address & netmask->mask) == netmask->address;
}

int ipv4_parse(struct slice text, uint32_t *address)
{
    if (parse_bytes(text, address) == 4)
        return 0;
    errno = EINVAL;
    return -1;
}
