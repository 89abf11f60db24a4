#include "io/memory_trim.h"

#include "base/clock.h"
#include "unit.h"

static struct ev_loop *loop;
static struct memory_trim trim;

static unsigned asked;

static void before(void *context)
{
    ck_assert_ptr_eq(context, &trim);
    asked++;
}

static void start(void)
{
    loop = ev_loop_new(0);
    memory_trim_init(&trim, loop, before, &trim);
}

static void stop(void)
{
    memory_trim_stop(&trim);
    ev_loop_destroy(loop);
}

static void note(unsigned changes)
{
    ev_now_update(loop);
    for (unsigned i = 0; i < changes; i++)
        memory_trim_note(&trim);
}

START_TEST(memory_is_given_back_when_all_is_calm)
{
    start();
    note(999);
    ck_assert(!ev_is_active(&trim.timer));
    note(1);
    ck_assert(ev_is_active(&trim.timer));
    note(1000); /* not yet */
    ev_feed_event(loop, &trim.timer, EV_TIMER);
    ev_run(loop, EVRUN_NOWAIT);
    ck_assert_uint_eq(asked, 0);
    ck_assert(ev_is_active(&trim.timer));
    ev_timer_stop(loop, &trim.timer);
    ev_feed_event(loop, &trim.timer, EV_TIMER);
    ev_run(loop, EVRUN_NOWAIT);
    ck_assert_uint_eq(asked, 1);
    ck_assert_uint_eq(trim.trimmed, 2000);
    ck_assert(!ev_is_active(&trim.timer));
    stop();
}
END_TEST

/* A large heap takes a tenth of a second for each GB. */
START_TEST(what_takes_long_is_seldom_done)
{
    start();
    uint64_t began_us = clock_monotonic_us();
    trim.rest_until_us = began_us + 50000000;
    note(1000);
    ck_assert(ev_is_active(&trim.timer));
    double left_s = ev_timer_remaining(loop, &trim.timer);
    ck_assert(left_s > 40 && left_s <= 50);
    stop();
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, memory_is_given_back_when_all_is_calm);
    tcase_add_test(cases, what_takes_long_is_seldom_done);
}

UNIT_MAIN("memory_trim", add_tests)
