#include "unit.h"

#include <stdio.h>

#include "io/child_contract.h"
#include "master/loans.h"
#include "master/restart.h"

START_TEST(a_crash_loop_is_throttled_up_to_the_cap)
{
    static const uint64_t WAITS[] = {50, 2000, 4000, 8000, 16000, 32000, 60000, 60000};
    struct restart_throttle throttle = {0};
    for (size_t i = 0; i < sizeof WAITS / sizeof *WAITS; i++)
        ck_assert_uint_eq(restart_wait(&throttle, 10), WAITS[i]);
}
END_TEST

START_TEST(a_long_life_ends_the_throttle)
{
    struct restart_throttle throttle = {0};
    for (int i = 0; i < 5; i++)
        restart_wait(&throttle, 0);
    ck_assert_uint_eq(restart_wait(&throttle, RESTART_STABLE_MS), RESTART_FIRST_MS);
    ck_assert_uint_eq(restart_wait(&throttle, RESTART_STABLE_MS - 1), RESTART_SLOW_MS);
}
END_TEST

/* What loans.h decides, written as "L<borrower><owner>" and "R<borrower><owner>". */
static char story[256];

static void tell(char kind, size_t borrower, size_t owner)
{
    size_t len = strlen(story);
    snprintf(story + len, sizeof story - len, "%c%zu%zu ", kind, borrower, owner);
}

static void lend(void *context, size_t borrower, size_t owner)
{
    (void)context;
    tell('L', borrower, owner);
}

static void take_back(void *context, size_t borrower, size_t owner)
{
    (void)context;
    tell('R', borrower, owner);
}

static const struct loans_handlers HANDLERS = {lend, take_back};

static struct loans *three_ready(void)
{
    struct loans *loans = loans_new(3, &HANDLERS, NULL);
    ck_assert_ptr_nonnull(loans);
    for (size_t slot = 1; slot <= 3; slot++)
        loans_slot_ready(loans, slot);
    story[0] = '\0';
    return loans;
}

START_TEST(an_empty_slot_is_lent_until_its_worker_is_back)
{
    struct loans *loans = three_ready();
    loans_slot_down(loans, 2);
    ck_assert_str_eq(story, "");
    loans_slot_empty(loans, 2);
    loans_slot_ready(loans, 2);
    ck_assert_str_eq(story, "L12 R12 ");
    loans_free(loans);
}
END_TEST

START_TEST(loans_are_spread_and_move_when_the_borrower_dies)
{
    struct loans *loans = three_ready();
    loans_slot_empty(loans, 3);
    loans_slot_down(loans, 1);
    ck_assert_str_eq(story, "L13 L23 ");
    loans_slot_empty(loans, 1);
    loans_slot_empty(loans, 2); /* nobody is left */
    loans_slot_ready(loans, 3);
    ck_assert_str_eq(story, "L13 L23 L21 L31 L32 ");
    loans_slot_ready(loans, 2);
    loans_slot_ready(loans, 1);
    ck_assert_str_eq(story, "L13 L23 L21 L31 L32 R32 R31 ");
    loans_free(loans);
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, a_crash_loop_is_throttled_up_to_the_cap);
    tcase_add_test(cases, a_long_life_ends_the_throttle);
    tcase_add_test(cases, an_empty_slot_is_lent_until_its_worker_is_back);
    tcase_add_test(cases, loans_are_spread_and_move_when_the_borrower_dies);
}

UNIT_MAIN("restart", add_tests)
