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

/* These work on text that json_check() accepted. */
enum json_kind json_kind_of(struct slice value);
/* The value without white space around it. */
struct slice json_trim(struct slice value);

/* Iterates over the elements of an array: start with `*rest` as the whole value. False after the
 * last. */
bool json_next_element(struct slice *rest, struct slice *value);

/* A message body: an array of events, each ["name"] or ["name", data] (client fact). `text` need
 * not be checked before. */
bool json_check_message(struct slice text, struct json_error *error);

/* Walks over the members of an object that was not checked before, and checks what it passes: text
 * that is sound is read once. What is refused is not JSON, or not an object: json_check() says
 * where and why. */
struct json_walk {
    const unsigned char *at, *end;
    bool begun;
};
struct json_walk json_walk_over(struct slice text);
enum json_step { JSON_MEMBER, JSON_END, JSON_REFUSED };
/* The next member's name, the raw string without its quotes; its value is to be taken before the
 * next call. JSON_END: the object is over, and nothing follows it. */
enum json_step json_walk_name(struct json_walk *walk, struct slice *name);
/* False when it is no JSON. `is_message`, unless it is NULL: whether it is a message body. */
bool json_walk_value(struct json_walk *walk, struct slice *value, bool *is_message);

#endif
