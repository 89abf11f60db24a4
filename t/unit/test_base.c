#include "unit.h"

#include <errno.h>

#include "base/blob.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/encoding.h"
#include "base/log.h"
#include "base/table.h"
#include "base/units.h"

START_TEST(buffer_keeps_what_is_appended_and_frees_what_is_consumed)
{
    struct buffer b = {0};
    char expected[4000];
    for (size_t i = 0; i < sizeof expected; i++) {
        expected[i] = (char)('a' + i % 26);
        ck_assert_int_eq(buffer_append(&b, &expected[i], 1), 0);
    }
    ck_assert_uint_eq(buffer_len(&b), sizeof expected);
    for (size_t done = 0; done < sizeof expected; done += 100) {
        ck_assert_mem_eq(buffer_bytes(&b), expected + done, sizeof expected - done);
        buffer_consume(&b, 100);
    }
    ck_assert_ptr_null(b.data);
}
END_TEST

START_TEST(buffer_slides_and_grows_without_losing_bytes)
{
    struct buffer b = {0};
    unsigned next_in = 0, next_out = 0;
    for (int round = 0; round < 3000; round++) {
        for (int i = 0; i < round % 7; i++) {
            unsigned char c = (unsigned char)next_in++;
            ck_assert_int_eq(buffer_append(&b, &c, 1), 0);
        }
        for (int i = 0; i < round % 5 && buffer_len(&b) > 0; i++) {
            ck_assert_uint_eq((unsigned char)*buffer_bytes(&b), (unsigned char)next_out++);
            buffer_consume(&b, 1);
        }
    }
    ck_assert_uint_eq(buffer_len(&b), next_in - next_out);
    buffer_free(&b);
}
END_TEST

START_TEST(buffer_prints_and_truncates)
{
    struct buffer b = {0};
    ck_assert_int_eq(buffer_append_u64(&b, UINT64_MAX), 0);
    ck_assert_slice_eq(buffer_slice(&b), "18446744073709551615");
    ck_assert_int_eq(buffer_printf(&b, "/%d", -5), 0);
    buffer_truncate(&b, 2);
    ck_assert_slice_eq(buffer_slice(&b), "18");
    buffer_truncate(&b, 0);
    ck_assert_ptr_null(b.data);
}
END_TEST

START_TEST(blob_lives_as_long_as_its_references)
{
    struct blob *blob = blob_new(SLICE_LITERAL("[[\"a\"]]"));
    ck_assert_ptr_eq(blob_retain(blob), blob);
    blob_release(blob);
    ck_assert_slice_eq(blob_slice(blob), "[[\"a\"]]");
    blob_release(blob);
}
END_TEST

/* RFC 4648 section 10. */
START_TEST(base64_vectors)
{
    static const char *const VECTORS[][2] = {{"", ""},
                                             {"f", "Zg=="},
                                             {"fo", "Zm8="},
                                             {"foo", "Zm9v"},
                                             {"foob", "Zm9vYg=="},
                                             {"fooba", "Zm9vYmE="},
                                             {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < sizeof VECTORS / sizeof *VECTORS; i++) {
        char text[16], back[16];
        size_t len = strlen(VECTORS[i][0]);
        encode_base64(VECTORS[i][0], len, text);
        ck_assert_str_eq(text, VECTORS[i][1]);
        ck_assert_int_eq(decode_base64(slice_from_string(text), back), (long)len);
        ck_assert_mem_eq(back, VECTORS[i][0], len);
    }
    char text[16];
    ck_assert_uint_eq(encode_base64url("\xff\xef\xfe\xff", 4, text), 6);
    ck_assert_str_eq(text, "_-_-_w");
}
END_TEST

START_TEST(base64_refuses_what_is_not_canonical)
{
    static const char *const BAD[] = {
        "Z", "Zg", "Zg=", "Zh==", "Zm9=", "Z===", "====", "Zm 9", "Zm9v="};
    char bytes[16];
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++)
        ck_assert_msg(decode_base64(slice_from_string(BAD[i]), bytes) == -1, "%s", BAD[i]);
}
END_TEST

