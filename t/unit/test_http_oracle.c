/* Well-formed requests, composed at random, mean the same to us and to http-parser. (Malformed ones
 * do not: it takes many that we refuse.) */
#include "unit.h"

#include <http_parser.h>

#include "base/buffer.h"
#include "codecs/http_request.h"

enum { ROUNDS = 2000, MAX_HEAD = 4096, MAX_BODY = 4096 };

static uint64_t random_state;

static unsigned below(unsigned bound)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(random_state >> 33) % bound;
}

#define PICK(choices) choices[below(sizeof(choices) / sizeof *(choices))]

static void append_body(struct buffer *request)
{
    static const char TEXT[] = "{\"a\":[1,2,3]}\r\n0\r\n\r\n";
    size_t len = below(sizeof TEXT);
    if (below(2)) {
        buffer_printf(request, "Content-Length: %zu\r\n\r\n%.*s", len, (int)len, TEXT);
        return;
    }
    buffer_append_string(request, "Transfer-Encoding: chunked\r\n\r\n");
    for (unsigned chunks = below(3); chunks > 0; chunks--)
        buffer_printf(request, "%zx%s\r\n%.*s\r\n", len + 1, below(2) ? ";a=b" : "", (int)len + 1,
                      "0123456789012345678901234567890123456789");
    buffer_append_string(request, below(2) ? "0\r\n\r\n" : "0\r\nX-Sum: 1\r\n\r\n");
}

static void compose(struct buffer *request)
{
    bool is_http_1_1 = below(2) == 0;
    static const char *const METHODS[] = {"GET", "POST", "DELETE", "PUT", "OPTIONS", "HEAD"};
    static const char *const TARGETS[] = {"/",          "/msgstream?a=b&c=%20", "/a/b/?",
                                          "/a?b?c",     "http://h/x?y",         "http://h:80/",
                                          "//msgstream"};
    /* One Connection field: http-parser lets keep-alive win over close (RFC 9112 section 9.3). */
    static const char *const CONNECTIONS[] = {"", "Connection: close\r\n",
                                              "Connection: keep-alive\r\n",
                                              "Connection: Upgrade , keep-alive\r\n"};
    static const char *const FIELDS[] = {"Accept:\t*/*  \r\n", "X-Empty:\r\n",
                                         "User-Agent: a b;c, \"d\"\r\n", "Cookie: a=b; c=d\r\n"};
    buffer_printf(request, "%s %s HTTP/1.%d\r\nHost: h\r\n%s", PICK(METHODS), PICK(TARGETS),
                  is_http_1_1, PICK(CONNECTIONS));
    for (unsigned fields = below(5); fields > 0; fields--)
        buffer_append_string(request, PICK(FIELDS));
    if (is_http_1_1)
        append_body(request);
    else
        buffer_append_string(request, "\r\n");
}

/* What http-parser says. */
struct heard {
    struct buffer url, fields, body;
    bool keep_alive, complete;
};

static int on_url(http_parser *parser, const char *at, size_t len)
{
    return buffer_append(&((struct heard *)parser->data)->url, at, len);
}

static int on_name(http_parser *parser, const char *at, size_t len)
{
    struct heard *heard = parser->data;
    return buffer_append(&heard->fields, "\n", 1) || buffer_append(&heard->fields, at, len);
}

static int on_value(http_parser *parser, const char *at, size_t len)
{
    struct heard *heard = parser->data;
    while (len > 0 && (at[len - 1] == ' ' || at[len - 1] == '\t'))
        len--;
    return buffer_append(&heard->fields, ":", 1) || buffer_append(&heard->fields, at, len);
}

static int on_head(http_parser *parser)
{
    struct heard *heard = parser->data;
    heard->keep_alive = http_should_keep_alive(parser);
    return buffer_append(&heard->fields, "\n", 1);
}

static int on_body(http_parser *parser, const char *at, size_t len)
{
    return buffer_append(&((struct heard *)parser->data)->body, at, len);
}

