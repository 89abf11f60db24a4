#include "unit.h"

#include "base/buffer.h"
#include "codecs/http_request.h"

enum { MAX_BODY = 64 };

#define X16 "xxxxxxxxxxxxxxxx"

static const struct body_sample {
    const char *encoded;
    const char *decoded; /* before an error */
    enum http_error error;
} CHUNKED[] = {
    {"0\r\n\r\n", "", HTTP_OK},
    {"5\r\nhello\r\n0\r\n\r\n", "hello", HTTP_OK},
    {"00000005\r\nhello\r\n000\r\n\r\n", "hello", HTTP_OK},
    {"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789", HTTP_OK},
    {"1;ext\r\na\r\n1;n=\"v;\\\"\"; m = x\r\nb\r\n0;last\r\n\r\n", "ab", HTTP_OK},
    {"2\r\n\r\n\r\n0\r\n\r\n", "\r\n", HTTP_OK},
    {"1\r\na\r\n0\r\nTrailer: 1\r\nX:\r\n\r\n", "a", HTTP_OK},
    {"40\r\n" X16 X16 X16 X16 "\r\n0\r\n\r\n", X16 X16 X16 X16, HTTP_OK},
    {"\r\n", "", HTTP_BAD_CHUNK},
    {"\n", "", HTTP_BAD_CHUNK},
    {";a\r\n", "", HTTP_BAD_CHUNK},
    {"g\r\n", "", HTTP_BAD_CHUNK},
    {"-1\r\n", "", HTTP_BAD_CHUNK},
    {"+1\r\n", "", HTTP_BAD_CHUNK},
    {" 1\r\n", "", HTTP_BAD_CHUNK},
    {"0x1\r\n", "", HTTP_BAD_CHUNK},
    {"1 \r\n", "", HTTP_BAD_CHUNK},
    {"1 ;a\r\n", "", HTTP_BAD_CHUNK},
    {"1\n", "", HTTP_BAD_CHUNK},
    {"1\r\r", "", HTTP_BAD_CHUNK},
    {"1;a\n", "", HTTP_BAD_CHUNK},
    {"1;a\x01\r\n", "", HTTP_BAD_CHUNK},
    {"1;a\ra\r\n", "", HTTP_BAD_CHUNK},
    {"1;a=\"b\r\n", "", HTTP_BAD_CHUNK},
    {"1;a=\"\\\r\n", "", HTTP_BAD_CHUNK},
    {"1;" X16 X16 X16 X16, "", HTTP_BAD_CHUNK},
    {"00000000000000001\r\n", "", HTTP_BAD_CHUNK},
    {"41\r\n", "", HTTP_BODY_TOO_LARGE},
    {"ffffffffffffffff\r\n", "", HTTP_BODY_TOO_LARGE},
    {"1\r\na\r\n40\r\n", "a", HTTP_BODY_TOO_LARGE},
    {"1\r\nab\r\n", "a", HTTP_BAD_CHUNK},
    {"1\r\na\n", "a", HTTP_BAD_CHUNK},
    {"1\r\na\r0", "a", HTTP_BAD_CHUNK},
    {"1\r\na0\r\n\r\n", "a", HTTP_BAD_CHUNK},
    {"0\r\nA\r\n\r\n", "", HTTP_BAD_FIELD},
    {"0\r\nA : b\r\n\r\n", "", HTTP_BAD_FIELD},
    {"0\r\n:b\r\n\r\n", "", HTTP_BAD_FIELD},
    {"0\r\n folded\r\n\r\n", "", HTTP_BAD_FIELD},
    {"0\r\nA: b\n\r\n", "", HTTP_BAD_FIELD},
    {"0\r\nA: b\x7f\r\n\r\n", "", HTTP_BAD_FIELD},
    {"0\r\nA: b\rC: d\r\n\r\n", "", HTTP_BAD_FIELD},
    {"0\r\n\n", "", HTTP_BAD_FIELD},
    {"0\r\n\r\r", "", HTTP_BAD_FIELD},
};

/* Feeds one piece; what it decodes is appended to `decoded`. The piece is a copy of its own, so
 * that a sanitizer sees any read past its end. Returns the bytes that were not taken. */
static size_t feed(struct http_body *body, const char *bytes, size_t len, struct buffer *decoded,
                   enum http_body_progress *progress, enum http_error *error)
{
    char *copy = malloc(len ? len : 1);
    memcpy(copy, bytes, len);
    struct slice in = slice_of(copy, len), out;
    do {
        *progress = http_body_feed(body, &in, &out, error);
        ck_assert_int_eq(buffer_append_slice(decoded, out), 0);
    } while (*progress == HTTP_BODY_MORE && in.len > 0);
    free(copy);
    return in.len;
}

