#include "codecs/envelope.h"

#include "base/invariant.h"

#define TYPE_NAME(NAME, text) [ENVELOPE_##NAME] = SLICE_LITERAL(text),
static const struct slice TYPE_NAMES[ENVELOPE_TYPE_COUNT] = {
    [ENVELOPE_UNKNOWN] = SLICE_LITERAL("unknown"), ENVELOPE_TYPES(TYPE_NAME)};

const char *envelope_type_name(enum envelope_type type)
{
    return TYPE_NAMES[type].data;
}

static enum envelope_type type_of(struct slice name)
{
    for (int type = ENVELOPE_UNKNOWN + 1; type < ENVELOPE_TYPE_COUNT; type++)
        if (slice_equal(TYPE_NAMES[type], name))
            return (enum envelope_type)type;
    return ENVELOPE_UNKNOWN;
}

static const char *const ERROR_TEXTS[ENVELOPE_ERRORS] = {
    [ENVELOPE_OK] = "no error",
    [ENVELOPE_TOO_MANY_FRAMES] = "too many frames",
    [ENVELOPE_NO_SEPARATOR] = "no empty frame after the route",
    [ENVELOPE_NO_META] = "the last frame does not hold flags and a type",
    [ENVELOPE_TYPE_TOO_LONG] = "the type's name is too long",
    [ENVELOPE_ROUTE_TOO_LONG] = "a route is too long",
    [ENVELOPE_HOP_TOO_LONG] = "an entry of a route is too long",
    [ENVELOPE_EMPTY_HOP] = "an empty frame in the return route",
};

const char *envelope_error_text(enum envelope_error error)
{
    return ERROR_TEXTS[error];
}

static size_t count_to_empty(const struct slice *frames, size_t count)
{
    size_t i = 0;
    while (i < count && frames[i].len > 0)
        i++;
    return i;
}

static enum envelope_error copy_route(const struct slice *frames, size_t count,
                                      struct slice route[ENVELOPE_ROUTE_MAX])
{
    if (count > ENVELOPE_ROUTE_MAX)
        return ENVELOPE_ROUTE_TOO_LONG;
    for (size_t i = 0; i < count; i++) {
        if (frames[i].len > ENVELOPE_HOP_MAX)
            return ENVELOPE_HOP_TOO_LONG;
        route[i] = frames[i];
    }
    return ENVELOPE_OK;
}

static enum envelope_error parse_meta(struct slice meta, struct envelope *envelope)
{
    if (meta.len < 2)
        return ENVELOPE_NO_META;
    envelope->flags = (uint8_t)*meta.data;
    envelope->type_name = slice_of(meta.data + 1, meta.len - 1);
    if (envelope->type_name.len > ENVELOPE_TYPE_MAX)
        return ENVELOPE_TYPE_TOO_LONG;
    envelope->type = type_of(envelope->type_name);
    return ENVELOPE_OK;
}

static enum envelope_error parse_return_route(const struct slice *frames, size_t count,
                                              struct envelope *envelope)
{
    if (count > ENVELOPE_ROUTE_MAX)
        return ENVELOPE_ROUTE_TOO_LONG;
    if (count_to_empty(frames, count) < count)
        return ENVELOPE_EMPTY_HOP;
    if (!(envelope->flags & ENVELOPE_TRACK_ROUTE))
        return ENVELOPE_OK;
    enum envelope_error error = copy_route(frames, count, envelope->return_route);
    envelope->return_route_len = error == ENVELOPE_OK ? count : 0;
    return error;
}

enum envelope_error envelope_parse(const struct slice *frames, size_t count,
                                   struct envelope *envelope)
{
    envelope->route_len = envelope->return_route_len = 0;
    if (count > ENVELOPE_FRAMES_MAX)
        return ENVELOPE_TOO_MANY_FRAMES;
    if (count == 0)
        return ENVELOPE_NO_META;
    enum envelope_error error = parse_meta(frames[--count], envelope);
    if (error != ENVELOPE_OK)
        return error;

    const size_t route_len = count_to_empty(frames, count);
    if (route_len == count)
        return ENVELOPE_NO_SEPARATOR;
    error = copy_route(frames, route_len, envelope->route);
    if (error != ENVELOPE_OK)
        return error;
    envelope->route_len = route_len;

    envelope->messages = frames + route_len + 1;
    count -= route_len + 1;
    envelope->message_count = count_to_empty(envelope->messages, count);
    if (envelope->message_count == count)
        return ENVELOPE_OK;
    return parse_return_route(envelope->messages + envelope->message_count + 1,
                              count - envelope->message_count - 1, envelope);
}

void envelope_consume_identity(struct envelope *envelope, struct slice identity)
{
    size_t copies = 0;
    while (copies < envelope->route_len && slice_equal(envelope->route[copies], identity))
        copies++;
    envelope->route_len -= copies;
    memmove(envelope->route, envelope->route + copies,
            envelope->route_len * sizeof *envelope->route);
}

bool envelope_track(struct envelope *envelope, struct slice identity)
{
    if (!(envelope->flags & ENVELOPE_TRACK_ROUTE))
        return true;
    if (envelope->return_route_len > 0 && slice_equal(envelope->return_route[0], identity))
        return true;
    if (envelope->return_route_len == ENVELOPE_ROUTE_MAX)
        return false;
    memmove(envelope->return_route + 1, envelope->return_route,
            envelope->return_route_len++ * sizeof *envelope->return_route);
    envelope->return_route[0] = identity;
    return true;
}

struct emitter {
    int (*emit)(void *context, struct slice frame, bool more);
    void *context;
};

static int emit_all(const struct emitter *emitter, const struct slice *frames, size_t count)
{
    int stopped = 0;
    for (size_t i = 0; i < count && stopped == 0; i++)
        stopped = emitter->emit(emitter->context, frames[i], true);
    return stopped;
}

static int emit_meta(const struct emitter *emitter, const struct envelope *envelope)
{
    struct slice name =
        envelope->type == ENVELOPE_UNKNOWN ? envelope->type_name : TYPE_NAMES[envelope->type];
    INVARIANT(name.len >= 1 && name.len <= ENVELOPE_TYPE_MAX, "an envelope without a type");
    char meta[1 + ENVELOPE_TYPE_MAX];
    meta[0] = (char)envelope->flags;
    memcpy(meta + 1, name.data, name.len);
    return emitter->emit(emitter->context, slice_of(meta, 1 + name.len), false);
}

int envelope_emit(const struct envelope *envelope, size_t first_hop,
                  int (*emit)(void *context, struct slice frame, bool more), void *context)
{
    INVARIANT(first_hop <= envelope->route_len, "an envelope is sent from beyond its route");
    const struct emitter emitter = {emit, context};
    const struct slice separator = SLICE_EMPTY;
    int stopped = emit_all(&emitter, envelope->route + first_hop, envelope->route_len - first_hop);
    if (stopped == 0)
        stopped = emit_all(&emitter, &separator, 1);
    if (stopped == 0)
        stopped = emit_all(&emitter, envelope->messages, envelope->message_count);
    if (stopped == 0)
        stopped = emit_all(&emitter, &separator, 1);
    if (stopped == 0)
        stopped = emit_all(&emitter, envelope->return_route, envelope->return_route_len);
    return stopped == 0 ? emit_meta(&emitter, envelope) : stopped;
}
