#include "unit.h"

#include <errno.h>
#include <stdio.h>

#include "workers/relay/mailbox.h"

static const struct mailbox_limits LIMITS = {.messages = 1000, .bytes = 100000};

static uint64_t push(struct mailbox *mailbox, struct host_budget *budget, const char *text)
{
    struct blob *body = budget_new_body(budget, slice_from_string(text));
    ck_assert_ptr_nonnull(body);
    ck_assert_int_eq(mailbox_reserve(mailbox, 1, body->len, &LIMITS, budget), 0);
    uint64_t id = mailbox_push(mailbox, body);
    budget_release_body(budget, body);
    return id;
}

static void check(const struct mailbox *mailbox)
{
    ck_assert_uint_eq(mailbox->last_id,
                      mailbox_confirmed(mailbox) + mailbox->pending + mailbox->dropped);
}

START_TEST(ids_start_at_one_and_never_start_again)
{
    struct host_budget budget = {.limit = 1 << 20};
    struct mailbox mailbox = {0};
    uint64_t bytes = 0;
    ck_assert_uint_eq(push(&mailbox, &budget, "[]"), 1);
    ck_assert_uint_eq(push(&mailbox, &budget, "[[\"b\"]]"), 2);
    ck_assert_slice_eq(mailbox_body(&mailbox, 1), "[]");
    ck_assert_slice_eq(mailbox_body(&mailbox, 2), "[[\"b\"]]");
    ck_assert_uint_eq(mailbox_confirm(&mailbox, 2, &budget, &bytes), 2);
    ck_assert_uint_eq(bytes, 9);
    ck_assert_ptr_null(mailbox.ring);
    ck_assert_uint_eq(budget.used, 0);
    ck_assert_uint_eq(push(&mailbox, &budget, "[]"), 3);
    ck_assert_uint_eq(mailbox_drop(&mailbox, &budget, &bytes), 1);
    ck_assert_uint_eq(mailbox.dropped, 1);
    ck_assert_uint_eq(mailbox_confirmed(&mailbox), 2);
    ck_assert_uint_eq(budget.used, 0);
    check(&mailbox);
}
END_TEST

START_TEST(confirming_again_or_too_little_changes_nothing)
{
    struct host_budget budget = {.limit = 1 << 20};
    struct mailbox mailbox = {0};
    uint64_t bytes = 0;
    ck_assert_uint_eq(mailbox_confirm(&mailbox, 0, &budget, &bytes), 0);
    push(&mailbox, &budget, "[]");
    push(&mailbox, &budget, "[]");
    ck_assert_uint_eq(mailbox_confirm(&mailbox, 1, &budget, &bytes), 1);
    ck_assert_uint_eq(mailbox_confirm(&mailbox, 1, &budget, &bytes), 0);
    ck_assert_uint_eq(mailbox_confirm(&mailbox, 0, &budget, &bytes), 0);
    ck_assert_uint_eq(mailbox_first_pending(&mailbox), 2);
    mailbox_drop(&mailbox, &budget, &bytes);
}
END_TEST

START_TEST(limits_hold_for_the_whole_order)
{
    struct host_budget budget = {.limit = 1 << 20};
    struct mailbox_limits limits = {.messages = 3, .bytes = 10};
    struct mailbox mailbox = {0};
    ck_assert_int_eq(mailbox_reserve(&mailbox, 4, 8, &limits, &budget), -1);
    ck_assert_int_eq(errno, EDQUOT);
    ck_assert_int_eq(mailbox_reserve(&mailbox, 1, 11, &limits, &budget), -1);
    ck_assert_int_eq(errno, EDQUOT);
    ck_assert_int_eq(mailbox_reserve(&mailbox, 3, 10, &limits, &budget), 0);
    mailbox_unreserve(&mailbox, &budget);
    ck_assert_uint_eq(budget.used, 0);
}
END_TEST

START_TEST(the_host_budget_is_charged_for_rings_and_once_for_a_body)
{
    struct host_budget budget = {.limit = 400};
    struct mailbox first = {0}, second = {0};
    uint64_t bytes = 0;
    struct blob *body = budget_new_body(&budget, SLICE_LITERAL("[[\"shared\"]]"));
    uint64_t alone = budget.used;
    ck_assert_int_eq(mailbox_reserve(&first, 1, body->len, &LIMITS, &budget), 0);
    uint64_t ring = budget.used - alone;
    mailbox_push(&first, body);
    ck_assert_int_eq(mailbox_reserve(&second, 1, body->len, &LIMITS, &budget), 0);
    mailbox_push(&second, body);
    ck_assert_uint_eq(budget.used, alone + 2 * ring);
    budget_release_body(&budget, body);
    mailbox_drop(&first, &budget, &bytes);
    ck_assert_uint_eq(budget.used, alone + ring);
    ck_assert_int_eq(mailbox_reserve(&second, 100, 200, &LIMITS, &budget), -1);
    ck_assert_int_eq(errno, ENOSPC);
    mailbox_drop(&second, &budget, &bytes);
    ck_assert_uint_eq(budget.used, 0);
    ck_assert_ptr_null(budget_new_body(&budget, slice_of(NULL, 1000)));
}
END_TEST

START_TEST(a_random_life_keeps_order_and_balance)
{
    struct host_budget budget = {.limit = 1 << 20};
    struct mailbox mailbox = {0};
    uint64_t bytes = 0;
    srandom(7);
    for (int i = 0; i < 20000; i++) {
        if (random() % 3 != 0 && mailbox.pending < 900) {
            char text[32];
            snprintf(text, sizeof text, "[%llu]", (unsigned long long)mailbox.last_id + 1);
            push(&mailbox, &budget, text);
        } else if (mailbox.pending > 0) {
            uint64_t id = mailbox_first_pending(&mailbox) + (uint64_t)random() % mailbox.pending;
            char text[32];
            snprintf(text, sizeof text, "[%llu]", (unsigned long long)id);
            ck_assert_slice_eq(mailbox_body(&mailbox, id), text);
            if (random() % 8 == 0)
                mailbox_confirm(&mailbox, id, &budget, &bytes);
        }
        check(&mailbox);
    }
    mailbox_drop(&mailbox, &budget, &bytes);
    ck_assert_uint_eq(mailbox.bytes, 0);
    ck_assert_uint_eq(budget.used, 0);
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, ids_start_at_one_and_never_start_again);
    tcase_add_test(cases, confirming_again_or_too_little_changes_nothing);
    tcase_add_test(cases, limits_hold_for_the_whole_order);
    tcase_add_test(cases, the_host_budget_is_charged_for_rings_and_once_for_a_body);
    tcase_add_test(cases, a_random_life_keeps_order_and_balance);
}

UNIT_MAIN("mailbox", add_tests)
