#include "bench/load/http_answer.h"

#include <err.h>
#include <stdlib.h>
#include <strings.h>

#include "base/units.h"

size_t http_head_length(struct slice in)
{
    static const char END[] = "\r\n\r\n";
    const char *end = in.len > 0 ? memmem(in.data, in.len, END, sizeof END - 1) : NULL;
    return end ? (size_t)(end - in.data) + sizeof END - 1 : 0;
}

bool http_has_status(struct slice head, const char *status)
{
    static const char HTTP_NAME[] = "HTTP/1.1 ";
    return slice_starts_with(head, HTTP_NAME) &&
           slice_starts_with(
               slice_of(head.data + sizeof HTTP_NAME - 1, head.len - sizeof HTTP_NAME + 1), status);
}

static size_t content_length(struct slice head)
{
    static const char FIELD[] = "content-length: ";
    enum { FIELD_BYTES = sizeof FIELD - 1 };
    uint64_t length;
    const char *end = head.data + head.len, *line = head.data;
    while ((line = memchr(line, '\n', (size_t)(end - line))) && end - ++line > FIELD_BYTES) {
        const char *line_end = memchr(line, '\r', (size_t)(end - line));
        if (line_end && strncasecmp(line, FIELD, FIELD_BYTES) == 0 &&
            parse_u64(slice_of(line + FIELD_BYTES, (size_t)(line_end - line) - FIELD_BYTES),
                      &length) == 0)
            return length;
    }
    if (!http_has_status(head, "204"))
        errx(EXIT_FAILURE, "an answer without a length: %.*s", (int)head.len, head.data);
    return 0;
}

size_t http_answer_read(struct slice in, struct slice *head, struct slice *body)
{
    size_t head_len = http_head_length(in);
    if (head_len == 0)
        return 0;
    *head = slice_of(in.data, head_len);
    size_t length = content_length(*head);
    if (in.len < head_len + length)
        return 0;
    *body = slice_of(in.data + head_len, length);
    return head_len + length;
}
