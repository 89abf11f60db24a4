#include "base/encoding.h"

#include <stdbool.h>
#include <stdint.h>

static const char STANDARD[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char URL_SAFE[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void encode_hex(const void *bytes, size_t len, char *text)
{
    static const char DIGITS[] = "0123456789abcdef";
    const unsigned char *at = bytes;
    for (size_t i = 0; i < len; i++) {
        text[2 * i] = DIGITS[at[i] >> 4];
        text[2 * i + 1] = DIGITS[at[i] & 15];
    }
    text[2 * len] = '\0';
}

static size_t encode_groups(const void *bytes, size_t len, char *text, const char *alphabet,
                            bool padded)
{
    const unsigned char *at = bytes;
    size_t out = 0;
    for (size_t i = 0; i < len; i += 3) {
        size_t given = len - i < 3 ? len - i : 3;
        uint32_t group = (uint32_t)at[i] << 16;
        if (given > 1)
            group |= (uint32_t)at[i + 1] << 8;
        if (given > 2)
            group |= at[i + 2];
        for (size_t digit = 0; digit < 4; digit++) {
            if (digit <= given)
                text[out++] = alphabet[(group >> (18 - 6 * digit)) & 63];
            else if (padded)
                text[out++] = '=';
        }
    }
    text[out] = '\0';
    return out;
}

size_t encode_base64(const void *bytes, size_t len, char *text)
{
    return encode_groups(bytes, len, text, STANDARD, true);
}

size_t encode_base64url(const void *bytes, size_t len, char *text)
{
    return encode_groups(bytes, len, text, URL_SAFE, false);
}

static int digit_value(char c)
{
    const char *found = c ? strchr(STANDARD, c) : NULL;
    return found ? (int)(found - STANDARD) : -1;
}

long decode_base64(struct slice text, void *bytes)
{
    if (text.len % 4 != 0)
        return -1;
    size_t padding = 0;
    while (padding < 2 && padding < text.len && text.data[text.len - 1 - padding] == '=')
        padding++;
    unsigned char *out = bytes;
    size_t written = 0;
    for (size_t i = 0; i < text.len; i += 4) {
        uint32_t group = 0;
        size_t digits = i + 4 == text.len ? 4 - padding : 4;
        for (size_t digit = 0; digit < 4; digit++) {
            int value = digit < digits ? digit_value(text.data[i + digit]) : 0;
            if (value < 0)
                return -1;
            group = group << 6 | (uint32_t)value;
        }
        for (size_t byte = 0; byte + 1 < digits; byte++)
            out[written++] = (unsigned char)(group >> (16 - 8 * byte));
        /* Bits that encode nothing must be zero, or one value would have several spellings. */
        if (digits < 4 && (group & ((1u << (8 * (4 - digits))) - 1)) != 0)
            return -1;
    }
    return (long)written;
}
