#include "codecs/frame.h"

#include <endian.h>
#include <errno.h>

#include "base/invariant.h"

int reader_finish(const struct frame_reader *reader)
{
    if (!reader->broken && reader->left == 0)
        return 0;
    errno = EPROTO;
    return -1;
}

struct slice get_slice(struct frame_reader *reader)
{
    uint32_t len = get_u32(reader);
    const unsigned char *at = reader_take(reader, len);
    return at ? slice_of(at, len) : SLICE_EMPTY;
}

static inline void store(void *at, uint64_t value, size_t len)
{
    value = htole64(value);
    memcpy(at, &value, len);
}

int put_slice(struct buffer *out, struct slice value)
{
    INVARIANT(value.len <= UINT32_MAX, "a slice of 4 GiB or more in a frame");
    if (put_u32(out, (uint32_t)value.len) != 0)
        return -1;
    if (buffer_append_slice(out, value) == 0)
        return 0;
    buffer_truncate(out, buffer_len(out) - 4);
    return -1;
}

int frame_begin(struct buffer *out, uint16_t type, size_t *mark)
{
    unsigned char header[FRAME_HEADER_BYTES] = {0};
    *mark = buffer_len(out);
    store(header + 4, type, 2);
    return buffer_append(out, header, sizeof header);
}

int frame_end(struct buffer *out, size_t mark, bool failed)
{
    if (failed) {
        if (buffer_len(out) > mark)
            buffer_truncate(out, mark);
        errno = ENOMEM;
        return -1;
    }
    size_t payload = buffer_len(out) - mark - FRAME_HEADER_BYTES;
    INVARIANT(payload <= UINT32_MAX, "a frame of 4 GiB or more");
    store(buffer_bytes(out) + mark, payload, 4);
    return 0;
}

long frame_parse(struct slice bytes, size_t max_payload, struct frame *frame)
{
    if (bytes.len < FRAME_HEADER_BYTES)
        return 0;
    struct frame_reader reader = reader_of(bytes);
    size_t len = get_u32(&reader);
    frame->type = get_u16(&reader);
    if (get_u16(&reader) != 0 || len > max_payload) {
        errno = EPROTO;
        return -1;
    }
    if (reader.left < len)
        return 0;
    frame->payload = slice_of(reader.at, len);
    return (long)(FRAME_HEADER_BYTES + len);
}
