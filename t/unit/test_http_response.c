#include "unit.h"

#include "codecs/http_request.h"
#include "codecs/http_response.h"

static void check_head(struct http_response response, const char *wanted)
{
    struct buffer out = {0};
    ck_assert_int_eq(buffer_append_string(&out, "before"), 0);
    ck_assert_int_eq(http_response_head(&out, &response), 0);
    buffer_consume(&out, strlen("before"));
    ck_assert_slice_eq(buffer_slice(&out), wanted);
    buffer_free(&out);
}

START_TEST(heads_have_the_fields_asked_for)
{
    check_head((struct http_response){.status = 200},
               "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    check_head((struct http_response){.status = 204,
                                      .content_length = HTTP_NO_LENGTH,
                                      .close = true,
                                      .extra = "Pragma: no-cache\r\n"},
               "HTTP/1.1 204 No Content\r\nConnection: close\r\nPragma: no-cache\r\n\r\n");
    check_head((struct http_response){.status = 200,
                                      .content_type = "application/json",
                                      .content_length = 12345678901,
                                      .keep_alive_1_0 = true},
               "HTTP/1.1 200 OK\r\nContent-Length: 12345678901\r\n"
               "Connection: keep-alive\r\ncontent-type: application/json\r\n\r\n");
    check_head(
        (struct http_response){
            .status = 299, .extra = "a: b\r\n", .more = "c: d\r\n", .idle_s = 59},
        "HTTP/1.1 299 \r\nContent-Length: 0\r\na: b\r\nc: d\r\n"
        "keep-alive: timeout=59\r\n\r\n");
}
END_TEST

START_TEST(every_error_has_a_phrase)
{
    for (int error = 0; error < HTTP_ERRORS; error++)
        ck_assert_str_ne(http_status_text(http_error_status(error)), "");
    ck_assert_str_eq(http_status_text(404), "Not Found");
    ck_assert_str_eq(http_status_text(299), "");
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, heads_have_the_fields_asked_for);
    tcase_add_test(cases, every_error_has_a_phrase);
}

UNIT_MAIN("http_response", add_tests)
