/* Strict JSON (RFC 8259) as text: checks it and finds its parts, and never re-writes it, because
 * message bodies travel byte for byte. Duplicate names are accepted; nesting is bounded. */
#ifndef MSGSERVER_CODECS_JSON_TEXT_H
#define MSGSERVER_CODECS_JSON_TEXT_H

#include <stdbool.h>

#include "base/slice.h"

enum { JSON_DEPTH_MAX = 64 };

enum json_kind {
    JSON_KIND_NULL,
    JSON_KIND_TRUE,
    JSON_KIND_FALSE,
    JSON_KIND_NUMBER,
    JSON_KIND_STRING,
    JSON_KIND_ARRAY,
    JSON_KIND_OBJECT
};

struct json_error {
    size_t offset;    /* of the first byte that is wrong */
    const char *what; /* a short text */
};

/* Whether `text` is one JSON value with nothing but white space around it. */
bool json_check(struct slice text, struct json_error *error);

/* The rest works on text that json_check() accepted. */
enum json_kind json_kind_of(struct slice value);
/* The value without white space around it. */
struct slice json_trim(struct slice value);

/* Iterates over the members of an object or the elements of an array: start with `*rest` as the
 * whole value. False after the last. `name` is the raw string without its quotes (NULL to ignore).
 */
bool json_next_member(struct slice *rest, struct slice *name, struct slice *value);
bool json_next_element(struct slice *rest, struct slice *value);

/* A message body: an array of events, each ["name"] or ["name", data] (client fact). `text` need
 * not be checked before. */
bool json_check_message(struct slice text, struct json_error *error);

#endif
