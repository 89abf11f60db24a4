/* UTF-8 validation (RFC 3629: no surrogates, nothing overlong), resumable. */
#ifndef MSGSERVER_CODECS_UTF8_H
#define MSGSERVER_CODECS_UTF8_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/* All-zero is the start of a text. */
struct utf8_state {
    uint8_t pending;   /* continuation bytes that must follow */
    uint8_t low, high; /* range of the next one */
};

/* False at the first byte that cannot be part of a valid text. */
bool utf8_feed(struct utf8_state *state, struct slice bytes);
bool utf8_complete(const struct utf8_state *state);
bool utf8_is_valid(struct slice text);

#endif
