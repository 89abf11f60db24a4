#include "unit.h"

#include <errno.h>

#include "codecs/query_string.h"

START_TEST(parameters_are_taken_one_by_one)
{
    static const char *const WANTED[][2] = {{"a", "1"}, {"b", ""},    {"c", ""},
                                            {"", "d"},  {"e", "f=g"}, {"h%3D", "%26+"}};
    struct slice query = slice_from_string("&a=1&&b=&c&=d&e=f=g&h%3D=%26+&");
    struct query_parameter parameter;
    for (size_t i = 0; i < sizeof WANTED / sizeof *WANTED; i++) {
        ck_assert(query_next(&query, &parameter));
        ck_assert_slice_eq(parameter.name, WANTED[i][0]);
        ck_assert_slice_eq(parameter.value, WANTED[i][1]);
    }
    ck_assert(!query_next(&query, &parameter));
    query = SLICE_EMPTY;
    ck_assert(!query_next(&query, &parameter));
}
END_TEST

START_TEST(text_is_decoded)
{
    struct buffer out = {0};
    ck_assert_int_eq(query_decode(SLICE_LITERAL("a%2Cb%2c+%C3%A9%00"), &out), 0);
    ck_assert_int_eq(query_decode(SLICE_EMPTY, &out), 0);
    ck_assert_uint_eq(buffer_len(&out), 8);
    ck_assert_int_eq(memcmp(buffer_bytes(&out), "a,b, \xc3\xa9\0", 8), 0);
    buffer_free(&out);
    char room[4];
    ck_assert_int_eq(path_decode_into(SLICE_LITERAL("a+%2f"), room, sizeof room), 3);
    ck_assert_slice_eq(slice_of(room, 3), "a+/");
    ck_assert_int_eq(query_decode_into(SLICE_LITERAL("%61bcd"), room, sizeof room), 4);
    ck_assert_slice_eq(slice_of(room, 4), "abcd");
    errno = 0;
    ck_assert_int_eq(query_decode_into(SLICE_LITERAL("abcde"), room, sizeof room), -1);
    ck_assert_int_eq(errno, ERANGE);
}
END_TEST

START_TEST(broken_escapes_are_refused)
{
    static const char *const BROKEN[] = {"%", "a%", "%1", "%g0", "%0g", "%%41", "%+1", "ab%4"};
    for (size_t i = 0; i < sizeof BROKEN / sizeof *BROKEN; i++) {
        struct buffer out = {0};
        ck_assert_int_eq(buffer_append_string(&out, "kept"), 0);
        errno = 0;
        ck_assert_int_eq(query_decode(slice_from_string(BROKEN[i]), &out), -1);
        ck_assert_int_eq(errno, EINVAL);
        ck_assert_slice_eq(buffer_slice(&out), "kept");
        buffer_free(&out);
    }
}
END_TEST

START_TEST(names_match_however_they_are_spelled)
{
    struct query_parameter parameter = {.name = SLICE_LITERAL("session%4bey")};
    ck_assert(query_name_is(&parameter, "sessionKey"));
    ck_assert(!query_name_is(&parameter, "session"));
    ck_assert(!query_name_is(&parameter, "sessionKeys"));
    ck_assert(!query_name_is(&parameter, "sessionkey"));
    parameter.name = SLICE_LITERAL("a%");
    ck_assert(!query_name_is(&parameter, "a%"));
}
END_TEST

START_TEST(routes_match_with_slashes_to_spare)
{
    static const char *const SAME[] = {"/msgstream", "/msgstream/", "//msgstream", "//msgstream//"};
    static const char *const OTHER[] = {
        "", "*", "/", "msgstream", "/msgstreams", "/msgstrea", "/msgstream/x", "/x/msgstream"};
    for (size_t i = 0; i < sizeof SAME / sizeof *SAME; i++)
        ck_assert(path_matches_route(slice_from_string(SAME[i]), "/msgstream"));
    for (size_t i = 0; i < sizeof OTHER / sizeof *OTHER; i++)
        ck_assert(!path_matches_route(slice_from_string(OTHER[i]), "/msgstream"));
    ck_assert(path_matches_route(SLICE_LITERAL("/a//b"), "/a/b/"));
    ck_assert(!path_matches_route(SLICE_LITERAL("/ab"), "/a/b"));
    ck_assert(path_matches_route(SLICE_LITERAL("//"), "/"));
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, parameters_are_taken_one_by_one);
    tcase_add_test(cases, text_is_decoded);
    tcase_add_test(cases, broken_escapes_are_refused);
    tcase_add_test(cases, names_match_however_they_are_spelled);
    tcase_add_test(cases, routes_match_with_slashes_to_spare);
}

UNIT_MAIN("query_string", add_tests)
