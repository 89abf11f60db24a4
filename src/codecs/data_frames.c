#include "codecs/data_frames.h"

DATA_FRAMES(FRAME_DEFINE)

static const struct frame_rule RULES[FRAME_DATA_TYPES] = {DATA_FRAMES(FRAME_RULE)};

const struct frame_rule *data_frame_rule(uint16_t type)
{
    return type < FRAME_DATA_TYPES && RULES[type].name ? &RULES[type] : NULL;
}

int put_message(struct buffer *out, uint64_t id, struct slice body)
{
    if (put_u64(out, id) != 0)
        return -1;
    if (put_slice(out, body) == 0)
        return 0;
    buffer_truncate(out, buffer_len(out) - 8);
    return -1;
}

bool get_message(struct frame_reader *reader, struct message *message)
{
    if (reader_left(reader) == 0)
        return false;
    message->id = get_u64(reader);
    message->body = get_slice(reader);
    return !reader->broken;
}

/* The names are facts of existing clients (session.unset). */
static const char *const UNSET_REASONS[END_REASONS] = {
    [END_INVALID_KEY] = "invalidSessionKey",
    [END_NO_SESSION] = "noSession",
    [END_KEY_MISMATCH] = "keyMismatch",
    [END_BAD_VERSION] = "badVersion",
    [END_EXPIRED] = "expired",
    [END_HOST_GONE] = "hostGone",
};

const char *end_reason_unset(enum end_reason reason)
{
    return reason < END_REASONS ? UNSET_REASONS[reason] : NULL;
}

int end_reason_from_unset(struct slice name)
{
    for (int reason = 0; reason < END_REASONS; reason++)
        if (UNSET_REASONS[reason] && slice_equals_string(name, UNSET_REASONS[reason]))
            return reason;
    return -1;
}
