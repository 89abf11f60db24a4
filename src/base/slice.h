/* A view of bytes that somebody else owns. */
#ifndef MSGSERVER_BASE_SLICE_H
#define MSGSERVER_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* `data` may be NULL when `len` is 0; never NUL-terminated by contract. */
struct slice {
    const char *data;
    size_t len;
};

#define SLICE_EMPTY         ((struct slice){NULL, 0})
#define SLICE_LITERAL(text) ((struct slice){"" text, sizeof(text) - 1})

static inline struct slice slice_of(const void *data, size_t len)
{
    return (struct slice){(const char *)data, len};
}

static inline struct slice slice_from_string(const char *text)
{
    return (struct slice){text, text ? strlen(text) : 0};
}

static inline bool slice_equal(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline bool slice_equals_string(struct slice a, const char *text)
{
    return slice_equal(a, slice_from_string(text));
}

static inline bool slice_starts_with(struct slice a, const char *prefix)
{
    size_t len = strlen(prefix);
    return a.len >= len && (len == 0 || memcmp(a.data, prefix, len) == 0);
}

#endif
