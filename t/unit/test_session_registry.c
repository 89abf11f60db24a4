#include "registry_fixture.h"

#include "codecs/session_key.h"
#include "workers/relay/attachment.h"

START_TEST(secrets_are_random_unless_given)
{
    start();
    struct session *made = create("bob", "", 0, 0), *other = create("bob", "", 0, 0);
    ck_assert_uint_eq(made->address_len, strlen("sess/bob:") + 22);
    ck_assert(address_is_valid(session_address(made)));
    ck_assert(!slice_equal(session_address(made), session_address(other)));
    ck_assert_ptr_eq(session_find(&registry, session_address(made)), made);
    struct session *given = create("a:b c", "Secret.1", 0, 0);
    ck_assert_slice_eq(session_address(given), "sess/a:b c:Secret.1");
    ck_assert_ptr_null(session_find(&registry, SLICE_LITERAL("sess/bob:")));
    stop();
}
END_TEST

START_TEST(what_cannot_be_created_is_said)
{
    start();
    struct session *session = NULL;
    create("bob", "x", 0, 0);
    struct session_order order = {.actor = SLICE_LITERAL("bob"), .secret = SLICE_LITERAL("x")};
    ck_assert_int_eq(session_create(&registry, &order, 0, &session), OUTCOME_EXISTS);
    order.secret = SLICE_LITERAL("no/slash");
    ck_assert_int_eq(session_create(&registry, &order, 0, &session), OUTCOME_INVALID_KEY);
    order = (struct session_order){.actor = SLICE_EMPTY};
    ck_assert_int_eq(session_create(&registry, &order, 0, &session), OUTCOME_INVALID_KEY);
    order = (struct session_order){.actor = SLICE_LITERAL("b"), .home = SLICE_LITERAL("nonsense")};
    ck_assert_int_eq(session_create(&registry, &order, 0, &session), OUTCOME_INVALID_KEY);
    order.home = SLICE_EMPTY;
    registry.session_limit = 1;
    ck_assert_int_eq(session_create(&registry, &order, 0, &session), OUTCOME_OVER_LIMIT);
    registry.session_limit = 10;
    budget.limit = budget.used + 10;
    ck_assert_int_eq(session_create(&registry, &order, 0, &session), OUTCOME_OVER_LIMIT);
    budget.limit = 1 << 20;
    failing = true;
    ck_assert_int_eq(session_create(&registry, &order, 0, &session), OUTCOME_OVER_LIMIT);
    ck_assert_uint_eq(metrics.values[METRIC_SESSIONS], 1);
    failing = false;
    stop();
}
END_TEST

START_TEST(sessions_end_when_their_time_is_over)
{
    start();
    create("short", "x", 1000, 0);
    create("middle", "x", 5000, 0);
    create("long", "x", 10ull * SESSION_TICK_MS * SESSION_WHEEL_SLOTS, 0);
    registry_tick(&registry, 900);
    ck_assert_uint_eq(expired, 0);
    registry_tick(&registry, 1500);
    ck_assert_uint_eq(expired, 1);
    ck_assert_ptr_null(session_find(&registry, SLICE_LITERAL("sess/short:x")));
    for (uint64_t now = 1500; now <= 6000; now += 500)
        registry_tick(&registry, now);
    ck_assert_uint_eq(expired, 2);
    uint64_t round = (uint64_t)SESSION_TICK_MS * SESSION_WHEEL_SLOTS;
    for (int i = 1; i < 10; i++)
        registry_tick(&registry, i * round);
    ck_assert_uint_eq(expired, 2);
    registry_tick(&registry, 10 * round + SESSION_TICK_MS);
    ck_assert_uint_eq(expired, 3);
    stop();
}
END_TEST

START_TEST(time_stands_still_while_a_client_is_attached)
{
    start();
    struct session *session = create("bob", "x", 1000, 0);
    session_hold(&registry, session);
    session_hold(&registry, session);
    registry_tick(&registry, 60000);
    ck_assert_uint_eq(expired, 0);
    session_release(&registry, session, 60000);
    registry_tick(&registry, 60999);
    ck_assert_uint_eq(expired, 0);
    session_release(&registry, session, 60999);
    registry_tick(&registry, 61900);
    ck_assert_uint_eq(expired, 0);
    registry_tick(&registry, 62500);
    ck_assert_uint_eq(expired, 1);
    stop();
}
END_TEST

START_TEST(an_idle_client_takes_less_than_640_bytes)
{
    enum { ALLOCATION = 16, ADDRESS = 48, BUCKETS = 2 * 16 };
    ck_assert_uint_lt(sizeof(struct session) + ADDRESS + ALLOCATION + sizeof(struct attachment) +
                          ALLOCATION + BUCKETS,
                      640);
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, secrets_are_random_unless_given);
    tcase_add_test(cases, what_cannot_be_created_is_said);
    tcase_add_test(cases, sessions_end_when_their_time_is_over);
    tcase_add_test(cases, time_stands_still_while_a_client_is_attached);
    tcase_add_test(cases, an_idle_client_takes_less_than_640_bytes);
}

UNIT_MAIN("session_registry", add_tests)
