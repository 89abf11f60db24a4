/* Classes of bytes in HTTP heads and trailers (RFC 9110 section 5.6.2, RFC 9112 sections 3 and 5).
 */
#ifndef MSGSERVER_CODECS_HTTP_CHARS_H
#define MSGSERVER_CODECS_HTTP_CHARS_H

#include <stdbool.h>

#include "base/slice.h"

static inline bool http_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline char http_to_lower(char c)
{
    if (c >= 'A' && c <= 'Z')
        c = (char)(c - 'A' + 'a');
    return c;
}

static inline bool http_is_alphanumeric(char c)
{
    return http_is_digit(c) || (http_to_lower(c) >= 'a' && http_to_lower(c) <= 'z');
}

/* A tchar: what methods and field names consist of. */
static inline bool http_is_token_char(char c)
{
    return http_is_alphanumeric(c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static inline bool http_is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Field values: visible ASCII, blanks, and obs-text (any byte above ASCII). */
static inline bool http_is_value_char(char c)
{
    unsigned char byte = (unsigned char)c;
    return (byte >= 0x20 && byte != 0x7f) || c == '\t';
}

/* The value of a hexadecimal digit, or -1. */
static inline int http_hex_value(char c)
{
    if (http_is_digit(c))
        return c - '0';
    c = http_to_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static inline bool http_equals_lower(struct slice text, const char *lower)
{
    if (text.len != strlen(lower))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (http_to_lower(text.data[i]) != lower[i])
            return false;
    }
    return true;
}

#endif
