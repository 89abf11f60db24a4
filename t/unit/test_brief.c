#include "unit.h"

#include "ctl/brief.h"

START_TEST(seconds_are_told_in_few_characters)
{
    static const struct {
        uint64_t seconds;
        const char *expected;
    } CASES[] = {{0, "0s"},    {1, "1s"},       {119, "119s"},  {120, "2m"},       {7199, "119m"},
                 {7200, "2h"}, {172799, "47h"}, {172800, "2d"}, {31536000, "365d"}};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        char text[BRIEF_ROOM];
        ck_assert_str_eq(brief_seconds(CASES[i].seconds, text), CASES[i].expected);
    }
}
END_TEST

START_TEST(counts_fit_seven_characters)
{
    static const struct {
        uint64_t count;
        const char *expected;
    } CASES[] = {{0, "0"},
                 {9999999, "9999999"},
                 {10000000, "10000k"},
                 {999999999, "999999k"},
                 {1234567890, "1234M"},
                 {UINT64_MAX, "18446P"}};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        char text[BRIEF_ROOM];
        ck_assert_str_eq(brief_count(CASES[i].count, text), CASES[i].expected);
    }
}
END_TEST

START_TEST(round_trips_are_told_in_few_characters)
{
    static const struct {
        double milliseconds;
        const char *expected;
    } CASES[] = {{0.043, "43us"}, {0.999, "999us"}, {1, "1.0ms"},  {9.94, "9.9ms"},
                 {10, "10ms"},    {820.4, "820ms"}, {1000, "1.0s"}};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        char text[BRIEF_ROOM];
        ck_assert_str_eq(brief_milliseconds(CASES[i].milliseconds, text), CASES[i].expected);
    }
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, seconds_are_told_in_few_characters);
    tcase_add_test(cases, counts_fit_seven_characters);
    tcase_add_test(cases, round_trips_are_told_in_few_characters);
}

UNIT_MAIN("brief", add_tests)