static int on_complete(http_parser *parser)
{
    ((struct heard *)parser->data)->complete = true;
    return 0;
}

static struct heard hear(struct slice bytes)
{
    static const http_parser_settings SETTINGS = {.on_url = on_url,
                                                  .on_header_field = on_name,
                                                  .on_header_value = on_value,
                                                  .on_headers_complete = on_head,
                                                  .on_body = on_body,
                                                  .on_message_complete = on_complete};
    struct heard heard = {0};
    http_parser parser;
    http_parser_init(&parser, HTTP_REQUEST);
    parser.data = &heard;
    http_parser_execute(&parser, &SETTINGS, bytes.data, bytes.len);
    ck_assert_msg(heard.complete, "%s:\n%s", http_errno_name(HTTP_PARSER_ERRNO(&parser)),
                  bytes.data);
    return heard;
}

static void check_head(const struct http_request *request, const struct heard *heard)
{
    struct buffer fields = {0};
    for (size_t i = 0; i < request->field_count; i++) {
        const struct http_field *field = &request->fields[i];
        buffer_printf(&fields, "\n%.*s:%.*s", (int)field->name.len, field->name.data,
                      (int)field->value.len, field->value.data);
    }
    buffer_append_string(&fields, "\n");
    /* Trailers come after the fields in what was heard; we drop them. */
    ck_assert_uint_ge(buffer_len(&heard->fields), buffer_len(&fields));
    ck_assert_int_eq(
        memcmp(buffer_bytes(&fields), buffer_bytes(&heard->fields), buffer_len(&fields)), 0);
    buffer_free(&fields);

    struct http_parser_url url;
    http_parser_url_init(&url);
    const char *text = buffer_bytes(&heard->url);
    ck_assert_int_eq(http_parser_parse_url(text, buffer_len(&heard->url), 0, &url), 0);
    ck_assert(slice_equal(
        request->path, slice_of(text + url.field_data[UF_PATH].off, url.field_data[UF_PATH].len)));
    ck_assert(slice_equal(request->query, slice_of(text + url.field_data[UF_QUERY].off,
                                                   url.field_data[UF_QUERY].len)));
    ck_assert_int_eq(request->keep_alive, heard->keep_alive);
}

static void check_body(const struct http_request *request, struct slice in,
                       const struct heard *heard)
{
    struct http_body body;
    struct slice out;
    struct buffer decoded = {0};
    enum http_error error;
    enum http_body_progress progress = http_body_start(&body, request, MAX_BODY, &error);
    while (progress == HTTP_BODY_MORE && in.len > 0) {
        progress = http_body_feed(&body, &in, &out, &error);
        ck_assert_int_eq(buffer_append_slice(&decoded, out), 0);
    }
    ck_assert_int_eq(progress, HTTP_BODY_DONE);
    ck_assert_uint_eq(in.len, 0);
    ck_assert(slice_equal(buffer_slice(&decoded), buffer_slice(&heard->body)));
    buffer_free(&decoded);
}

START_TEST(well_formed_requests_mean_the_same)
{
    for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
        struct buffer bytes = {0};
        random_state = seed;
        compose(&bytes);
        struct heard heard = hear(buffer_slice(&bytes));
        struct http_request request;
        enum http_error error;
        long head = http_request_parse(buffer_slice(&bytes), MAX_HEAD, &request, &error);
        ck_assert_int_gt(head, 0);
        check_head(&request, &heard);
        check_body(&request,
                   slice_of(buffer_bytes(&bytes) + head, buffer_len(&bytes) - (size_t)head),
                   &heard);
        buffer_free(&bytes);
        buffer_free(&heard.url);
        buffer_free(&heard.fields);
        buffer_free(&heard.body);
    }
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, well_formed_requests_mean_the_same);
}

UNIT_MAIN("http_oracle", add_tests)