START_TEST(durations_and_sizes)
{
    static const struct {
        const char *text;
        uint64_t bare, ms;
    } GOOD[] = {{"30", 1000, 30000},   {"30000", 1, 30000},  {"1.5s", 1000, 1500},
                {"10m", 1000, 600000}, {"250ms", 1000, 250}, {"2h", 1, 7200000},
                {"7d", 1, 604800000},  {"0", 1000, 0}};
    uint64_t value;
    for (size_t i = 0; i < sizeof GOOD / sizeof *GOOD; i++) {
        ck_assert_int_eq(parse_duration(slice_from_string(GOOD[i].text), GOOD[i].bare, &value), 0);
        ck_assert_uint_eq(value, GOOD[i].ms);
    }
    static const char *const BAD[] = {"",    "s",   "-1",  "+1",   "1x",
                                      "1.s", ".5s", "1 0", "0x10", "1e3"};
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++)
        ck_assert_int_eq(parse_duration(slice_from_string(BAD[i]), 1000, &value), -1);
    ck_assert_int_eq(parse_size(SLICE_LITERAL("64KiB"), &value), 0);
    ck_assert_uint_eq(value, 65536);
    ck_assert_int_eq(parse_size(SLICE_LITERAL("99999999999999999999"), &value), -1);
    ck_assert_int_eq(errno, ERANGE);
    char text[UNIT_TEXT_ROOM];
    format_duration(90000, text);
    ck_assert_str_eq(text, "90s");
    format_duration(600000, text);
    ck_assert_str_eq(text, "10m");
    format_size(65536, text);
    ck_assert_str_eq(text, "64KiB");
    format_size(1000, text);
    ck_assert_str_eq(text, "1000B");
}
END_TEST

START_TEST(log_text_escapes_and_cuts)
{
    ck_assert_str_eq(LOG_TEXT(SLICE_LITERAL("a\"b\n\x01")), "\"a\\\"b\\x0a\\x01\"");
    char longer[200];
    memset(longer, 'x', sizeof longer);
    const char *cut = LOG_TEXT(slice_of(longer, sizeof longer));
    ck_assert_uint_eq(strlen(cut), 120 + 2 + 3);
}
END_TEST

START_TEST(log_limit_counts_what_it_holds_back)
{
    struct log_limit limit = {0};
    uint64_t suppressed = 99;
    ck_assert(log_limit_pass(&limit, 60000, &suppressed));
    ck_assert_uint_eq(suppressed, 0);
    ck_assert(!log_limit_pass(&limit, 60000, &suppressed));
    ck_assert_uint_eq(limit.suppressed, 1);
}
END_TEST

struct entry {
    int key;
    UT_hash_handle hh;
};

START_TEST(table_finds_what_was_added)
{
    static struct entry entries[1000];
    struct entry *table = NULL, *found;
    for (int i = 0; i < 1000; i++) {
        struct entry *entry = &entries[i];
        entry->key = i * 7;
        HASH_ADD_INT(table, key, entry);
        ck_assert_ptr_nonnull(entry->hh.tbl);
    }
    for (int i = 0; i < 1000; i++) {
        int key = i * 7;
        HASH_FIND_INT(table, &key, found);
        ck_assert_ptr_eq(found, &entries[i]);
    }
    HASH_CLEAR(hh, table);
    ck_assert_uint_eq(table_hash("abc", 3), table_hash("abc", 3));
    ck_assert_uint_ne(table_hash("abc", 3), table_hash("abd", 3));
}
END_TEST

START_TEST(steady_clock_starts_at_the_wall_clock_and_never_goes_back)
{
    /* Another process may run between the first readings of the two clocks. */
    enum { ROOM_MS = 10000 };
    uint64_t wall = clock_wall_ms(), first = clock_steady_ms(), last = first;
    ck_assert_uint_ge(first + ROOM_MS, wall);
    ck_assert_uint_le(first, clock_wall_ms() + 1);
    for (uint64_t end = clock_monotonic_ms() + 5; clock_monotonic_ms() < end;) {
        uint64_t now = clock_steady_ms();
        ck_assert_uint_ge(now, last);
        last = now;
    }
    ck_assert_uint_ge(clock_steady_ms(), first + 3);
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, buffer_keeps_what_is_appended_and_frees_what_is_consumed);
    tcase_add_test(cases, buffer_slides_and_grows_without_losing_bytes);
    tcase_add_test(cases, buffer_prints_and_truncates);
    tcase_add_test(cases, blob_lives_as_long_as_its_references);
    tcase_add_test(cases, base64_vectors);
    tcase_add_test(cases, base64_refuses_what_is_not_canonical);
    tcase_add_test(cases, durations_and_sizes);
    tcase_add_test(cases, log_text_escapes_and_cuts);
    tcase_add_test(cases, log_limit_counts_what_it_holds_back);
    tcase_add_test(cases, steady_clock_starts_at_the_wall_clock_and_never_goes_back);
    tcase_add_test(cases, table_finds_what_was_added);
}

UNIT_MAIN("base", add_tests)
