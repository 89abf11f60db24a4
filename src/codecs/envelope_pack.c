#include "codecs/envelope_pack.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>

#include "base/invariant.h"

enum { LONG_NUMBER = 255, LONG_NUMBER_BYTES = 1 + 4, FIRST_ROOM = 32 };

/* --- writing --------------------------------------------------------------------------------- */

static size_t number_len(size_t number)
{
    return number < LONG_NUMBER ? 1 : LONG_NUMBER_BYTES;
}

static char *put_number(char *at, size_t number)
{
    if (number < LONG_NUMBER) {
        *at = (char)number;
        return at + 1;
    }
    INVARIANT(number <= UINT32_MAX, "a frame of 4 GiB or more");
    uint32_t little = htole32((uint32_t)number);
    *at = (char)LONG_NUMBER;
    memcpy(at + 1, &little, sizeof little);
    return at + LONG_NUMBER_BYTES;
}

struct measure {
    size_t frames;
    size_t bytes;
};

static int measure_frame(void *context, struct slice frame, bool more)
{
    struct measure *measure = context;
    (void)more;
    measure->frames++;
    measure->bytes += number_len(frame.len) + frame.len;
    return 0;
}

static struct measure measure_envelope(const struct envelope *envelope, size_t first_hop)
{
    struct measure measure = {0};
    envelope_emit(envelope, first_hop, measure_frame, &measure);
    measure.bytes += number_len(measure.frames);
    return measure;
}

size_t envelope_pack_len(const struct envelope *envelope, size_t first_hop)
{
    return measure_envelope(envelope, first_hop).bytes;
}

static int put_frame(void *context, struct slice frame, bool more)
{
    char **at = context;
    (void)more;
    *at = put_number(*at, frame.len);
    if (frame.len > 0)
        memcpy(*at, frame.data, frame.len);
    *at += frame.len;
    return 0;
}

int envelope_pack_put(struct buffer *pack, const struct envelope *envelope, size_t first_hop)
{
    struct measure measure = measure_envelope(envelope, first_hop);
    char *at = buffer_reserve(pack, measure.bytes);
    if (!at)
        return -1;
    at = put_number(at, measure.frames);
    envelope_emit(envelope, first_hop, put_frame, &at);
    buffer_added(pack, measure.bytes);
    return 0;
}

/* --- reading --------------------------------------------------------------------------------- */

static bool take_number(struct slice *pack, size_t *number)
{
    if (pack->len == 0)
        return false;
    uint32_t value = (unsigned char)*pack->data;
    size_t len = number_len(value);
    if (pack->len < len)
        return false;
    if (len == LONG_NUMBER_BYTES) {
        memcpy(&value, pack->data + 1, sizeof value);
        value = le32toh(value);
    }
    *number = value;
    *pack = slice_of(pack->data + len, pack->len - len);
    return true;
}

static bool take_frame(struct slice *pack, struct slice *frame)
{
    size_t len;
    if (!take_number(pack, &len) || pack->len < len)
        return false;
    *frame = slice_of(pack->data, len);
    *pack = slice_of(pack->data + len, pack->len - len);
    return true;
}

static int make_room(struct frame_list *list, size_t count)
{
    if (count <= list->room)
        return 0;
    size_t room = count > FIRST_ROOM ? count : FIRST_ROOM;
    struct slice *frames = reallocarray(list->frames, room, sizeof *frames);
    if (!frames)
        return -1;
    list->frames = frames;
    list->room = room;
    return 0;
}

int envelope_pack_take(struct slice *pack, struct frame_list *list)
{
    size_t count;
    list->count = 0;
    if (pack->len == 0)
        return 0;
    errno = EPROTO;
    /* A frame takes a byte at least, so a number that lies makes us allocate no more than came. */
    if (!take_number(pack, &count) || count == 0 || count > ENVELOPE_FRAMES_MAX ||
        count > pack->len)
        return -1;
    if (make_room(list, count) != 0)
        return -1;
    for (; list->count < count; list->count++)
        if (!take_frame(pack, &list->frames[list->count])) {
            errno = EPROTO;
            return -1;
        }
    return 1;
}

void frame_list_free(struct frame_list *list)
{
    free(list->frames);
    *list = (struct frame_list){0};
}
