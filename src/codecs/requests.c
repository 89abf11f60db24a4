#include "codecs/requests.h"

#include "base/invariant.h"

REQUEST_FRAMES(FRAME_DEFINE)

static const struct frame_rule RULES[FRAME_REQUEST_TYPES] = {REQUEST_FRAMES(FRAME_RULE)};

const struct frame_rule *request_rule(uint16_t type)
{
    return type < FRAME_REQUEST_TYPES && RULES[type].name ? &RULES[type] : NULL;
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

int put_recipient_result(struct buffer *out, const struct recipient_result *result)
{
    size_t mark = buffer_len(out);
    if (put_u8(out, result->outcome) == 0 && put_u8(out, result->attached) == 0 &&
        put_u64(out, result->first_id) == 0 && put_u32(out, result->count) == 0)
        return 0;
    buffer_truncate(out, mark);
    return -1;
}

bool get_recipient_result(struct frame_reader *reader, struct recipient_result *result)
{
    if (reader_left(reader) == 0)
        return false;
    result->outcome = get_u8(reader);
    result->attached = get_u8(reader);
    result->first_id = get_u64(reader);
    result->count = get_u32(reader);
    return !reader->broken && result->outcome < OUTCOME_COUNT;
}
