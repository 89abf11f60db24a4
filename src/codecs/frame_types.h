/* Turns the frame tables into structures and functions.
 *
 * A table lists FRAME (NAME, name, direction, max_payload, text) rows, and for each row a list
 * FIELDS_<NAME> (F) of F (type, member), where type is u8, u16, u32, u64 or slice. From a row come
 *   struct frame_<name>                                              its fields; slices are views
 *   int put_<name>_fields (struct buffer *, const struct frame_<name> *)   the payload alone
 *   int put_<name> (struct buffer *, const struct frame_<name> *)    header and payload
 *   int get_<name> (struct slice payload, struct frame_<name> *)     0, or -1 with errno EPROTO
 * put_* return 0, or -1 with errno ENOMEM and the buffer as it was. */
#ifndef MSGSERVER_CODECS_FRAME_TYPES_H
#define MSGSERVER_CODECS_FRAME_TYPES_H

#include "codecs/frame.h"

typedef uint8_t frame_u8;
typedef uint16_t frame_u16;
typedef uint32_t frame_u32;
typedef uint64_t frame_u64;
typedef struct slice frame_slice;

#define FRAME_MEMBER(type, member) frame_##type member;
#define FRAME_PUT(type, member)    failed = failed || put_##type(out, fields->member) != 0;
#define FRAME_GET(type, member)    fields->member = get_##type(&reader);

#define FRAME_DECLARE(NAME, name, direction, max_payload, text)                                    \
    struct frame_##name {                                                                          \
        FIELDS_##NAME(FRAME_MEMBER)                                                                \
    };                                                                                             \
    int put_##name##_fields(struct buffer *out, const struct frame_##name *fields);                \
    int put_##name(struct buffer *out, const struct frame_##name *fields);                         \
    int get_##name(struct slice payload, struct frame_##name *fields);

#define FRAME_DEFINE(NAME, name, direction, max_payload, text)                                     \
    int put_##name##_fields(struct buffer *out, const struct frame_##name *fields)                 \
    {                                                                                              \
        size_t mark = buffer_len(out);                                                             \
        bool failed = false;                                                                       \
        (void)fields; /* there may be none */                                                      \
        FIELDS_##NAME(FRAME_PUT) if (failed)                                                       \
        {                                                                                          \
            buffer_truncate(out, mark);                                                            \
            return -1;                                                                             \
        }                                                                                          \
        return 0;                                                                                  \
    }                                                                                              \
    int put_##name(struct buffer *out, const struct frame_##name *fields)                          \
    {                                                                                              \
        size_t mark;                                                                               \
        bool failed =                                                                              \
            frame_begin(out, FRAME_##NAME, &mark) != 0 || put_##name##_fields(out, fields) != 0;   \
        return frame_end(out, mark, failed);                                                       \
    }                                                                                              \
    int get_##name(struct slice payload, struct frame_##name *fields)                              \
    {                                                                                              \
        struct frame_reader reader = reader_of(payload);                                           \
        (void)fields;                                                                              \
        FIELDS_##NAME(FRAME_GET) return reader_finish(&reader);                                    \
    }

#define FRAME_ENUM(NAME, name, direction, max_payload, text) FRAME_##NAME,

/* What a table says of one type, for checks and for tests. */
struct frame_rule {
    const char *name;
    int direction;
    size_t max_payload;
};

#define FRAME_RULE(NAME, name, direction, max_payload, text)                                       \
    [FRAME_##NAME] = {#name, direction, max_payload},

#endif
