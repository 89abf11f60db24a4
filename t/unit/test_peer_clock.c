#include "unit.h"
#include "workers/relay/mesh/peer_clock.h"

enum { SECOND = 1000 * 1000 };

/* Its clock is 500 s behind ours. */
START_TEST(the_fastest_envelope_tells)
{
    struct peer_clock clock = {0};
    uint64_t then = 100 * (uint64_t)SECOND, ours = 600 * (uint64_t)SECOND;
    /* 3 s on its way, when nothing is known; then 1 ms; then 9 s, which mislead no more. */
    ck_assert_uint_eq(peer_clock_to_ours(&clock, ours + 3 * SECOND, then, 0), ours + 3 * SECOND);
    ck_assert_uint_eq(peer_clock_to_ours(&clock, ours + 5 * SECOND + 1000, then, 5 * SECOND),
                      ours + 1000);
    uint64_t told = peer_clock_to_ours(&clock, ours + 20 * SECOND, then, 11 * SECOND);
    ck_assert_uint_ge(told, ours + 1000);
    ck_assert_uint_le(told, ours + 1000 + 20 * SECOND / 2000);
}
END_TEST

START_TEST(a_clock_that_is_slower_than_ours_is_followed)
{
    struct peer_clock clock = {0};
    uint64_t day = 86400 * (uint64_t)SECOND;
    peer_clock_to_ours(&clock, day, day, 0);
    /* A day later it has lost 4 s; all of its envelopes show that, and none is in the past. */
    uint64_t told = peer_clock_to_ours(&clock, 2 * day, 2 * day - 4 * SECOND, 0);
    ck_assert_uint_eq(told, 2 * day);
}
END_TEST

START_TEST(a_system_that_was_started_again_has_another_clock)
{
    struct peer_clock clock = {0};
    uint64_t day = 86400 * (uint64_t)SECOND;
    peer_clock_to_ours(&clock, day, 5 * day, 0);
    ck_assert_uint_eq(peer_clock_to_ours(&clock, day + 60 * SECOND, 20 * SECOND, SECOND),
                      day + 59 * SECOND);
    ck_assert_uint_eq(peer_clock_to_ours(&clock, day + 70 * SECOND, 9 * day, 0), day + 70 * SECOND);
}
END_TEST

/* Whatever a peer says, it is a number. */
START_TEST(nonsense_is_survived)
{
    const uint64_t times[] = {0, 1, UINT64_MAX / 8};
    struct peer_clock clock = {0};
    for (size_t i = 0; i < 27; i++)
        peer_clock_to_ours(&clock, 1 + times[i % 3], times[i / 3 % 3], times[i / 9]);
    ck_assert_uint_eq(peer_clock_to_ours(&clock, SECOND, UINT64_MAX / 8, UINT64_MAX / 8), 0);
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, the_fastest_envelope_tells);
    tcase_add_test(cases, a_clock_that_is_slower_than_ours_is_followed);
    tcase_add_test(cases, a_system_that_was_started_again_has_another_clock);
    tcase_add_test(cases, nonsense_is_survived);
}

UNIT_MAIN("peer_clock", add_tests)
