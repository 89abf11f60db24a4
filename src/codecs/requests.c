#include "codecs/requests.h"

#include "base/invariant.h"

REQUEST_FRAMES(FRAME_DEFINE)

static const struct frame_rule RULES[FRAME_REQUEST_TYPES] = {REQUEST_FRAMES(FRAME_RULE)};

const struct frame_rule *request_rule(uint16_t type)
{
    return type < FRAME_REQUEST_TYPES && RULES[type].name ? &RULES[type] : NULL;
}

/* What version 3 added to SESSION, when it is empty: a length, a u8 and a u64. */
static const char NO_PLACE[4 + 1 + 8];

struct slice reply_to_version(uint16_t operation, struct slice payload, uint8_t version)
{
    struct frame_session session;
    if (operation != FRAME_SESSION || version >= REPLY_VERSION ||
        get_session(payload, &session) != 0)
        return payload;
    return slice_of(payload.data, payload.len - sizeof NO_PLACE - session.attached_at.len);
}

int reply_from_version(struct buffer *out, uint16_t operation, struct slice payload,
                       uint8_t version)
{
    size_t mark = buffer_len(out);
    bool short_session = operation == FRAME_SESSION && version < REPLY_VERSION;
    if (buffer_append_slice(out, payload) == 0 &&
        (!short_session || buffer_append(out, NO_PLACE, sizeof NO_PLACE) == 0))
        return 0;
    buffer_truncate(out, mark);
    return -1;
}

#define OUTCOME_CODE(NAME, code, sentence)     [OUTCOME_##NAME] = code,
#define OUTCOME_SENTENCE(NAME, code, sentence) [OUTCOME_##NAME] = sentence,
static const char *const CODES[OUTCOME_COUNT] = {OUTCOMES(OUTCOME_CODE)};
static const char *const SENTENCES[OUTCOME_COUNT] = {OUTCOMES(OUTCOME_SENTENCE)};

const char *outcome_code(enum outcome outcome)
{
    INVARIANT(outcome < OUTCOME_COUNT, "an outcome that is not in the table");
    return CODES[outcome];
}

const char *outcome_sentence(enum outcome outcome)
{
    INVARIANT(outcome < OUTCOME_COUNT, "an outcome that is not in the table");
    return SENTENCES[outcome];
}

#define LIMIT_CODE(NAME, code, sentence)     [LIMIT_##NAME] = code,
#define LIMIT_SENTENCE(NAME, code, sentence) [LIMIT_##NAME] = sentence,
static const char *const LIMIT_CODES[LIMIT_COUNT] = {LIMITS(LIMIT_CODE)};
static const char *const LIMIT_SENTENCES[LIMIT_COUNT] = {LIMITS(LIMIT_SENTENCE)};

const char *limit_code(enum limit limit)
{
    INVARIANT(limit < LIMIT_COUNT, "a limit that is not in the table");
    return LIMIT_CODES[limit];
}

const char *limit_sentence(enum limit limit)
{
    INVARIANT(limit < LIMIT_COUNT, "a limit that is not in the table");
    return LIMIT_SENTENCES[limit];
}

#define SETTLEMENT_CODE(NAME, code) [SETTLED_##NAME] = code,
static const char *const SETTLEMENT_CODES[SETTLEMENT_COUNT] = {SETTLEMENTS(SETTLEMENT_CODE)};

const char *settlement_code(enum settlement settlement)
{
    INVARIANT(settlement < SETTLEMENT_COUNT, "a settlement that is not in the table");
    return SETTLEMENT_CODES[settlement];
}

int put_recipient_result(struct buffer *out, const struct recipient_result *result)
{
    size_t mark = buffer_len(out);
    if (put_u8(out, result->outcome) == 0 && put_u8(out, result->limit) == 0 &&
        put_u8(out, result->flags) == 0 && put_u64(out, result->first_id) == 0 &&
        put_u32(out, result->count) == 0 && put_u32(out, result->dropped) == 0)
        return 0;
    buffer_truncate(out, mark);
    return -1;
}

bool get_recipient_result(struct frame_reader *reader, struct recipient_result *result)
{
    if (reader_left(reader) == 0)
        return false;
    result->outcome = get_u8(reader);
    result->limit = get_u8(reader);
    result->flags = get_u8(reader);
    result->first_id = get_u64(reader);
    result->count = get_u32(reader);
    result->dropped = get_u32(reader);
    return !reader->broken && result->outcome < OUTCOME_COUNT && result->limit < LIMIT_COUNT;
}

int put_receipt_record(struct buffer *out, const struct receipt *receipt)
{
    size_t mark = buffer_len(out);
    if (put_u8(out, receipt->settlement) == 0 && put_u8(out, receipt->sent) == 0 &&
        put_u64(out, receipt->at_ms) == 0 && put_u64(out, receipt->id) == 0 &&
        put_slice(out, receipt->address) == 0 && put_slice(out, receipt->tag) == 0)
        return 0;
    buffer_truncate(out, mark);
    return -1;
}

int get_receipt_record(struct slice record, struct receipt *receipt)
{
    struct frame_reader reader = reader_of(record);
    receipt->settlement = get_u8(&reader);
    receipt->sent = get_u8(&reader);
    receipt->at_ms = get_u64(&reader);
    receipt->id = get_u64(&reader);
    receipt->address = get_slice(&reader);
    receipt->tag = get_slice(&reader);
    if (receipt->settlement >= SETTLEMENT_COUNT)
        reader.broken = true;
    return reader_finish(&reader);
}

int put_peer_record(struct buffer *out, const struct peer_record *fields)
{
    size_t mark = buffer_len(out);
    bool failed = false;
    PEER_RECORD_FIELDS(FRAME_PUT)
    if (!failed)
        return 0;
    buffer_truncate(out, mark);
    return -1;
}

int get_peer_record(struct slice record, struct peer_record *fields)
{
    struct frame_reader reader = reader_of(record);
    PEER_RECORD_FIELDS(FRAME_GET)
    return reader_finish(&reader);
}
