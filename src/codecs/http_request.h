/* HTTP/1.1 requests (RFC 9112), strictly: what could be read in two ways is refused, so that no
 * proxy in front can be made to disagree with us (bare LF, obs-fold, CL with TE, several CL, blanks
 * before a colon, two Host fields, a missing Host, control characters). */
#ifndef MSGSERVER_CODECS_HTTP_REQUEST_H
#define MSGSERVER_CODECS_HTTP_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum { HTTP_FIELDS_MAX = 64 };

struct http_field {
    struct slice name;  /* as received */
    struct slice value; /* without the blanks around it */
};

/* All slices point into the bytes that were parsed. */
struct http_request {
    struct slice method; /* a token, as received */
    struct slice path;   /* of the target, not decoded; "*" for OPTIONS * */
    struct slice query;  /* after '?', not decoded; empty when there is none */
    struct http_field fields[HTTP_FIELDS_MAX];
    size_t field_count;
    uint64_t content_length; /* 0 when absent or chunked */
    bool chunked;
    bool keep_alive;
    bool expects_continue;
    bool is_http_1_0;
};

enum http_error {
    HTTP_OK,
    HTTP_BAD_REQUEST_LINE,    /* 400 */
    HTTP_BAD_FIELD,           /* 400 */
    HTTP_BAD_HOST,            /* 400: none, two, or malformed (RFC 9112 section 3.2) */
    HTTP_BAD_LENGTH,          /* 400: Content-Length, or both it and Transfer-Encoding */
    HTTP_BAD_CHUNK,           /* 400 */
    HTTP_UNKNOWN_CODING,      /* 501: a transfer coding other than chunked */
    HTTP_UNSUPPORTED_VERSION, /* 505 */
    HTTP_URI_TOO_LONG,        /* 414 */
    HTTP_HEAD_TOO_LARGE,      /* 431: bytes or number of fields */
    HTTP_BODY_TOO_LARGE,      /* 413 */
    HTTP_ERRORS
};
unsigned http_error_status(enum http_error error);
/* A sentence for the answer's body and for the log. */
const char *http_error_text(enum http_error error);

/* Parses one request head at the front of `bytes`; empty lines before it are skipped (RFC 9112
 * section 2.2). Returns the head's length with *error HTTP_OK; 0 when more bytes are needed; or -1
 * with *error. What is wrong is reported as early as it can be seen. */
long http_request_parse(struct slice bytes, size_t max_head, struct http_request *request,
                        enum http_error *error);

/* The value of a field (name in lower case), or an empty slice with NULL data. With several of
 * them, the first. */
struct slice http_request_field(const struct http_request *request, const char *lower_name);
/* Whether a list field (Connection, Upgrade, …) has the token, in any case, in any of its lines. */
bool http_request_has_token(const struct http_request *request, const char *lower_name,
                            const char *lower_token);

/* The body after a head, fed as it comes. */
struct http_body {
    uint64_t left;  /* of the length, or of the current chunk */
    uint64_t taken; /* decoded bytes so far */
    uint64_t max;
    uint8_t state;     /* private */
    uint16_t line_len; /* private: of a chunk's line or of the trailers */
};
enum http_body_progress { HTTP_BODY_MORE, HTTP_BODY_DONE, HTTP_BODY_ERROR };

/* Returns HTTP_BODY_DONE when there is no body; HTTP_BODY_ERROR when its length is above `max`. */
enum http_body_progress http_body_start(struct http_body *body, const struct http_request *request,
                                        uint64_t max, enum http_error *error);
/* Takes bytes from the front of `*in` (which moves on) and points `*out` at decoded bytes within
 * them, possibly none. Call again while it returns MORE and `in` is not empty. */
enum http_body_progress http_body_feed(struct http_body *body, struct slice *in, struct slice *out,
                                       enum http_error *error);

#endif
