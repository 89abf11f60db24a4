/* Typed values in frames: how msgserver's processes write to each other.
 *
 * A frame is a header (payload length u32, type u16, zero u16) and a payload; integers are
 * little-endian, a slice is its length (u32) and its bytes. Writers append to a buffer and return
 * 0, or -1 with errno ENOMEM. A reader that runs past the end yields zeros and turns `broken`;
 * check once, at the end, with reader_finish(). */
#ifndef MSGSERVER_CODECS_FRAME_H
#define MSGSERVER_CODECS_FRAME_H

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

struct frame_reader reader_of(struct slice payload);
size_t reader_left(const struct frame_reader *reader);
/* 0 when every byte was consumed and none was missing; else -1 with errno EPROTO. */
int reader_finish(const struct frame_reader *reader);

uint8_t get_u8(struct frame_reader *reader);
uint16_t get_u16(struct frame_reader *reader);
uint32_t get_u32(struct frame_reader *reader);
uint64_t get_u64(struct frame_reader *reader);
/* The slice points into the payload. */
struct slice get_slice(struct frame_reader *reader);

int put_u8(struct buffer *out, uint8_t value);
int put_u16(struct buffer *out, uint16_t value);
int put_u32(struct buffer *out, uint32_t value);
int put_u64(struct buffer *out, uint64_t value);
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
