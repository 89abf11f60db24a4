#include "unit.h"

#include <errno.h>
#include <stdio.h>

#include "workers/relay/mailbox.h"

static char notice[MAILBOX_NOTICE_ROOM];

static uint64_t push(struct mailbox *mailbox, struct host_budget *budget, const char *text)
{
    struct blob *body = budget_new_body(budget, slice_from_string(text));
    ck_assert_ptr_nonnull(body);
    ck_assert_int_eq(mailbox_reserve(mailbox, 1, budget), 0);
    uint64_t id = mailbox_push(mailbox, body, NULL);
    budget_release_body(budget, body);
    return id;
}

static void check(const struct mailbox *mailbox)
{
    ck_assert_uint_eq(mailbox_accepted(mailbox),
                      mailbox_confirmed(mailbox) + mailbox->pending + mailbox->dropped);
    ck_assert(mailbox->entries == 0 || mailbox_entry(mailbox, mailbox_first_entry(mailbox))->body);
}

START_TEST(ids_start_at_one_and_never_start_again)
{
    struct host_budget budget = {.limit = 1 << 20};
    struct mailbox mailbox = {0};
    ck_assert_uint_eq(push(&mailbox, &budget, "[]"), 1);
    ck_assert_uint_eq(push(&mailbox, &budget, "[[\"b\"]]"), 2);
    ck_assert_slice_eq(mailbox_body(&mailbox, 1, notice), "[]");
    ck_assert_slice_eq(mailbox_body(&mailbox, 2, notice), "[[\"b\"]]");
    struct mailbox_freed freed = mailbox_confirm(&mailbox, 2, &budget);
    ck_assert_uint_eq(freed.messages, 2);
    ck_assert_uint_eq(freed.bytes, 9);
    ck_assert_ptr_null(mailbox.ring);
    ck_assert_uint_eq(budget.used, 0);
    ck_assert_uint_eq(push(&mailbox, &budget, "[]"), 3);
    ck_assert_uint_eq(mailbox_drop_all(&mailbox, &budget).messages, 1);
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
    ck_assert_uint_eq(mailbox_confirm(&mailbox, 0, &budget).messages, 0);
    push(&mailbox, &budget, "[]");
    push(&mailbox, &budget, "[]");
    ck_assert_uint_eq(mailbox_confirm(&mailbox, 1, &budget).messages, 1);
    ck_assert_uint_eq(mailbox_confirm(&mailbox, 1, &budget).messages, 0);
    ck_assert_uint_eq(mailbox_confirm(&mailbox, 0, &budget).messages, 0);
    ck_assert_uint_eq(mailbox_first_waiting(&mailbox), 2);
    mailbox_drop_all(&mailbox, &budget);
}
END_TEST

START_TEST(limits_hold_for_the_whole_order)
{
    struct host_budget budget = {.limit = 1 << 20};
    struct mailbox_limits limits = {.messages = 3, .bytes = 10};
    struct mailbox mailbox = {0};
    ck_assert(!mailbox_has_room(&mailbox, 4, 8, &limits));
    ck_assert(!mailbox_has_room(&mailbox, 1, 11, &limits));
    ck_assert(mailbox_has_room(&mailbox, 3, 10, &limits));
    ck_assert_int_eq(mailbox_reserve(&mailbox, 3, &budget), 0);
    mailbox_unreserve(&mailbox, &budget);
    ck_assert_uint_eq(budget.used, 0);
    push(&mailbox, &budget, "[[1]]");
    push(&mailbox, &budget, "[]");
    ck_assert(mailbox_has_room(&mailbox, 1, 3, &limits));
    ck_assert(!mailbox_has_room(&mailbox, 1, 4, &limits));
    /* An ID that is owed takes its place until it is confirmed, or leads the run. */
    mailbox_drop(&mailbox, 2, &budget);
    ck_assert(!mailbox_has_room(&mailbox, 2, 2, &limits));
    mailbox_drop(&mailbox, 1, &budget);
    ck_assert(mailbox_has_room(&mailbox, 3, 10, &limits));
    ck_assert_uint_eq(budget.used, 0);
}
END_TEST

START_TEST(dropped_ids_are_owed_and_take_no_memory_in_front)
{
    struct host_budget budget = {.limit = 1 << 20};
    struct mailbox mailbox = {0};
    for (int i = 0; i < 5; i++)
        push(&mailbox, &budget, "[[\"a\"]]");
    mailbox_drop(&mailbox, 2, &budget);
    check(&mailbox);
    ck_assert_slice_eq(mailbox_body(&mailbox, 1, notice), "[[\"a\"]]");
    ck_assert_slice_eq(mailbox_body(&mailbox, 2, notice), "[]");
    ck_assert_uint_eq(mailbox.gap, 0);
    mailbox_drop(&mailbox, 1, &budget);
    check(&mailbox);
    ck_assert_uint_eq(mailbox.gap, 2);
    ck_assert_uint_eq(mailbox_first_waiting(&mailbox), 1);
    ck_assert_uint_eq(mailbox_first_entry(&mailbox), 3);
    ck_assert_slice_eq(mailbox_body(&mailbox, 2, notice), "[]");
    mailbox.overflowed = 12;
    ck_assert_slice_eq(mailbox_body(&mailbox, 1, notice), "[]");
    ck_assert_slice_eq(mailbox_body(&mailbox, 2, notice), "[[\"mailbox.dropped\",{\"total\":12}]]");
    /* Confirming what was dropped confirms no message. */
    ck_assert_uint_eq(mailbox_confirm(&mailbox, 1, &budget).messages, 0);
    ck_assert_uint_eq(mailbox_first_waiting(&mailbox), 2);
    ck_assert_uint_eq(mailbox_confirm(&mailbox, 4, &budget).messages, 2);
    ck_assert_uint_eq(mailbox_confirmed(&mailbox), 2);
    check(&mailbox);
    mailbox_drop(&mailbox, 5, &budget);
    ck_assert_ptr_null(mailbox.ring);
    ck_assert_uint_eq(mailbox_first_waiting(&mailbox), 5);
    ck_assert_slice_eq(mailbox_body(&mailbox, 5, notice), "[[\"mailbox.dropped\",{\"total\":12}]]");
    ck_assert_uint_eq(push(&mailbox, &budget, "[]"), 6);
    ck_assert_uint_eq(mailbox_confirm(&mailbox, 6, &budget).messages, 1);
    ck_assert_uint_eq(budget.used, 0);
    check(&mailbox);
}
END_TEST

