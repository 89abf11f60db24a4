/* HTTP/1.1 response heads. */
#ifndef MSGSERVER_CODECS_HTTP_RESPONSE_H
#define MSGSERVER_CODECS_HTTP_RESPONSE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"

enum { HTTP_NO_LENGTH = -1 };

struct http_response {
    unsigned status;
    long long content_length; /* HTTP_NO_LENGTH: no such field (204, 101, event streams) */
    bool close;               /* adds "Connection: close" */
    bool keep_alive_1_0;      /* adds "Connection: keep-alive", for HTTP/1.0 clients */
    const char *content_type; /* NULL: no such field */
    const char *extra, *more; /* further whole lines with CRLF, or NULL */
    uint64_t idle_s;          /* adds "keep-alive: timeout=…", unless it is 0 */
};

/* The standard reason phrase ("Not Found"). */
const char *http_status_text(unsigned status);
/* Appends the head with its empty line. Returns 0, or -1 with errno ENOMEM and `out` as it was. */
int http_response_head(struct buffer *out, const struct http_response *response);

#endif
