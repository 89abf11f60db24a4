/* The input is a list of frames, each a length byte and as many bytes. What parses is forwarded
 * like in a relay, emitted and parsed again: the same envelope. */
#include <stdint.h>
#include <stdlib.h>

#include "codecs/envelope.h"

enum { FRAMES_ROOM = 4096 };

static void require(bool condition)
{
    if (!condition)
        abort();
}

static size_t split(struct slice input, struct slice *frames, size_t room)
{
    size_t count = 0;
    while (input.len > 0 && count < room) {
        size_t len = (unsigned char)*input.data;
        if (len > input.len - 1)
            len = input.len - 1;
        frames[count++] = slice_of(input.data + 1, len);
        input = slice_of(input.data + 1 + len, input.len - 1 - len);
    }
    return count;
}

struct emitted {
    struct slice frames[FRAMES_ROOM];
    size_t count;
    char meta[1 + ENVELOPE_TYPE_MAX];
    bool ended;
};

static int emit(void *context, struct slice frame, bool more)
{
    struct emitted *emitted = context;
    require(!emitted->ended && emitted->count < FRAMES_ROOM);
    if (!more) {
        require(frame.len <= sizeof emitted->meta);
        memcpy(emitted->meta, frame.data, frame.len);
        frame.data = emitted->meta;
        emitted->ended = true;
    }
    emitted->frames[emitted->count++] = frame;
    return 0;
}

static void require_equal(const struct slice *a, size_t a_count, const struct slice *b,
                          size_t b_count)
{
    require(a_count == b_count);
    for (size_t i = 0; i < a_count; i++)
        require(slice_equal(a[i], b[i]));
}

static void round_trip(const struct envelope *envelope, size_t first_hop)
{
    static struct emitted emitted;
    struct envelope again;
    emitted.count = 0;
    emitted.ended = false;
    require(envelope_emit(envelope, first_hop, emit, &emitted) == 0 && emitted.ended);
    require(envelope_parse(emitted.frames, emitted.count, &again) == ENVELOPE_OK);
    require_equal(envelope->route + first_hop, envelope->route_len - first_hop, again.route,
                  again.route_len);
    require_equal(envelope->messages, envelope->message_count, again.messages, again.message_count);
    require_equal(envelope->return_route, envelope->return_route_len, again.return_route,
                  again.return_route_len);
    require(envelope->flags == again.flags && envelope->type == again.type);
    require(slice_equal(envelope->type_name, again.type_name));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct slice frames[FRAMES_ROOM];
    struct envelope envelope;
    /* The forwarded envelope may have a second separator and a hop that this one has not. */
    size_t count = split(slice_of(data, size), frames, FRAMES_ROOM - 2);
    enum envelope_error error = envelope_parse(frames, count, &envelope);
    require(envelope_error_text(error) != NULL);
    if (error != ENVELOPE_OK)
        return 0;
    round_trip(&envelope, 0);
    if (envelope.route_len > 0) {
        const struct slice own = envelope.route[0];
        round_trip(&envelope, 1);
        envelope_consume_identity(&envelope, own);
        require(envelope.route_len == 0 || !slice_equal(envelope.route[0], own));
    }
    const size_t hops = envelope.return_route_len;
    const struct slice sender = SLICE_LITERAL("V");
    if (!envelope_track(&envelope, sender))
        require(hops == ENVELOPE_ROUTE_MAX && envelope.return_route_len == hops);
    else if (envelope.flags & ENVELOPE_TRACK_ROUTE)
        require(slice_equal(envelope.return_route[0], sender));
    else
        require(envelope.return_route_len == 0);
    round_trip(&envelope, 0);
    return 0;
}
