/* A growable run of bytes: appended at the end, consumed at the front. */
#ifndef MSGSERVER_BASE_BUFFER_H
#define MSGSERVER_BASE_BUFFER_H

#include <stdarg.h>
#include <stdint.h>

#include "base/slice.h"

/* All-zero is a valid empty buffer that holds no memory. Every connection has two: 32 bits are
 * enough, and more than 4 GiB are refused like a lack of memory. */
struct buffer {
    char *data;     /* start of the allocation */
    uint32_t start; /* first unconsumed byte */
    uint32_t end;   /* one past the last byte */
    uint32_t capacity;
};

static inline size_t buffer_len(const struct buffer *b)
{
    return b->end - b->start;
}

/* NULL only while the buffer is empty and holds no memory. */
static inline char *buffer_bytes(const struct buffer *b)
{
    return b->data ? b->data + b->start : NULL;
}

static inline struct slice buffer_slice(const struct buffer *b)
{
    return slice_of(buffer_bytes(b), buffer_len(b));
}

/* For buffer_reserve(), when there is not enough room yet. */
char *buffer_grow(struct buffer *b, size_t room);

/* Makes room for `room` more bytes. Returns where they go, or NULL with errno ENOMEM; the contents
 * are untouched in either case. After writing n bytes there, call buffer_added (b, n). */
static inline char *buffer_reserve(struct buffer *b, size_t room)
{
    return b->data && b->capacity - b->end >= room ? b->data + b->end : buffer_grow(b, room);
}
void buffer_added(struct buffer *b, size_t len);

/* Return 0, or -1 with errno ENOMEM and the buffer as it was. Inline, so that what is of known
 * length takes few instructions: everything that is written to anyone goes through these. */
static inline int buffer_append(struct buffer *b, const void *data, size_t len)
{
    if (len == 0)
        return 0;
    char *room = buffer_reserve(b, len);
    if (!room)
        return -1;
    /* The analyzer does not know that a slice of some bytes has an address. */
    memcpy(room, data, len); // NOLINT(*-core.NonNullParamChecker)
    b->end += (uint32_t)len;
    return 0;
}
static inline int buffer_append_slice(struct buffer *b, struct slice s)
{
    return buffer_append(b, s.data, s.len);
}
static inline int buffer_append_string(struct buffer *b, const char *text)
{
    return buffer_append(b, text, strlen(text));
}
int buffer_append_u64(struct buffer *b, uint64_t decimal);
int buffer_printf(struct buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Drops `len` bytes from the front; gives the memory back when nothing is left. */
void buffer_consume(struct buffer *b, size_t len);

/* Cuts the buffer back to `len` bytes, to undo an append; gives the memory back when that is 0. */
void buffer_truncate(struct buffer *b, size_t len);

/* Empties the buffer and keeps its memory, for what is filled again and again. */
static inline void buffer_clear(struct buffer *b)
{
    b->start = b->end = 0;
}

/* Empties the buffer and frees its memory. */
void buffer_free(struct buffer *b);

#endif
