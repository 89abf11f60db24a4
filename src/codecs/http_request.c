#include "codecs/http_request.h"

#include "codecs/http_chars.h"

/* The parser goes from the first byte to the last and judges each byte where it stands, so that a
 * head that comes in pieces fails at the same byte, with the same error, as one that comes whole.
 */

enum { METHOD_MAX = 32, LENGTH_DIGITS_MAX = 19, PORT_DIGITS_MAX = 5 };

struct head_reader {
    const char *at;
    const char *end;
    enum http_error error;       /* HTTP_OK while only more bytes are missing */
    enum http_error at_capacity; /* what it means when the head grows too long here */
    bool has_host, has_length;
};

static const struct {
    unsigned status;
    const char *text;
} ERRORS[HTTP_ERRORS] = {
    [HTTP_OK] = {200, "The request is well-formed."},
    [HTTP_BAD_REQUEST_LINE] = {400, "The request line is malformed."},
    [HTTP_BAD_FIELD] = {400, "A header field is malformed."},
    [HTTP_BAD_HOST] = {400, "The request needs exactly one valid Host field."},
    [HTTP_BAD_LENGTH] = {400, "The length of the body is malformed or given more than once."},
    [HTTP_BAD_CHUNK] = {400, "The chunked body is malformed."},
    [HTTP_UNKNOWN_CODING] = {501, "The only transfer coding understood here is chunked."},
    [HTTP_UNSUPPORTED_VERSION] = {505, "Only HTTP/1.1 and HTTP/1.0 are spoken here."},
    [HTTP_URI_TOO_LONG] = {414, "The request target is too long."},
    [HTTP_HEAD_TOO_LARGE] = {431, "The header fields are too large or too many."},
    [HTTP_BODY_TOO_LARGE] = {413, "The body is too large."},
};

unsigned http_error_status(enum http_error error)
{
    return ERRORS[error].status;
}

const char *http_error_text(enum http_error error)
{
    return ERRORS[error].text;
}

/* The readers below return true when they have read their part; false with reader->error still
 * HTTP_OK when the bytes end before it does. */
static bool fail(struct head_reader *reader, enum http_error error)
{
    reader->error = error;
    return false;
}

static bool read_byte(struct head_reader *reader, char expected, enum http_error error)
{
    if (reader->at == reader->end)
        return false;
    if (*reader->at != expected)
        return fail(reader, error);
    reader->at++;
    return true;
}

static bool read_line_end(struct head_reader *reader, enum http_error error)
{
    return read_byte(reader, '\r', error) && read_byte(reader, '\n', error);
}

static bool skip_empty_lines(struct head_reader *reader)
{
    while (reader->at < reader->end && *reader->at == '\r') {
        if (!read_line_end(reader, HTTP_BAD_REQUEST_LINE))
            return false;
    }
    return reader->at < reader->end;
}

static bool read_method(struct head_reader *reader, struct slice *method)
{
    const char *start = reader->at;
    for (; reader->at < reader->end && http_is_token_char(*reader->at); reader->at++) {
        if (reader->at - start == METHOD_MAX)
            return fail(reader, HTTP_BAD_REQUEST_LINE);
    }
    *method = slice_of(start, (size_t)(reader->at - start));
    if (method->len == 0)
        return fail(reader, HTTP_BAD_REQUEST_LINE);
    return read_byte(reader, ' ', HTTP_BAD_REQUEST_LINE);
}

/* Visible ASCII; a fragment is for the client alone and never part of a target. */
static bool is_target_char(char c)
{
    return c > ' ' && c < 0x7f && c != '#';
}

static bool read_target(struct head_reader *reader, struct slice *target)
{
    const char *start = reader->at;
    reader->at_capacity = HTTP_URI_TOO_LONG;
    while (reader->at < reader->end && is_target_char(*reader->at))
        reader->at++;
    if (reader->at == reader->end)
        return false;
    *target = slice_of(start, (size_t)(reader->at - start));
    if (target->len == 0 || !read_byte(reader, ' ', HTTP_BAD_REQUEST_LINE))
        return fail(reader, HTTP_BAD_REQUEST_LINE);
    reader->at_capacity = HTTP_HEAD_TOO_LARGE;
    return true;
}

static bool read_digit(struct head_reader *reader, int *digit)
{
    if (reader->at == reader->end)
        return false;
    if (!http_is_digit(*reader->at))
        return fail(reader, HTTP_BAD_REQUEST_LINE);
    *digit = *reader->at++ - '0';
    return true;
}

