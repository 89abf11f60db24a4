/* Query strings of the message stream: %XX in either case and '+' for a space (client fact). */
#ifndef MSGSERVER_CODECS_QUERY_STRING_H
#define MSGSERVER_CODECS_QUERY_STRING_H

#include <stdbool.h>

#include "base/buffer.h"
#include "base/slice.h"

struct query_parameter {
    struct slice name;  /* not decoded */
    struct slice value; /* not decoded */
};

/* Takes the next "name=value" from the front of `*query`; false at its end. Empty parts ("a&&b")
 * are skipped. */
bool query_next(struct slice *query, struct query_parameter *parameter);

/* Appends the decoded text. Returns 0, or -1 with errno EINVAL (a broken %XX) or ENOMEM and `out`
 * as it was. */
int query_decode(struct slice text, struct buffer *out);
/* The same into `room` bytes without allocation; the decoded length, or -1 (EINVAL, ERANGE). */
long query_decode_into(struct slice text, char *out, size_t room);
/* Percent-decodes a path: like query_decode_into(), but '+' stays. */
long path_decode_into(struct slice text, char *out, size_t room);

/* Whether the parameter's decoded name is `name` (plain ASCII). */
bool query_name_is(const struct query_parameter *parameter, const char *name);

/* Compares a path with a route the way MAGE does: a trailing slash and repeated slashes match. */
bool path_matches_route(struct slice path, const char *route);

#endif
