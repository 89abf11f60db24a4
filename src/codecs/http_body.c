/* Bodies of HTTP/1.1 requests (RFC 9112 sections 6 and 7): by length, or chunked. */
#include "codecs/http_chars.h"
#include "codecs/http_request.h"

/* Extensions and trailers are read and forgotten, so little of them is enough. A short limit on the
 * chunk line also bounds how many bytes a client can make us read per byte of body. */
enum { CHUNK_DIGITS_MAX = 16, CHUNK_LINE_MAX = 64, TRAILERS_MAX = 4096 };

enum body_state {
    BODY_DONE,
    BODY_LENGTH, /* within a body of known length */
    CHUNK_SIZE,
    CHUNK_EXTENSION,
    CHUNK_EXTENSION_QUOTED,
    CHUNK_EXTENSION_ESCAPED,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    TRAILER_START,
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    LAST_LF
};

enum http_body_progress http_body_start(struct http_body *body, const struct http_request *request,
                                        uint64_t max, enum http_error *error)
{
    *body = (struct http_body){.left = request->content_length, .max = max, .state = BODY_LENGTH};
    *error = HTTP_OK;
    if (request->chunked) {
        body->state = CHUNK_SIZE;
        return HTTP_BODY_MORE;
    }
    if (body->left > max) {
        *error = HTTP_BODY_TOO_LARGE;
        return HTTP_BODY_ERROR;
    }
    if (body->left > 0)
        return HTTP_BODY_MORE;
    body->state = BODY_DONE;
    return HTTP_BODY_DONE;
}

static void take_data(struct http_body *body, struct slice *in, struct slice *out)
{
    size_t len = in->len < body->left ? in->len : (size_t)body->left;
    *out = slice_of(in->data, len);
    *in = slice_of(in->data + len, in->len - len);
    body->left -= len;
    body->taken += len;
    if (body->left == 0)
        body->state = body->state == BODY_LENGTH ? BODY_DONE : CHUNK_DATA_CR;
}

/* Goes to `next` when the byte is the one that must come here. */
static enum http_error expect(struct http_body *body, bool is_expected, enum body_state next,
                              enum http_error error)
{
    if (!is_expected)
        return error;
    body->state = next;
    return HTTP_OK;
}

/* After the digits comes the line's end or an extension at once: blanks there are what parsers
 * disagree about. */
static enum http_error take_size_byte(struct http_body *body, char c)
{
    int digit = http_hex_value(c);
    if (digit >= 0) {
        if (body->line_len > CHUNK_DIGITS_MAX)
            return HTTP_BAD_CHUNK;
        body->left = body->left << 4 | (uint64_t)digit;
        return body->left > body->max - body->taken ? HTTP_BODY_TOO_LARGE : HTTP_OK;
    }
    if (body->line_len == 1)
        return HTTP_BAD_CHUNK;
    if (c == ';')
        return expect(body, true, CHUNK_EXTENSION, HTTP_BAD_CHUNK);
    return expect(body, c == '\r', CHUNK_SIZE_LF, HTTP_BAD_CHUNK);
}

/* Quotes are followed so that no line ends within one, where others would read on. */
static enum http_error take_extension_byte(struct http_body *body, char c)
{
    if (c == '\r')
        return expect(body, body->state == CHUNK_EXTENSION, CHUNK_SIZE_LF, HTTP_BAD_CHUNK);
    if (!http_is_value_char(c))
        return HTTP_BAD_CHUNK;
    if (body->state == CHUNK_EXTENSION_ESCAPED)
        body->state = CHUNK_EXTENSION_QUOTED;
    else if (c == '"')
        body->state = body->state == CHUNK_EXTENSION ? CHUNK_EXTENSION_QUOTED : CHUNK_EXTENSION;
    else if (c == '\\' && body->state == CHUNK_EXTENSION_QUOTED)
        body->state = CHUNK_EXTENSION_ESCAPED;
    return HTTP_OK;
}

static enum http_error take_size_line_byte(struct http_body *body, char c)
{
    if (++body->line_len > CHUNK_LINE_MAX)
        return HTTP_BAD_CHUNK;
    if (body->state == CHUNK_SIZE)
        return take_size_byte(body, c);
    if (body->state != CHUNK_SIZE_LF)
        return take_extension_byte(body, c);
    body->line_len = 0;
    return expect(body, c == '\n', body->left > 0 ? CHUNK_DATA : TRAILER_START, HTTP_BAD_CHUNK);
}

static enum http_error take_data_end_byte(struct http_body *body, char c)
{
    if (body->state == CHUNK_DATA_CR)
        return expect(body, c == '\r', CHUNK_DATA_LF, HTTP_BAD_CHUNK);
    return expect(body, c == '\n', CHUNK_SIZE, HTTP_BAD_CHUNK);
}

static enum http_error take_trailer_byte(struct http_body *body, char c)
{
    if (++body->line_len > TRAILERS_MAX)
        return HTTP_HEAD_TOO_LARGE;
    switch (body->state) {
    case TRAILER_START:
        if (c == '\r')
            return expect(body, true, LAST_LF, HTTP_BAD_FIELD);
        return expect(body, http_is_token_char(c), TRAILER_NAME, HTTP_BAD_FIELD);
    case TRAILER_NAME:
        if (c == ':')
            return expect(body, true, TRAILER_VALUE, HTTP_BAD_FIELD);
        return expect(body, http_is_token_char(c), TRAILER_NAME, HTTP_BAD_FIELD);
    case TRAILER_VALUE:
        if (c == '\r')
            return expect(body, true, TRAILER_LF, HTTP_BAD_FIELD);
        return expect(body, http_is_value_char(c), TRAILER_VALUE, HTTP_BAD_FIELD);
    case TRAILER_LF:
        return expect(body, c == '\n', TRAILER_START, HTTP_BAD_FIELD);
    default:
        return expect(body, c == '\n', BODY_DONE, HTTP_BAD_FIELD);
    }
}

static enum http_error take_framing_byte(struct http_body *body, char c)
{
    if (body->state <= CHUNK_SIZE_LF)
        return take_size_line_byte(body, c);
    if (body->state <= CHUNK_DATA_LF)
        return take_data_end_byte(body, c);
    return take_trailer_byte(body, c);
}

enum http_body_progress http_body_feed(struct http_body *body, struct slice *in, struct slice *out,
                                       enum http_error *error)
{
    *error = HTTP_OK;
    *out = SLICE_EMPTY;
    while (body->state != BODY_DONE && in->len > 0 && out->len == 0) {
        if (body->state == BODY_LENGTH || body->state == CHUNK_DATA) {
            take_data(body, in, out);
            continue;
        }
        *error = take_framing_byte(body, *in->data);
        if (*error != HTTP_OK)
            return HTTP_BODY_ERROR;
        *in = slice_of(in->data + 1, in->len - 1);
    }
    return body->state == BODY_DONE ? HTTP_BODY_DONE : HTTP_BODY_MORE;
}