/* Feeds the sample in two pieces, or (first = 0) byte by byte. */
static void check_fed(const struct body_sample *sample, size_t first)
{
    const struct http_request request = {.chunked = true};
    size_t len = strlen(sample->encoded), at = 0;
    struct http_body body;
    struct buffer decoded = {0};
    enum http_error error;
    enum http_body_progress progress = http_body_start(&body, &request, MAX_BODY, &error);
    while (progress == HTTP_BODY_MORE && at < len) {
        size_t piece = first == 0 ? 1 : at == 0 ? first : len - at;
        feed(&body, sample->encoded + at, piece, &decoded, &progress, &error);
        at += piece;
    }
    ck_assert_msg(error == sample->error, "error %d, wanted %d:\n%s", error, sample->error,
                  sample->encoded);
    ck_assert_int_eq(progress, sample->error == HTTP_OK ? HTTP_BODY_DONE : HTTP_BODY_ERROR);
    ck_assert_slice_eq(buffer_slice(&decoded), sample->decoded);
    ck_assert_uint_eq(body.taken, buffer_len(&decoded));
    buffer_free(&decoded);
}

START_TEST(chunked_bodies_decode_at_any_split)
{
    const struct body_sample *sample = &CHUNKED[_i];
    for (size_t first = 0; first <= strlen(sample->encoded); first++)
        check_fed(sample, first);
}
END_TEST

START_TEST(what_follows_a_body_is_left)
{
    const struct http_request chunked = {.chunked = true}, sized = {.content_length = 3};
    struct http_body body;
    struct buffer decoded = {0};
    enum http_error error;
    enum http_body_progress progress = http_body_start(&body, &chunked, MAX_BODY, &error);
    ck_assert_uint_eq(feed(&body, "3\r\nabc\r\n0\r\n\r\nGET", 16, &decoded, &progress, &error), 3);
    ck_assert_int_eq(progress, HTTP_BODY_DONE);
    progress = http_body_start(&body, &sized, MAX_BODY, &error);
    ck_assert_int_eq(progress, HTTP_BODY_MORE);
    ck_assert_uint_eq(feed(&body, "de", 2, &decoded, &progress, &error), 0);
    ck_assert_int_eq(progress, HTTP_BODY_MORE);
    ck_assert_uint_eq(feed(&body, "fGET", 4, &decoded, &progress, &error), 3);
    ck_assert_int_eq(progress, HTTP_BODY_DONE);
    ck_assert_slice_eq(buffer_slice(&decoded), "abcdef");
    buffer_free(&decoded);
}
END_TEST

START_TEST(lengths_are_bounded_before_any_byte)
{
    struct http_request request = {.content_length = MAX_BODY + 1};
    struct http_body body;
    enum http_error error;
    ck_assert_int_eq(http_body_start(&body, &request, MAX_BODY, &error), HTTP_BODY_ERROR);
    ck_assert_int_eq(error, HTTP_BODY_TOO_LARGE);
    request.content_length = MAX_BODY;
    ck_assert_int_eq(http_body_start(&body, &request, MAX_BODY, &error), HTTP_BODY_MORE);
    request.content_length = 0;
    ck_assert_int_eq(http_body_start(&body, &request, MAX_BODY, &error), HTTP_BODY_DONE);
}
END_TEST

START_TEST(trailers_are_bounded)
{
    const struct http_request request = {.chunked = true};
    struct http_body body;
    struct buffer decoded = {0};
    enum http_error error;
    enum http_body_progress progress = http_body_start(&body, &request, MAX_BODY, &error);
    feed(&body, "0\r\n", 3, &decoded, &progress, &error);
    for (int i = 0; i < 1000 && progress == HTTP_BODY_MORE; i++)
        feed(&body, "Trailer: x\r\n", 12, &decoded, &progress, &error);
    ck_assert_int_eq(progress, HTTP_BODY_ERROR);
    ck_assert_int_eq(error, HTTP_HEAD_TOO_LARGE);
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_loop_test(cases, chunked_bodies_decode_at_any_split, 0,
                        sizeof CHUNKED / sizeof *CHUNKED);
    tcase_add_test(cases, what_follows_a_body_is_left);
    tcase_add_test(cases, lengths_are_bounded_before_any_byte);
    tcase_add_test(cases, trailers_are_bounded);
}

UNIT_MAIN("http_body", add_tests)