static bool read_version(struct head_reader *reader, bool *is_http_1_0)
{
    int major, minor;
    for (const char *prefix = "HTTP/"; *prefix; prefix++) {
        if (!read_byte(reader, *prefix, HTTP_BAD_REQUEST_LINE))
            return false;
    }
    if (!read_digit(reader, &major) || !read_byte(reader, '.', HTTP_BAD_REQUEST_LINE) ||
        !read_digit(reader, &minor))
        return false;
    if (major != 1)
        return fail(reader, HTTP_UNSUPPORTED_VERSION);
    *is_http_1_0 = minor == 0;
    return read_line_end(reader, HTTP_BAD_REQUEST_LINE);
}

static bool is_port(const char *at, const char *end)
{
    if (end - at > PORT_DIGITS_MAX)
        return false;
    while (at < end && http_is_digit(*at))
        at++;
    return at == end;
}

/* uri-host [ ":" port ] of RFC 3986. Without a comma, which is how some proxies join two Host
 * fields; and never empty (RFC 9110 section 4.2.1). */
static bool is_host(struct slice value)
{
    const char *at = value.data, *end = value.data + value.len;
    if (value.len > 0 && *at == '[') {
        do
            at++;
        while (at < end && (http_hex_value(*at) >= 0 || *at == ':' || *at == '.'));
        if (at == end || *at++ != ']' || at - value.data < 4)
            return false;
    } else {
        while (at < end &&
               (http_is_alphanumeric(*at) || (*at && strchr("-._~!$&'()*+;=%", *at) != NULL)))
            at++;
        if (at == value.data)
            return false;
    }
    return at == end || (*at == ':' && is_port(at + 1, end));
}

static void split_query(struct slice path_and_query, struct http_request *request)
{
    const char *mark = memchr(path_and_query.data, '?', path_and_query.len);
    size_t path_len = mark ? (size_t)(mark - path_and_query.data) : path_and_query.len;
    request->path = slice_of(path_and_query.data, path_len);
    if (mark)
        request->query = slice_of(mark + 1, path_and_query.len - path_len - 1);
}

/* The bytes after "http://" or "https://", or 0 when the target is not in absolute form. */
static size_t scheme_len(struct slice target)
{
    static const char *const SCHEMES[] = {"http://", "https://"};
    for (size_t i = 0; i < sizeof SCHEMES / sizeof *SCHEMES; i++) {
        size_t len = strlen(SCHEMES[i]);
        if (target.len > len && http_equals_lower(slice_of(target.data, len), SCHEMES[i]))
            return len;
    }
    return 0;
}

/* Sets path and query from a target in origin, absolute or asterisk form (RFC 9112 section 3.2).
 * The authority form is for CONNECT, which is for proxies. */
static bool split_target(struct slice target, struct http_request *request)
{
    if (target.data[0] == '/') {
        split_query(target, request);
        return true;
    }
    if (slice_equals_string(target, "*")) {
        request->path = target;
        return slice_equals_string(request->method, "OPTIONS");
    }
    size_t authority = scheme_len(target), at = authority;
    if (authority == 0)
        return false;
    while (at < target.len && target.data[at] != '/' && target.data[at] != '?')
        at++;
    if (!is_host(slice_of(target.data + authority, at - authority)))
        return false;
    split_query(slice_of(target.data + at, target.len - at), request);
    /* An absent path means "/": the last slash of "http://" is one. */
    if (request->path.len == 0)
        request->path = slice_of(target.data + authority - 1, 1);
    return true;
}

static bool read_request_line(struct head_reader *reader, struct http_request *request)
{
    struct slice target;
    if (!read_method(reader, &request->method) || !read_target(reader, &target) ||
        !read_version(reader, &request->is_http_1_0))
        return false;
    return split_target(target, request) || fail(reader, HTTP_BAD_REQUEST_LINE);
}

static bool read_name(struct head_reader *reader, struct slice *name)
{
    const char *start = reader->at;
    while (reader->at < reader->end && http_is_token_char(*reader->at))
        reader->at++;
    *name = slice_of(start, (size_t)(reader->at - start));
    if (reader->at < reader->end && name->len == 0)
        return fail(reader, HTTP_BAD_FIELD);
    return read_byte(reader, ':', HTTP_BAD_FIELD);
}

static struct slice without_blanks(const char *start, const char *end)
{
    while (start < end && http_is_blank(*start))
        start++;
    while (start < end && http_is_blank(end[-1]))
        end--;
    return slice_of(start, (size_t)(end - start));
}

static bool read_value(struct head_reader *reader, struct slice *value)
{
    const char *start = reader->at;
    while (reader->at < reader->end && http_is_value_char(*reader->at))
        reader->at++;
    *value = without_blanks(start, reader->at);
    return read_line_end(reader, HTTP_BAD_FIELD);
}

static enum http_error take_host(struct head_reader *reader, struct slice value)
{
    bool second = reader->has_host;
    reader->has_host = true;
    return second || !is_host(value) ? HTTP_BAD_HOST : HTTP_OK;
}

