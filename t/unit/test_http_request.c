#include "unit.h"

#include "base/buffer.h"
#include "codecs/http_request.h"

enum { MAX_HEAD = 1024 };

#define HOST      "Host: h\r\n"
#define GET_HOST  "GET / HTTP/1.1\r\n" HOST
#define POST_HOST "POST / HTTP/1.1\r\n" HOST

static const struct bad_sample {
    const char *head;
    enum http_error error;
} BAD[] = {
    /* request line */
    {"\n", HTTP_BAD_REQUEST_LINE},
    {"\r\r", HTTP_BAD_REQUEST_LINE},
    {"\r\n\nGET / HTTP/1.1\r\n", HTTP_BAD_REQUEST_LINE},
    {" GET / HTTP/1.1\r\n", HTTP_BAD_REQUEST_LINE},
    {"GET\t/ HTTP/1.1\r\n", HTTP_BAD_REQUEST_LINE},
    {"GET  / HTTP/1.1\r\n", HTTP_BAD_REQUEST_LINE},
    {"GET /  HTTP/1.1\r\n", HTTP_BAD_REQUEST_LINE},
    {"GET / HTTP/1.1 \r\n", HTTP_BAD_REQUEST_LINE},
    {"GET / HTTP/1.1\n", HTTP_BAD_REQUEST_LINE},
    {"GET / HTTP/1.1\r\r\n", HTTP_BAD_REQUEST_LINE},
    {"GET /\r\n", HTTP_BAD_REQUEST_LINE},
    {"GET / http/1.1\r\n", HTTP_BAD_REQUEST_LINE},
    {"GET / HTTP/1\r\n", HTTP_BAD_REQUEST_LINE},
    {"GET / HTTP/11\r\n", HTTP_BAD_REQUEST_LINE},
    {"GET / HTTP/1.10\r\n", HTTP_BAD_REQUEST_LINE},
    {"GET / HTTP/1.x\r\n", HTTP_BAD_REQUEST_LINE},
    {"GET / HTTPS/1.1\r\n", HTTP_BAD_REQUEST_LINE},
    {"G(T / HTTP/1.1\r\n", HTTP_BAD_REQUEST_LINE},
    {"G\x80T / HTTP/1.1\r\n", HTTP_BAD_REQUEST_LINE},
    {"METHODNAMESOFTHIRTYTHREEBYTESLONG / HTTP/1.1\r\n", HTTP_BAD_REQUEST_LINE},
    {"\x16\x03\x01\x02", HTTP_BAD_REQUEST_LINE},
    /* request target */
    {"GET index HTTP/1.1\r\n", HTTP_BAD_REQUEST_LINE},
    {"GET ?a=1 HTTP/1.1\r\n", HTTP_BAD_REQUEST_LINE},
    {"GET * HTTP/1.1\r\n", HTTP_BAD_REQUEST_LINE},
    {"OPTIONS ** HTTP/1.1\r\n", HTTP_BAD_REQUEST_LINE},
    {"CONNECT h:80 HTTP/1.1\r\n", HTTP_BAD_REQUEST_LINE},
    {"GET /a b HTTP/1.1\r\n", HTTP_BAD_REQUEST_LINE},
    {"GET /#top HTTP/1.1\r\n", HTTP_BAD_REQUEST_LINE},
    {"GET /\x7f HTTP/1.1\r\n", HTTP_BAD_REQUEST_LINE},
    {"GET /\xc3\xa9 HTTP/1.1\r\n", HTTP_BAD_REQUEST_LINE},
    {"GET /\x01 HTTP/1.1\r\n", HTTP_BAD_REQUEST_LINE},
    {"GET http:// HTTP/1.1\r\n", HTTP_BAD_REQUEST_LINE},
    {"GET http:/// HTTP/1.1\r\n", HTTP_BAD_REQUEST_LINE},
    {"GET http://user@h/ HTTP/1.1\r\n", HTTP_BAD_REQUEST_LINE},
    {"GET http://h:8o/ HTTP/1.1\r\n", HTTP_BAD_REQUEST_LINE},
    {"GET ftp://h/ HTTP/1.1\r\n", HTTP_BAD_REQUEST_LINE},
    /* version */
    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", HTTP_UNSUPPORTED_VERSION},
    {"GET / HTTP/0.9\r\n", HTTP_UNSUPPORTED_VERSION},
    {"GET / HTTP/3.0\r\n", HTTP_UNSUPPORTED_VERSION},
    /* fields */
    {GET_HOST "A: b\n\r\n", HTTP_BAD_FIELD},
    {GET_HOST "A: b\r\n\n", HTTP_BAD_FIELD},
    {GET_HOST "A: b\r\n\r\r", HTTP_BAD_FIELD},
    {GET_HOST "A: b\r\rB: c\r\n", HTTP_BAD_FIELD},
    {GET_HOST "A: b\r\n c\r\n\r\n", HTTP_BAD_FIELD},
    {GET_HOST "A: b\r\n\tc\r\n\r\n", HTTP_BAD_FIELD},
    {"GET / HTTP/1.1\r\n Host: h\r\n\r\n", HTTP_BAD_FIELD},
    {GET_HOST "A : b\r\n", HTTP_BAD_FIELD},
    {GET_HOST "A\t: b\r\n", HTTP_BAD_FIELD},
    {GET_HOST ": b\r\n", HTTP_BAD_FIELD},
    {GET_HOST "A\r\n", HTTP_BAD_FIELD},
    {GET_HOST "A B: c\r\n", HTTP_BAD_FIELD},
    {GET_HOST "A@B: c\r\n", HTTP_BAD_FIELD},
    {GET_HOST "\xc3\xa9: c\r\n", HTTP_BAD_FIELD},
    {GET_HOST "A: b\x01\r\n", HTTP_BAD_FIELD},
    {GET_HOST "A: b\x7f\r\n", HTTP_BAD_FIELD},
    {GET_HOST "A: b\x0b\r\n", HTTP_BAD_FIELD},
    {GET_HOST "A: b\x1b[31m\r\n", HTTP_BAD_FIELD},
    /* Host */
    {"GET / HTTP/1.1\r\n\r\n", HTTP_BAD_HOST},
    {"GET / HTTP/1.1\r\nAccept: */*\r\n\r\n", HTTP_BAD_HOST},
    {"GET http://h/ HTTP/1.1\r\n\r\n", HTTP_BAD_HOST},
    {GET_HOST "Host: h\r\n\r\n", HTTP_BAD_HOST},
    {GET_HOST "hOST: i\r\n\r\n", HTTP_BAD_HOST},
    {"GET / HTTP/1.0\r\n" HOST "Host: i\r\n\r\n", HTTP_BAD_HOST},
    {"GET / HTTP/1.1\r\nHost:\r\n\r\n", HTTP_BAD_HOST},
    {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", HTTP_BAD_HOST},
    {"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", HTTP_BAD_HOST},
    {"GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", HTTP_BAD_HOST},
    {"GET / HTTP/1.1\r\nHost: http://h/\r\n\r\n", HTTP_BAD_HOST},
    {"GET / HTTP/1.1\r\nHost: me@h\r\n\r\n", HTTP_BAD_HOST},
    {"GET / HTTP/1.1\r\nHost: h:8080:1\r\n\r\n", HTTP_BAD_HOST},
    {"GET / HTTP/1.1\r\nHost: h:808080\r\n\r\n", HTTP_BAD_HOST},
    {"GET / HTTP/1.1\r\nHost: :80\r\n\r\n", HTTP_BAD_HOST},
    {"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", HTTP_BAD_HOST},
    {"GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n", HTTP_BAD_HOST},
    {"GET / HTTP/1.1\r\nHost: h\xc3\xa9\r\n\r\n", HTTP_BAD_HOST},
    /* Content-Length, Transfer-Encoding */
    {POST_HOST "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", HTTP_BAD_LENGTH},
    {POST_HOST "Content-Length: 5\r\ncontent-length: 5\r\n\r\n", HTTP_BAD_LENGTH},
    {POST_HOST "Content-Length: 5, 5\r\n\r\n", HTTP_BAD_LENGTH},
    {POST_HOST "Content-Length: 5,6\r\n\r\n", HTTP_BAD_LENGTH},
    {POST_HOST "Content-Length: +5\r\n\r\n", HTTP_BAD_LENGTH},
    {POST_HOST "Content-Length: -5\r\n\r\n", HTTP_BAD_LENGTH},
    {POST_HOST "Content-Length: 0x5\r\n\r\n", HTTP_BAD_LENGTH},
    {POST_HOST "Content-Length: 5 5\r\n\r\n", HTTP_BAD_LENGTH},
    {POST_HOST "Content-Length: 5.0\r\n\r\n", HTTP_BAD_LENGTH},
    {POST_HOST "Content-Length:\r\n\r\n", HTTP_BAD_LENGTH},
    {POST_HOST "Content-Length: 18446744073709551617\r\n\r\n", HTTP_BAD_LENGTH},
    {POST_HOST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_BAD_LENGTH},
    {POST_HOST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", HTTP_BAD_LENGTH},
    {POST_HOST "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_BAD_LENGTH},
    {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_BAD_LENGTH},
    {POST_HOST "Transfer-Encoding: gzip\r\n\r\n", HTTP_UNKNOWN_CODING},
    {POST_HOST "Transfer-Encoding: gzip, chunked\r\n\r\n", HTTP_UNKNOWN_CODING},
    {POST_HOST "Transfer-Encoding: chunked, chunked\r\n\r\n", HTTP_UNKNOWN_CODING},
    {POST_HOST "Transfer-Encoding: chunked;a=b\r\n\r\n", HTTP_UNKNOWN_CODING},
    {POST_HOST "Transfer-Encoding: \"chunked\"\r\n\r\n", HTTP_UNKNOWN_CODING},
    {POST_HOST "Transfer-Encoding: xchunked\r\n\r\n", HTTP_UNKNOWN_CODING},
    {POST_HOST "Transfer-Encoding: identity\r\n\r\n", HTTP_UNKNOWN_CODING},
    {POST_HOST "Transfer-Encoding:\r\n\r\n", HTTP_UNKNOWN_CODING},
    {POST_HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
     HTTP_UNKNOWN_CODING},
};

static const struct good_sample {
    const char *head;
    const char *path;
    const char *query;
    bool keep_alive;
} GOOD[] = {
    {GET_HOST "\r\n", "/", "", true},
    {"\r\n\r\n" GET_HOST "\r\n", "/", "", true},
    {"GET /msgstream?transport=shortpolling&sessionKey=bob%3Ax HTTP/1.1\r\n" HOST "\r\n",
     "/msgstream", "transport=shortpolling&sessionKey=bob%3Ax", true},
    {"GET /a? HTTP/1.1\r\n" HOST "\r\n", "/a", "", true},
    {"GET /a?b?c HTTP/1.1\r\n" HOST "\r\n", "/a", "b?c", true},
    {"GET //a//b/ HTTP/1.1\r\n" HOST "\r\n", "//a//b/", "", true},
    {"GET http://example.com/a?b HTTP/1.1\r\n" HOST "\r\n", "/a", "b", true},
    {"GET HTTP://example.com:80?b HTTP/1.1\r\n" HOST "\r\n", "/", "b", true},
    {"GET https://[::1]:8443 HTTP/1.1\r\n" HOST "\r\n", "/", "", true},
    {"OPTIONS * HTTP/1.1\r\n" HOST "\r\n", "*", "", true},
    {"OPTIONS /a HTTP/1.1\r\n" HOST "\r\n", "/a", "", true},
    {"M-SEARCH / HTTP/1.1\r\n" HOST "\r\n", "/", "", true},
    {"METHODNAMESOFTHIRTYTWOBYTESLONG! / HTTP/1.1\r\n" HOST "\r\n", "/", "", true},
    {"GET / HTTP/1.2\r\n" HOST "\r\n", "/", "", true},
    {"GET / HTTP/1.0\r\n\r\n", "/", "", false},
    {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "/", "", true},
    {"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", "/", "", false},
    {GET_HOST "Connection: close\r\n\r\n", "/", "", false},
    {GET_HOST "Connection: upgrade\r\nConnection: x , CLOSE\r\n\r\n", "/", "", false},
    {GET_HOST "Connection: closed\r\n\r\n", "/", "", true},
    {GET_HOST "Empty:\r\nBlank: \t \r\nTabs:\ta\tb\t\r\nUtf8: \xc3\xa9\r\n\r\n", "/", "", true},
    {"GET / HTTP/1.1\r\nHOST:h.example:\r\n\r\n", "/", "", true},
    {"GET / HTTP/1.1\r\nHost: [2001:db8::1]:8080 \r\n\r\n", "/", "", true},
    {POST_HOST "Content-Length: 5\r\n\r\n", "/", "", true},
    {POST_HOST "transfer-encoding: Chunked\r\n\r\n", "/", "", true},
};

/* Parses a copy of exactly these bytes, so that a sanitizer sees any read past their end. */
static long parse_exactly(const char *head, size_t len, size_t max_head, enum http_error *error)
{
    char *copy = malloc(len ? len : 1);
    memcpy(copy, head, len);
    struct http_request request;
    long result = http_request_parse(slice_of(copy, len), max_head, &request, error);
    free(copy);
    return result;
}

START_TEST(malformed_requests_get_their_error)
{
    const struct bad_sample *sample = &BAD[_i];
    size_t len = strlen(sample->head);
    enum http_error error;
    ck_assert_msg(parse_exactly(sample->head, len, MAX_HEAD, &error) == -1, "accepted:\n%s",
                  sample->head);
    ck_assert_msg(error == sample->error, "error %d, wanted %d:\n%s", error, sample->error,
                  sample->head);
    bool failed = false;
    for (size_t cut = 0; cut <= len; cut++) {
        long result = parse_exactly(sample->head, cut, MAX_HEAD, &error);
        failed = failed || result == -1;
        ck_assert_int_eq(result, failed ? -1 : 0);
        ck_assert_int_eq(error, failed ? sample->error : HTTP_OK);
    }
}
END_TEST

START_TEST(nul_bytes_are_refused_everywhere)
{
    static const char HEAD[] = GET_HOST "A: b\r\n\r\n";
    for (size_t at = 0; at < sizeof HEAD - 1; at++) {
        char copy[sizeof HEAD];
        memcpy(copy, HEAD, sizeof HEAD);
        copy[at] = '\0';
        enum http_error error;
        ck_assert_int_eq(parse_exactly(copy, sizeof HEAD - 1, MAX_HEAD, &error), -1);
    }
}
END_TEST

START_TEST(well_formed_requests_need_all_their_bytes)
{
    const struct good_sample *sample = &GOOD[_i];
    size_t len = strlen(sample->head);
    enum http_error error;
    for (size_t cut = 0; cut < len; cut++) {
        ck_assert_int_eq(parse_exactly(sample->head, cut, MAX_HEAD, &error), 0);
        ck_assert_int_eq(error, HTTP_OK);
    }
    struct http_request request;
    struct buffer bytes = {0};
    ck_assert_int_eq(buffer_printf(&bytes, "%sGARBAGE\n\n", sample->head), 0);
    long result = http_request_parse(buffer_slice(&bytes), MAX_HEAD, &request, &error);
    ck_assert_msg(result == (long)len, "got %ld with error %d:\n%s", result, error, sample->head);
    ck_assert_slice_eq(request.path, sample->path);
    ck_assert_slice_eq(request.query, sample->query);
    ck_assert_int_eq(request.keep_alive, sample->keep_alive);
    buffer_free(&bytes);
}
END_TEST

static struct http_request parsed(const char *head)
{
    struct http_request request;
    enum http_error error;
    long len = http_request_parse(slice_from_string(head), MAX_HEAD, &request, &error);
    ck_assert_int_eq(len, (long)strlen(head));
    return request;
}

START_TEST(fields_are_found_in_any_case)
{
    struct http_request request =
        parsed(GET_HOST "ACCEPT:\t a b \t\r\nUpgrade: h2c\r\nupgrade:,, WebSocket ,x\r\n\r\n");
    ck_assert_slice_eq(request.method, "GET");
    ck_assert_uint_eq(request.field_count, 4);
    ck_assert_slice_eq(request.fields[1].name, "ACCEPT");
    ck_assert_slice_eq(http_request_field(&request, "accept"), "a b");
    ck_assert_slice_eq(http_request_field(&request, "upgrade"), "h2c");
    ck_assert_ptr_null(http_request_field(&request, "origin").data);
    ck_assert(http_request_has_token(&request, "upgrade", "websocket"));
    ck_assert(http_request_has_token(&request, "upgrade", "h2c"));
    ck_assert(!http_request_has_token(&request, "upgrade", "web"));
    ck_assert(!http_request_has_token(&request, "connection", "close"));
}
END_TEST

START_TEST(framing_fields_are_understood)
{
    struct http_request request =
        parsed(POST_HOST "Content-Length: 0042\r\nExpect: 100-Continue\r\n\r\n");
    ck_assert_uint_eq(request.content_length, 42);
    ck_assert(!request.chunked && request.expects_continue && !request.is_http_1_0);
    request = parsed(POST_HOST "Transfer-Encoding: chunked\r\n\r\n");
    ck_assert(request.chunked && !request.expects_continue);
    request = parsed(GET_HOST "Expect: 100-continue\r\n\r\n");
    ck_assert(!request.expects_continue);
    request = parsed("POST / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n");
    ck_assert(request.is_http_1_0 && !request.expects_continue);
}
END_TEST

START_TEST(heads_have_limits)
{
    static const char HEAD[] = GET_HOST "A: b\r\n\r\n";
    enum http_error error;
    long len = (long)sizeof HEAD - 1;
    ck_assert_int_eq(parse_exactly(HEAD, sizeof HEAD - 1, sizeof HEAD - 1, &error), len);
    for (size_t max = 0; max < sizeof HEAD - 1; max++) {
        ck_assert_int_eq(parse_exactly(HEAD, sizeof HEAD - 1, max, &error), -1);
        ck_assert_int_eq(error, max >= 4 && max < 6 ? HTTP_URI_TOO_LONG : HTTP_HEAD_TOO_LARGE);
        ck_assert_int_eq(parse_exactly(HEAD, max, max, &error), -1);
        ck_assert_int_eq(parse_exactly(HEAD, max, max + 1, &error), 0);
    }
    char empty_lines[MAX_HEAD];
    for (size_t i = 0; i < MAX_HEAD; i++)
        empty_lines[i] = i % 2 ? '\n' : '\r';
    ck_assert_int_eq(parse_exactly(empty_lines, MAX_HEAD - 1, MAX_HEAD, &error), 0);
    ck_assert_int_eq(parse_exactly(empty_lines, MAX_HEAD, MAX_HEAD, &error), -1);
    ck_assert_int_eq(error, HTTP_HEAD_TOO_LARGE);
}
END_TEST

START_TEST(fields_are_counted)
{
    struct buffer head = {0};
    enum http_error error;
    ck_assert_int_eq(buffer_append_string(&head, GET_HOST), 0);
    for (int i = 1; i < HTTP_FIELDS_MAX; i++)
        ck_assert_int_eq(buffer_append_string(&head, "A:\r\n"), 0);
    size_t full = buffer_len(&head);
    ck_assert_int_eq(buffer_append_string(&head, "\r\n"), 0);
    ck_assert_int_eq(parse_exactly(buffer_bytes(&head), buffer_len(&head), MAX_HEAD, &error),
                     (long)buffer_len(&head));
    buffer_truncate(&head, full);
    ck_assert_int_eq(buffer_append_string(&head, "A"), 0);
    ck_assert_int_eq(parse_exactly(buffer_bytes(&head), buffer_len(&head), MAX_HEAD, &error), -1);
    ck_assert_int_eq(error, HTTP_HEAD_TOO_LARGE);
    buffer_free(&head);
}
END_TEST

START_TEST(errors_have_a_status_and_a_text)
{
    for (int error = 0; error < HTTP_ERRORS; error++) {
        ck_assert_uint_ge(http_error_status(error), 200);
        ck_assert_uint_gt(strlen(http_error_text(error)), 10);
    }
    ck_assert_uint_eq(http_error_status(HTTP_UNKNOWN_CODING), 501);
    ck_assert_uint_eq(http_error_status(HTTP_URI_TOO_LONG), 414);
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_loop_test(cases, malformed_requests_get_their_error, 0, sizeof BAD / sizeof *BAD);
    tcase_add_test(cases, nul_bytes_are_refused_everywhere);
    tcase_add_loop_test(cases, well_formed_requests_need_all_their_bytes, 0,
                        sizeof GOOD / sizeof *GOOD);
    tcase_add_test(cases, fields_are_found_in_any_case);
    tcase_add_test(cases, framing_fields_are_understood);
    tcase_add_test(cases, heads_have_limits);
    tcase_add_test(cases, fields_are_counted);
    tcase_add_test(cases, errors_have_a_status_and_a_text);
}

UNIT_MAIN("http_request", add_tests)
