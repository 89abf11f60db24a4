#include "codecs/http_response.h"

#include <errno.h>

static const struct {
    unsigned status;
    const char *text;
} STATUSES[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {411, "Length Required"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {426, "Upgrade Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
};

/* The phrase may be empty (RFC 9112 section 4): clients read the number. */
const char *http_status_text(unsigned status)
{
    for (size_t i = 0; i < sizeof STATUSES / sizeof *STATUSES; i++) {
        if (STATUSES[i].status == status)
            return STATUSES[i].text;
    }
    return "";
}

/* By pieces: a format string takes ten times as long, and every answer has these. Names in lower
 * case are as existing clients saw them from the original. */
static int append_text_field(struct buffer *out, const char *name, const char *value)
{
    return buffer_append_string(out, name) == 0 && buffer_append_string(out, value) == 0
               ? buffer_append(out, "\r\n", 2)
               : -1;
}

static int append_number_field(struct buffer *out, const char *name, uint64_t value)
{
    return buffer_append_string(out, name) == 0 && buffer_append_u64(out, value) == 0
               ? buffer_append(out, "\r\n", 2)
               : -1;
}

static int append_status(struct buffer *out, unsigned status)
{
    if (buffer_append_string(out, "HTTP/1.1 ") != 0 || buffer_append_u64(out, status) != 0)
        return -1;
    return append_text_field(out, " ", http_status_text(status));
}

static int append_fields(struct buffer *out, const struct http_response *response)
{
    if (response->content_length >= 0 &&
        append_number_field(out, "Content-Length: ", (uint64_t)response->content_length) != 0)
        return -1;
    if (response->close && buffer_append_string(out, "Connection: close\r\n") != 0)
        return -1;
    if (response->keep_alive_1_0 && buffer_append_string(out, "Connection: keep-alive\r\n") != 0)
        return -1;
    if (response->content_type &&
        append_text_field(out, "content-type: ", response->content_type) != 0)
        return -1;
    if (response->extra && buffer_append_string(out, response->extra) != 0)
        return -1;
    if (response->more && buffer_append_string(out, response->more) != 0)
        return -1;
    return response->idle_s > 0 ? append_number_field(out, "keep-alive: timeout=", response->idle_s)
                                : 0;
}

int http_response_head(struct buffer *out, const struct http_response *response)
{
    size_t before = buffer_len(out);
    if (append_status(out, response->status) == 0 && append_fields(out, response) == 0 &&
        buffer_append(out, "\r\n", 2) == 0)
        return 0;
    buffer_truncate(out, before);
    errno = ENOMEM;
    return -1;
}
