#include "codecs/utf8.h"

/* Moves past the ASCII bytes at `at`, eight at a time: most texts have nothing else. */
static const unsigned char *skip_ascii(const unsigned char *at, const unsigned char *end)
{
    while (end - at >= 8) {
        uint64_t eight;
        memcpy(&eight, at, sizeof eight);
        if (eight & 0x8080808080808080u)
            break;
        at += sizeof eight;
    }
    while (at < end && *at < 0x80)
        at++;
    return at;
}

/* The first byte says how many follow, and narrows the second one so that nothing is overlong,
 * a surrogate or above U+10FFFF (RFC 3629 section 4). */
static bool start_sequence(struct utf8_state *state, unsigned char first)
{
    state->low = 0x80;
    state->high = 0xbf;
    if (first >= 0xc2 && first <= 0xdf) {
        state->pending = 1;
    } else if (first >= 0xe0 && first <= 0xef) {
        state->pending = 2;
        if (first == 0xe0)
            state->low = 0xa0;
        else if (first == 0xed)
            state->high = 0x9f;
    } else if (first >= 0xf0 && first <= 0xf4) {
        state->pending = 3;
        if (first == 0xf0)
            state->low = 0x90;
        else if (first == 0xf4)
            state->high = 0x8f;
    } else {
        return false;
    }
    return true;
}

bool utf8_feed(struct utf8_state *state, struct slice bytes)
{
    if (bytes.len == 0)
        return true;
    const unsigned char *at = (const unsigned char *)bytes.data;
    const unsigned char *end = at + bytes.len;
    while (at < end) {
        if (state->pending == 0) {
            at = skip_ascii(at, end);
            if (at < end && !start_sequence(state, *at++))
                return false;
            continue;
        }
        if (*at < state->low || *at > state->high)
            return false;
        at++;
        state->pending--;
        state->low = 0x80;
        state->high = 0xbf;
    }
    return true;
}

bool utf8_complete(const struct utf8_state *state)
{
    return state->pending == 0;
}

bool utf8_is_valid(struct slice text)
{
    struct utf8_state state = {0};
    return utf8_feed(&state, text) && utf8_complete(&state);
}