START_TEST(a_message_takes_the_place_of_another)
{
    struct host_budget budget = {.limit = 1 << 20};
    struct mailbox mailbox = {0};
    push(&mailbox, &budget, "[[\"old\"]]");
    push(&mailbox, &budget, "[]");
    struct blob *body = budget_new_body(&budget, SLICE_LITERAL("[[\"newer\"]]"));
    ck_assert_uint_eq(mailbox_replace(&mailbox, 1, body, NULL, &budget).bytes, 9);
    budget_release_body(&budget, body);
    ck_assert_slice_eq(mailbox_body(&mailbox, 1, notice), "[[\"newer\"]]");
    ck_assert_uint_eq(mailbox.last_id, 2);
    ck_assert_uint_eq(mailbox_accepted(&mailbox), 3);
    ck_assert_uint_eq(mailbox.bytes, 13);
    check(&mailbox);
    ck_assert_uint_eq(mailbox_confirm(&mailbox, 2, &budget).messages, 2);
    ck_assert_uint_eq(budget.used, 0);
    check(&mailbox);
}
END_TEST

START_TEST(the_host_budget_is_charged_for_rings_and_once_for_a_body)
{
    struct host_budget budget = {.limit = 600};
    struct mailbox first = {0}, second = {0};
    struct blob *body = budget_new_body(&budget, SLICE_LITERAL("[[\"shared\"]]"));
    uint64_t alone = budget.used;
    ck_assert_int_eq(mailbox_reserve(&first, 1, &budget), 0);
    uint64_t ring = budget.used - alone;
    mailbox_push(&first, body, NULL);
    ck_assert_int_eq(mailbox_reserve(&second, 1, &budget), 0);
    mailbox_push(&second, body, NULL);
    ck_assert_uint_eq(budget.used, alone + 2 * ring);
    budget_release_body(&budget, body);
    mailbox_drop_all(&first, &budget);
    ck_assert_uint_eq(budget.used, alone + ring);
    ck_assert_int_eq(mailbox_reserve(&second, 100, &budget), -1);
    ck_assert_int_eq(errno, ENOSPC);
    mailbox_drop_all(&second, &budget);
    ck_assert_uint_eq(budget.used, 0);
    ck_assert_ptr_null(budget_new_body(&budget, slice_of(NULL, 1000)));
}
END_TEST

START_TEST(a_random_life_keeps_order_and_balance)
{
    struct host_budget budget = {.limit = 1 << 20};
    struct mailbox mailbox = {0};
    srandom(7);
    for (int i = 0; i < 20000; i++) {
        if (random() % 3 != 0 && mailbox.pending < 900) {
            char text[32];
            snprintf(text, sizeof text, "[%llu]", (unsigned long long)mailbox.last_id + 1);
            push(&mailbox, &budget, text);
        } else if (mailbox.entries > 0) {
            uint64_t id = mailbox_first_entry(&mailbox) + (uint64_t)random() % mailbox.entries;
            char text[32];
            snprintf(text, sizeof text, "[%llu]", (unsigned long long)id);
            bool live = mailbox_entry(&mailbox, id)->body != NULL;
            ck_assert_slice_eq(mailbox_body(&mailbox, id, notice), live ? text : "[]");
            if (random() % 8 == 0)
                mailbox_confirm(&mailbox, id, &budget);
            else if (live && random() % 4 == 0)
                mailbox_drop(&mailbox, id, &budget);
        }
        check(&mailbox);
    }
    mailbox_drop_all(&mailbox, &budget);
    ck_assert_uint_eq(mailbox.bytes, 0);
    ck_assert_uint_eq(budget.used, 0);
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, ids_start_at_one_and_never_start_again);
    tcase_add_test(cases, confirming_again_or_too_little_changes_nothing);
    tcase_add_test(cases, limits_hold_for_the_whole_order);
    tcase_add_test(cases, dropped_ids_are_owed_and_take_no_memory_in_front);
    tcase_add_test(cases, a_message_takes_the_place_of_another);
    tcase_add_test(cases, the_host_budget_is_charged_for_rings_and_once_for_a_body);
    tcase_add_test(cases, a_random_life_keeps_order_and_balance);
}

UNIT_MAIN("mailbox", add_tests)
