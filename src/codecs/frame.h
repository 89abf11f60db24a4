/* Typed values in frames: how msgserver's processes write to each other.
 *
 * A frame is a header (payload length u32, type u16, zero u16) and a payload; integers are
 * little-endian, a slice is its length (u32) and its bytes. Writers append to a buffer and return
 * 0, or -1 with errno ENOMEM. A reader that runs past the end yields zeros and turns `broken`;
 * check once, at the end, with reader_finish(). */
#ifndef MSGSERVER_CODECS_FRAME_H
#define MSGSERVER_CODECS_FRAME_H

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/slice.h"

enum { FRAME_HEADER_BYTES = 8 };

struct frame_reader {
    const unsigned char *at;
    size_t left;
    bool broken;
};

static inline struct frame_reader reader_of(struct slice payload)
{
    return (struct frame_reader){(const unsigned char *)payload.data, payload.len, false};
}
static inline size_t reader_left(const struct frame_reader *reader)
{
    return reader->broken ? 0 : reader->left;
}
/* 0 when every byte was consumed and none was missing; else -1 with errno EPROTO. */
int reader_finish(const struct frame_reader *reader);

/* Numbers are inline, so that one is an instruction or two: lists of them have thousands. */
static inline const unsigned char *reader_take(struct frame_reader *reader, size_t len)
{
    if (reader->broken || reader->left < len) {
        reader->broken = true;
        return NULL;
    }
    const unsigned char *at = reader->at;
    reader->at += len;
    reader->left -= len;
    return at;
}

static inline uint64_t get_number(struct frame_reader *reader, size_t len)
{
    uint64_t value = 0;
    const unsigned char *at = reader_take(reader, len);
    if (at)
        memcpy(&value, at, len);
    return le64toh(value);
}

static inline uint8_t get_u8(struct frame_reader *reader)
{
    return (uint8_t)get_number(reader, 1);
}
static inline uint16_t get_u16(struct frame_reader *reader)
{
    return (uint16_t)get_number(reader, 2);
}
static inline uint32_t get_u32(struct frame_reader *reader)
{
    return (uint32_t)get_number(reader, 4);
}
static inline uint64_t get_u64(struct frame_reader *reader)
{
    return get_number(reader, 8);
}
/* The slice points into the payload. */
struct slice get_slice(struct frame_reader *reader);

static inline int put_number(struct buffer *out, uint64_t value, size_t len)
{
    value = htole64(value);
    return buffer_append(out, &value, len);
}

static inline int put_u8(struct buffer *out, uint8_t value)
{
    return put_number(out, value, 1);
}
static inline int put_u16(struct buffer *out, uint16_t value)
{
    return put_number(out, value, 2);
}
static inline int put_u32(struct buffer *out, uint32_t value)
{
    return put_number(out, value, 4);
}
static inline int put_u64(struct buffer *out, uint64_t value)
{
    return put_number(out, value, 8);
}
int put_slice(struct buffer *out, struct slice value);

/* frame_begin() appends a header whose length frame_end() fills in; `*mark` is for frame_end().
 * frame_end() with `failed` set takes the whole frame back, and returns -1 with errno ENOMEM. */
int frame_begin(struct buffer *out, uint16_t type, size_t *mark);
int frame_end(struct buffer *out, size_t mark, bool failed);

struct frame {
    uint16_t type;
    struct slice payload; /* points into the bytes given to frame_parse() */
};

/* Looks for a whole frame at the front of `bytes`. Returns its total length, 0 when more bytes are
 * needed, or -1 with errno EPROTO: a broken header, or a payload above `max_payload`. */
long frame_parse(struct slice bytes, size_t max_payload, struct frame *frame);

#endif
