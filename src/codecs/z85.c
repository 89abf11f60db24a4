#include "codecs/z85.h"

#include <stdint.h>

#include "base/invariant.h"

enum { BASE = 85, GROUP_BYTES = 4, GROUP_CHARS = 5 };

static const char ALPHABET[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                               ".-:+=^!/*?&<>()[]{}@%$#";

void z85_encode(const void *bytes, size_t len, char *text)
{
    const unsigned char *from = bytes;
    INVARIANT(len % GROUP_BYTES == 0, "Z85 of a broken group");
    for (size_t i = 0; i < len; i += GROUP_BYTES) {
        uint32_t value = (uint32_t)from[i] << 24 | (uint32_t)from[i + 1] << 16 |
                         (uint32_t)from[i + 2] << 8 | from[i + 3];
        for (int k = GROUP_CHARS - 1; k >= 0; k--) {
            text[k] = ALPHABET[value % BASE];
            value /= BASE;
        }
        text += GROUP_CHARS;
    }
    *text = '\0';
}

long z85_decode(struct slice text, void *bytes)
{
    unsigned char *to = bytes;
    if (text.len % GROUP_CHARS != 0)
        return -1;
    for (size_t i = 0; i < text.len; i += GROUP_CHARS) {
        uint64_t value = 0;
        for (size_t k = i; k < i + GROUP_CHARS; k++) {
            const char *at = memchr(ALPHABET, text.data[k], sizeof ALPHABET - 1);
            if (!at)
                return -1;
            value = value * BASE + (uint64_t)(at - ALPHABET);
        }
        if (value > UINT32_MAX)
            return -1;
        for (int shift = 24; shift >= 0; shift -= 8)
            *to++ = (unsigned char)(value >> shift);
    }
    return (long)(text.len / GROUP_CHARS * GROUP_BYTES);
}