/* A second Content-Length is refused even when it agrees: RFC 9112 section 6.3 allows either. */
static enum http_error take_length(struct head_reader *reader, struct http_request *request,
                                   struct slice value)
{
    if (reader->has_length || request->chunked || value.len == 0 || value.len > LENGTH_DIGITS_MAX)
        return HTTP_BAD_LENGTH;
    reader->has_length = true;
    for (size_t i = 0; i < value.len; i++) {
        if (!http_is_digit(value.data[i]))
            return HTTP_BAD_LENGTH;
        request->content_length = request->content_length * 10 + (uint64_t)(value.data[i] - '0');
    }
    return HTTP_OK;
}

/* HTTP/1.0 knows no transfer codings: a message with one is faulty (RFC 9112 section 6.1). */
static enum http_error take_coding(const struct head_reader *reader, struct http_request *request,
                                   struct slice value)
{
    if (reader->has_length || request->is_http_1_0)
        return HTTP_BAD_LENGTH;
    if (request->chunked || !http_equals_lower(value, "chunked"))
        return HTTP_UNKNOWN_CODING;
    request->chunked = true;
    return HTTP_OK;
}

/* The fields that decide where the request goes and where it ends. */
static enum http_error take_framing(struct head_reader *reader, struct http_request *request,
                                    const struct http_field *field)
{
    if (http_equals_lower(field->name, "host"))
        return take_host(reader, field->value);
    if (http_equals_lower(field->name, "content-length"))
        return take_length(reader, request, field->value);
    if (http_equals_lower(field->name, "transfer-encoding"))
        return take_coding(reader, request, field->value);
    return HTTP_OK;
}

/* Reads the fields and the empty line after them. A line that starts with a blank (obs-fold) has
 * no name and fails as such. */
static bool read_fields(struct head_reader *reader, struct http_request *request)
{
    while (reader->at < reader->end && *reader->at != '\r') {
        if (request->field_count == HTTP_FIELDS_MAX)
            return fail(reader, HTTP_HEAD_TOO_LARGE);
        struct http_field *field = &request->fields[request->field_count];
        if (!read_name(reader, &field->name) || !read_value(reader, &field->value))
            return false;
        request->field_count++;
        enum http_error error = take_framing(reader, request, field);
        if (error != HTTP_OK)
            return fail(reader, error);
    }
    return read_line_end(reader, HTTP_BAD_FIELD);
}

static void conclude(struct http_request *request)
{
    bool close = http_request_has_token(request, "connection", "close");
    request->keep_alive = !close && (!request->is_http_1_0 ||
                                     http_request_has_token(request, "connection", "keep-alive"));
    request->expects_continue = !request->is_http_1_0 &&
                                (request->chunked || request->content_length > 0) &&
                                http_request_has_token(request, "expect", "100-continue");
}

long http_request_parse(struct slice bytes, size_t max_head, struct http_request *request,
                        enum http_error *error)
{
    size_t readable = bytes.len < max_head ? bytes.len : max_head;
    struct head_reader reader = {.at = bytes.data,
                                 .end = readable ? bytes.data + readable : bytes.data,
                                 .error = HTTP_OK,
                                 .at_capacity = HTTP_HEAD_TOO_LARGE};
    *request = (struct http_request){0};
    bool whole = skip_empty_lines(&reader) && read_request_line(&reader, request) &&
                 read_fields(&reader, request);
    if (whole && !reader.has_host && !request->is_http_1_0)
        reader.error = HTTP_BAD_HOST;
    else if (!whole && reader.error == HTTP_OK && readable == max_head)
        reader.error = reader.at_capacity;
    *error = reader.error;
    if (reader.error != HTTP_OK)
        return -1;
    if (!whole)
        return 0;
    conclude(request);
    return reader.at - bytes.data;
}

struct slice http_request_field(const struct http_request *request, const char *lower_name)
{
    for (size_t i = 0; i < request->field_count; i++) {
        if (http_equals_lower(request->fields[i].name, lower_name))
            return request->fields[i].value;
    }
    return SLICE_EMPTY;
}

static bool list_has_token(struct slice list, const char *lower_token)
{
    const char *at = list.data, *end = list.data + list.len;
    while (at < end) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        const char *stop = comma ? comma : end;
        if (http_equals_lower(without_blanks(at, stop), lower_token))
            return true;
        at = comma ? comma + 1 : end;
    }
    return false;
}

bool http_request_has_token(const struct http_request *request, const char *lower_name,
                            const char *lower_token)
{
    for (size_t i = 0; i < request->field_count; i++) {
        if (http_equals_lower(request->fields[i].name, lower_name) &&
            list_has_token(request->fields[i].value, lower_token))
            return true;
    }
    return false;
}
