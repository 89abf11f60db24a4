#include "base/buffer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/invariant.h"
#include "base/units.h"

enum { SMALLEST_CAPACITY = 256 };

static void slide_to_front(struct buffer *b)
{
    if (b->start == 0)
        return;
    memmove(b->data, b->data + b->start, buffer_len(b));
    b->end -= b->start;
    b->start = 0;
}

char *buffer_grow(struct buffer *b, size_t room)
{
    if (room > UINT32_MAX - buffer_len(b)) {
        errno = ENOMEM;
        return NULL;
    }
    size_t needed = buffer_len(b) + room;
    /* Sliding is only worth its copy when at least half of the allocation is consumed space. */
    if (b->data && needed <= b->capacity &&
        (b->start >= b->capacity / 2 || b->capacity == UINT32_MAX)) {
        slide_to_front(b);
        return b->data + b->end;
    }
    size_t capacity = b->capacity ? b->capacity : SMALLEST_CAPACITY;
    while (capacity < needed || capacity == b->capacity)
        capacity = capacity > UINT32_MAX / 2 ? UINT32_MAX : capacity * 2;
    char *data = realloc(b->data, capacity);
    if (!data)
        return NULL;
    b->data = data;
    b->capacity = (uint32_t)capacity;
    slide_to_front(b);
    return b->data + b->end;
}

void buffer_added(struct buffer *b, size_t len)
{
    INVARIANT(b->capacity - b->end >= len, "more bytes added to a buffer than were reserved");
    b->end += (uint32_t)len;
}

int buffer_append_u64(struct buffer *b, uint64_t decimal)
{
    char digits[U64_DIGITS_MAX];
    return buffer_append(b, digits, write_u64(digits, decimal));
}

int buffer_printf(struct buffer *b, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    INVARIANT(len >= 0, "a format string that cannot be printed");
    /* vsnprintf ends with a NUL byte, for which room is made but which is not kept. */
    char *room = buffer_reserve(b, (size_t)len + 1);
    if (!room)
        return -1;
    va_start(arguments, format);
    vsnprintf(room, (size_t)len + 1, format, arguments);
    va_end(arguments);
    b->end += (uint32_t)len;
    return 0;
}

void buffer_consume(struct buffer *b, size_t len)
{
    INVARIANT(len <= buffer_len(b), "more bytes consumed than a buffer holds");
    b->start += (uint32_t)len;
    if (b->start == b->end)
        buffer_free(b);
}

void buffer_truncate(struct buffer *b, size_t len)
{
    INVARIANT(len <= buffer_len(b), "a buffer cannot be truncated to more than it holds");
    b->end = b->start + (uint32_t)len;
    if (len == 0)
        buffer_free(b);
}

void buffer_free(struct buffer *b)
{
    free(b->data);
    *b = (struct buffer){0};
}
