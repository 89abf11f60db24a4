/* What mailboxes take, and what becomes of it. */
#include "registry_fixture.h"

#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "io/child_contract.h"

static const struct message_order PLAIN = {0};

static void must_accept(struct session *session, const char *text, struct message_order order)
{
    struct acceptance acceptance;
    ck_assert_int_eq(accept_with(session, text, order, &acceptance), OUTCOME_QUEUED);
}

static struct message_order with_ttl(uint64_t ttl_ms)
{
    return (struct message_order){.wish = {.expires_ms = clock_steady_ms() + ttl_ms}};
}

static struct message_order with_key(const char *replace_key)
{
    return (struct message_order){.wish = {.replace_key = slice_from_string(replace_key)}};
}

static struct message_order with_receipt(const char *tag)
{
    return (struct message_order){.wish = {.receipt = slice_from_string(tag)}};
}

/* What clients would be given, "1=[] 2=[["a"]]". */
static void expect_waiting(const struct session *session, const char *expected)
{
    const struct mailbox *mailbox = &session->mailbox;
    char notice[MAILBOX_NOTICE_ROOM];
    struct buffer text = {0};
    for (uint64_t id = mailbox_first_waiting(mailbox); id <= mailbox->last_id; id++) {
        struct slice body = mailbox_body(mailbox, id, notice);
        ck_assert_int_eq(buffer_printf(&text, "%s%lu=%.*s", buffer_len(&text) > 0 ? " " : "", id,
                                       (int)body.len, body.data),
                         0);
    }
    ck_assert_slice_eq(buffer_slice(&text), expected);
    buffer_free(&text);
    check_figures();
}

/* Time goes by for what waits. */
static void age(struct session *session, uint64_t by_ms)
{
    struct mailbox *mailbox = &session->mailbox;
    for (uint64_t id = mailbox_first_entry(mailbox); id <= mailbox->last_id; id++) {
        const struct mailbox_entry *entry = mailbox_entry(mailbox, id);
        if (entry->body)
            entry->body->made_ms -= by_ms;
        if (entry->options && entry->options->expires_ms > 0)
            entry->options->expires_ms -= by_ms;
    }
    struct message_times *times = session->times;
    if (times && times->due.place != 0)
        heap_set(&registry.due, &times->due, times->due.key - by_ms);
}

START_TEST(the_store_is_told_of_all_in_order)
{
    start();
    uint64_t id;
    struct session *session = create("bob", "x", 2000, 0);
    ck_assert_int_eq(accept_one(session, &id), OUTCOME_QUEUED);
    ck_assert_int_eq(accept_one(session, &id), OUTCOME_QUEUED);
    ck_assert_uint_eq(id, 2);
    session->mailbox.sent_up_to = 1;
    ck_assert(session_confirm(&registry, session, 1));
    ck_assert(session_confirm(&registry, session, 1));
    session_end(&registry, session, SESSION_DELETED);
    expect_told("created 1 sess/bob:x\n"
                "added 1 1+1\n"
                "added 1 2+1\n"
                "removed 1 up to 1\n"
                "counts 1 confirmed=1 gap=0 dropped=0 replaced=0 overflowed=0\n"
                "deleted 1\n");
    ck_assert_uint_eq(stored, 5);
    ck_assert_uint_eq(metrics.values[METRIC_ACCEPTED], 2);
    ck_assert_uint_eq(metrics.values[METRIC_CONFIRMED], 1);
    ck_assert_uint_eq(metrics.values[METRIC_DROPPED_DELETED], 1);
    ck_assert_uint_eq(metrics.values[METRIC_PENDING], 0);
    stop();
}
END_TEST

START_TEST(what_the_store_refuses_has_not_happened)
{
    start();
    struct acceptance acceptance;
    struct session *session = create("bob", "x", 0, 0);
    struct message_order order = with_receipt("tag");
    order.wish.replace_key = SLICE_LITERAL("k");
    order.idempotency_key = SLICE_LITERAL("i");
    uint64_t used = budget.used;
    failing = true;
    ck_assert_int_eq(accept_with(session, "[]", order, &acceptance), OUTCOME_OVER_LIMIT);
    ck_assert_int_eq(acceptance.limit, LIMIT_STORE);
    ck_assert_uint_eq(session->mailbox.last_id, 0);
    ck_assert_ptr_null(session->mailbox.ring);
    ck_assert_ptr_null(session->keys);
    ck_assert_uint_eq(budget.used, used);
    ck_assert_uint_eq(metrics.values[METRIC_REFUSED_STORE_FULL], 1);
    failing = false;
    ck_assert_int_eq(accept_with(session, "[]", order, &acceptance), OUTCOME_QUEUED);
    ck_assert_uint_eq(acceptance.first_id, 1);
    ck_assert(!acceptance.repeated);
    stop();
}
END_TEST

START_TEST(a_store_that_cannot_forget_ends_the_process)
{
    start();
    uint64_t id;
    struct session *session = create("bob", "x", 0, 0);
    ck_assert_int_eq(accept_one(session, &id), OUTCOME_QUEUED);
    session->mailbox.sent_up_to = 1;
    pid_t child = fork();
    if (child == 0) {
        failing = true;
        session_confirm(&registry, session, 1);
        _exit(0);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), EXIT_OS);
    stop();
}
END_TEST

START_TEST(a_confirmation_covers_what_was_sent_and_nothing_else)
{
    start();
    uint64_t id;
    struct session *session = create("bob", "x", 0, 0);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(accept_one(session, &id), OUTCOME_QUEUED);
    ck_assert(session_confirm(&registry, session, 0));
    ck_assert(session_confirm(&registry, session, 4));
    ck_assert_uint_eq(session->mailbox.pending, 4);
    session->mailbox.sent_up_to = 3;
    ck_assert(session_confirm(&registry, session, 4));
    ck_assert_uint_eq(session->mailbox.pending, 1);
    ck_assert(!session_confirm(&registry, session, 5));
    stop();
}
END_TEST

START_TEST(full_mailboxes_refuse_all_or_nothing)
{
    start();
    registry.limits.mailbox.messages = 2;
    struct acceptance acceptance;
    struct session *session = create("bob", "x", 0, 0);
    struct blob *body = message_body_new(&registry, SLICE_LITERAL("[]"));
    struct blob *three[] = {body, body, body};
    struct message_order order = {.bodies = three, .count = 3};
    ck_assert_int_eq(session_accept(&registry, session, &order, &acceptance), OUTCOME_OVER_LIMIT);
    ck_assert_int_eq(acceptance.limit, LIMIT_MAILBOX);
    ck_assert_uint_eq(session->mailbox.last_id, 0);
    order.count = 2;
    ck_assert_int_eq(session_accept(&registry, session, &order, &acceptance), OUTCOME_QUEUED);
    order.count = 1;
    ck_assert_int_eq(session_accept(&registry, session, &order, &acceptance), OUTCOME_OVER_LIMIT);
    ck_assert_uint_eq(metrics.values[METRIC_REFUSED_MAILBOX_FULL], 4);
    budget_release_body(&budget, body);
    stop();
}
END_TEST

START_TEST(the_oldest_make_room_when_the_policy_says_so)
{
    start();
    registry.limits.mailbox = (struct mailbox_limits){.messages = 3, .bytes = 30};
    registry.limits.mailbox_drops_oldest = true;
    struct acceptance acceptance;
    struct session *session = create("bob", "x", 0, 0);
    for (int i = 0; i < 3; i++)
        must_accept(session, "[[\"a\"]]", PLAIN);
    buffer_free(&told);
    ck_assert_int_eq(accept_with(session, "[[\"b\"]]", PLAIN, &acceptance), OUTCOME_QUEUED);
    ck_assert_uint_eq(acceptance.dropped, 1);
    expect_told("removed 1 up to 1\n"
                "counts 1 confirmed=0 gap=1 dropped=1 replaced=0 overflowed=1\n"
                "added 1 4+1\n");
    expect_waiting(session, "1=[[\"mailbox.dropped\",{\"total\":1}]] 2=[[\"a\"]] 3=[[\"a\"]] "
                            "4=[[\"b\"]]");
    /* Bytes count too; what no mailbox can hold drops nothing. */
    ck_assert_int_eq(accept_with(session, "[[\"0123456789012345\"]]", PLAIN, &acceptance),
                     OUTCOME_QUEUED);
    ck_assert_uint_eq(acceptance.dropped, 2);
    ck_assert_int_eq(
        accept_with(session, "[[\"012345678901234567890123456789\"]]", PLAIN, &acceptance),
        OUTCOME_OVER_LIMIT);
    ck_assert_int_eq(acceptance.limit, LIMIT_MAILBOX);
    ck_assert_uint_eq(acceptance.dropped, 0);
    expect_waiting(session, "1=[] 2=[] 3=[[\"mailbox.dropped\",{\"total\":3}]] 4=[[\"b\"]] "
                            "5=[[\"0123456789012345\"]]");
    ck_assert_uint_eq(metrics.values[METRIC_DROPPED_MAILBOX_FULL], 3);
    ck_assert_uint_eq(session->mailbox.overflowed, 3);
    stop();
}
END_TEST

START_TEST(messages_are_dropped_when_their_time_is_over)
{
    start();
    struct session *session = create("bob", "x", 0, 0);
    must_accept(session, "[[\"a\"]]", with_ttl(5000));
    must_accept(session, "[[\"b\"]]", PLAIN);
    must_accept(session, "[[\"c\"]]", with_ttl(2000));
    must_accept(session, "[[\"d\"]]", with_ttl(9000));
    buffer_free(&told);
    messages_tick(&registry);
    age(session, 3000);
    messages_tick(&registry);
    expect_waiting(session, "1=[[\"a\"]] 2=[[\"b\"]] 3=[] 4=[[\"d\"]]");
    expect_told("message 1 3 dropped\n"
                "counts 1 confirmed=0 gap=0 dropped=1 replaced=0 overflowed=0\n");
    age(session, 3000);
    session_drop_due(&registry, session);
    expect_waiting(session, "1=[] 2=[[\"b\"]] 3=[] 4=[[\"d\"]]");
    ck_assert_uint_eq(session->mailbox.gap, 1);
    ck_assert_uint_eq(metrics.values[METRIC_DROPPED_TTL], 2);
    /* Confirmed before its time: then its time says nothing any more. */
    session->mailbox.sent_up_to = 4;
    ck_assert(session_confirm(&registry, session, 4));
    ck_assert_uint_eq(metrics.values[METRIC_CONFIRMED], 2);
    age(session, 9000);
    messages_tick(&registry);
    ck_assert_uint_eq(session->times->due.place, 0);
    expect_waiting(session, "");
    stop();
}
END_TEST

START_TEST(what_is_over_goes_in_steps)
{
    start();
    struct session *session = create("bob", "x", 0, 0);
    for (int i = 0; i < 5; i++)
        must_accept(session, "[]", i == 3 ? PLAIN : with_ttl(1000));
    age(session, 2000);
    buffer_free(&told);
    stored = 0;
    messages_tick(&registry);
    expect_told("message 1 5 dropped\n"
                "removed 1 up to 3\n"
                "counts 1 confirmed=0 gap=3 dropped=4 replaced=0 overflowed=0\n");
    ck_assert_uint_eq(stored, 1);
    expect_waiting(session, "1=[] 2=[] 3=[] 4=[] 5=[]");
    stop();
}
END_TEST

START_TEST(very_much_that_is_over_does_not_hold_everything_up)
{
    start();
    budget.limit = 1 << 30;
    registry.limits.mailbox = (struct mailbox_limits){.messages = 100000, .bytes = 1 << 20};
    struct session *session = create("bob", "x", 0, 0);
    for (int i = 0; i < 90000; i++) {
        must_accept(session, "[]", with_ttl(10000));
        buffer_truncate(&told, 0);
    }
    age(session, 20000);
    messages_tick(&registry);
    ck_assert_uint_gt(session->mailbox.pending, 0);
    ck_assert_uint_lt(session->mailbox.pending, 90000);
    check_figures();
    messages_tick(&registry);
    ck_assert_uint_eq(session->mailbox.pending, 0);
    /* Clients are given nothing that is over. */
    for (int i = 0; i < 60000; i++)
        must_accept(session, "[]", with_ttl(10000));
    age(session, 20000);
    session_drop_due(&registry, session);
    ck_assert_uint_eq(session->mailbox.pending, 0);
    stop();
}
END_TEST

START_TEST(a_large_mailbox_is_not_searched_for_every_message)
{
    start();
    budget.limit = 1 << 30;
    registry.limits.mailbox = (struct mailbox_limits){.messages = 100000, .bytes = 1 << 20};
    struct session *session = create("bob", "x", 0, 0);
    must_accept(session, "[]", with_ttl(50000));
    for (int i = 0; i < 90000; i++) {
        must_accept(session, "[]", with_ttl(100000));
        buffer_truncate(&told, 0);
    }
    age(session, 60000);
    uint64_t searched_ms = clock_steady_ms();
    messages_tick(&registry);
    ck_assert_uint_eq(session->mailbox.pending, 90000);
    must_accept(session, "[]", with_ttl(1));
    ck_assert_uint_gt(session->times->due.key, searched_ms + 10);
    ck_assert_uint_le(session->times->due.key, clock_steady_ms() + SESSION_TICK_MS);
    stop();
}
END_TEST

START_TEST(the_age_of_the_oldest_is_a_limit_like_the_others)
{
    start();
    registry.limits.age_ms = 10000;
    struct acceptance acceptance;
    struct session *session = create("bob", "x", 0, 0);
    must_accept(session, "[[\"a\"]]", PLAIN);
    age(session, 11000);
    messages_tick(&registry);
    ck_assert_int_eq(accept_with(session, "[]", PLAIN, &acceptance), OUTCOME_OVER_LIMIT);
    ck_assert_int_eq(acceptance.limit, LIMIT_MAILBOX);
    ck_assert_uint_eq(session->mailbox.pending, 1);
    registry.limits.mailbox_drops_oldest = true;
    struct session *other = create("eve", "x", 0, 0);
    must_accept(other, "[[\"a\"]]", PLAIN);
    must_accept(other, "[[\"b\"]]", with_ttl(60000));
    age(other, 11000);
    must_accept(other, "[[\"c\"]]", PLAIN);
    expect_waiting(other, "1=[] 2=[[\"mailbox.dropped\",{\"total\":2}]] 3=[[\"c\"]]");
    ck_assert_uint_eq(metrics.values[METRIC_DROPPED_AGE], 2);
    stop();
}
END_TEST

START_TEST(the_oldest_of_the_host_make_room_when_the_policy_says_so)
{
    start();
    registry.limits.host_drops_oldest = true;
    struct session *session = create("bob", "x", 0, 0), *other = create("eve", "x", 0, 0);
    must_accept(session, "[[\"a\"]]", PLAIN);
    age(session, 1000);
    must_accept(other, "[[\"b\"]]", PLAIN);
    age(other, 500);
    must_accept(session, "[[\"c\"]]", PLAIN);
    budget.limit = budget.used + 80; /* for a ring */
    must_accept(other, "[[\"d\"]]", PLAIN);
    expect_waiting(session, "1=[[\"mailbox.dropped\",{\"total\":1}]] 2=[[\"c\"]]");
    must_accept(other, "[[\"e\"]]", PLAIN);
    expect_waiting(other, "1=[[\"mailbox.dropped\",{\"total\":1}]] 2=[[\"d\"]] 3=[[\"e\"]]");
    ck_assert_uint_eq(metrics.values[METRIC_DROPPED_HOST_FULL], 2);
    char *large = calloc(1, budget.limit);
    ck_assert_ptr_null(message_body_new(&registry, slice_of(large, budget.limit)));
    free(large);
    ck_assert_uint_eq(metrics.values[METRIC_DROPPED_HOST_FULL], 2);
    /* With the other policy, nothing is dropped. */
    registry.limits.host_drops_oldest = false;
    heap_remove(&registry.oldest, &session->times->oldest);
    heap_remove(&registry.oldest, &other->times->oldest);
    ck_assert_ptr_null(message_body_new(&registry, SLICE_LITERAL("[]")));
    stop();
}
END_TEST

/* Returns how many mailboxes took it. */
static unsigned broadcast(const char *text, bool begins)
{
    struct broadcast broadcast;
    struct acceptance acceptance;
    unsigned queued = 0;
    struct blob *body = message_body_new(&registry, slice_from_string(text));
    ck_assert_int_eq(broadcast_begin(&registry, &broadcast, body, registry.sessions.count),
                     begins ? 0 : -1);
    for (uint32_t i = 0; i < registry.sessions.count && begins; i++)
        queued +=
            broadcast_accept(&registry, session_at(&registry, i), &acceptance) == OUTCOME_QUEUED;
    if (begins)
        broadcast_end(&registry);
    budget_release_body(&budget, body);
    check_figures();
    return queued;
}

static void confirm_all(struct session *session)
{
    session->mailbox.sent_up_to = session->mailbox.last_id;
    ck_assert(session_confirm(&registry, session, session->mailbox.last_id));
}

START_TEST(a_broadcast_is_stored_once)
{
    start();
    struct session *bob = create("bob", "x", 0, 0), *eve = create("eve", "x", 0, 0);
    struct session *ann = create("ann", "x", 0, 0);
    must_accept(eve, "[[\"a\"]]", PLAIN);
    buffer_free(&told);
    ck_assert_uint_eq(broadcast("[[\"b\"]]", true), 3);
    expect_told("broadcast 1 [[\"b\"]] for 3\nbroadcast 1: 3 from 1 1 on\n");
    expect_waiting(eve, "1=[[\"a\"]] 2=[[\"b\"]]");
    confirm_all(bob);
    expect_told("counts 1 confirmed=1 gap=0 dropped=0 replaced=0 overflowed=0\n");
    confirm_all(eve);
    expect_told("removed 2 up to 2\n"
                "counts 2 confirmed=2 gap=0 dropped=0 replaced=0 overflowed=0\n");
    session_end(&registry, ann, SESSION_DELETED);
    expect_told("broadcast 1 removed\ndeleted 3\n");
    /* Nobody takes it, or the store does not. */
    registry.limits.mailbox.messages = 0;
    ck_assert_uint_eq(broadcast("[]", true), 0);
    expect_told("broadcast 2 [] for 2\nbroadcast 2 removed\n");
    failing = true;
    ck_assert_uint_eq(broadcast("[]", false), 0);
    ck_assert_uint_eq(metrics.values[METRIC_REFUSED_MAILBOX_FULL], 2);
    failing = false;
    registry.limits.mailbox.messages = 10;
    ck_assert_uint_eq(broadcast("[]", true), 2);
    buffer_free(&told);
    stop();
    ck_assert_ptr_null(buffer_bytes(&told));
}
END_TEST

enum { CROWD = 100 };

/* Bob, who is away, and many who confirm. */
static struct session *bob_and_a_crowd(struct session *crowd[CROWD])
{
    struct session *bob = create("bob", "x", 0, 0);
    for (int i = 0; i < CROWD; i++) {
        char name[8];
        snprintf(name, sizeof name, "p%d", i);
        crowd[i] = create(name, "x", 0, 0);
    }
    return bob;
}

static void confirm_in_crowd(struct session *crowd[CROWD])
{
    for (int i = 0; i < CROWD; i++)
        confirm_all(crowd[i]);
    buffer_free(&told);
}

/* An absent client does not keep the lists of all who had what it still waits for. */
START_TEST(a_broadcast_that_few_wait_for_gives_its_room_back)
{
    start();
    struct session *crowd[CROWD], *bob = bob_and_a_crowd(crowd);
    ck_assert_uint_eq(broadcast("[1]", true), CROWD + 1);
    ck_assert_uint_eq(broadcast("[2]", true), CROWD + 1);
    confirm_in_crowd(crowd);
    store_size = 1000;
    store_used = 501;
    ck_assert_uint_eq(broadcast("[3]", true), CROWD + 1);
    expect_told("broadcast 3 [3] for 101\nbroadcast 3: 101 from 1 3 on\n"
                "message 1 1 replaced\nmessage 1 2 replaced\n"
                "broadcast 1 removed\nbroadcast 2 removed\n");
    expect_waiting(bob, "1=[1] 2=[2] 3=[3]");
    confirm_in_crowd(crowd);
    /* Not again before more is used. */
    ck_assert_uint_eq(broadcast("[4]", true), CROWD + 1);
    expect_told("broadcast 4 [4] for 101\nbroadcast 4: 101 from 1 4 on\n");
    bob->mailbox.sent_up_to = 2;
    ck_assert(session_confirm(&registry, bob, 2));
    expect_told("removed 1 up to 2\n"
                "counts 1 confirmed=2 gap=0 dropped=0 replaced=0 overflowed=0\n");
    store_size = 0;
    stop();
}
END_TEST

START_TEST(a_broadcast_stays_when_its_records_find_no_room)
{
    start();
    struct session *crowd[CROWD], *bob = bob_and_a_crowd(crowd);
    ck_assert_uint_eq(broadcast("[1]", true), CROWD + 1);
    confirm_in_crowd(crowd);
    store_size = 1000;
    store_used = 501;
    refusing_changes = true;
    ck_assert_uint_eq(broadcast("[2]", true), CROWD + 1);
    refusing_changes = false;
    expect_told("broadcast 2 [2] for 101\nbroadcast 2: 101 from 1 2 on\n");
    confirm_in_crowd(crowd);
    bob->mailbox.sent_up_to = 1;
    ck_assert(session_confirm(&registry, bob, 1));
    /* There might have been a record. */
    expect_told("broadcast 1 removed\nremoved 1 up to 1\n"
                "counts 1 confirmed=1 gap=0 dropped=0 replaced=0 overflowed=0\n");
    store_used = 600;
    ck_assert_uint_eq(broadcast("[3]", true), CROWD + 1);
    expect_told("broadcast 3 [3] for 101\nbroadcast 3: 101 from 1 3 on\n"
                "message 1 2 replaced\nbroadcast 2 removed\n");
    expect_waiting(bob, "2=[2] 3=[3]");
    store_size = 0;
    stop();
}
END_TEST

START_TEST(a_broadcast_can_be_dropped_like_any_message)
{
    start();
    struct session *bob = create("bob", "x", 0, 0);
    create("eve", "x", 0, 0);
    registry.limits.mailbox_drops_oldest = true;
    registry.limits.mailbox.messages = 2;
    ck_assert_uint_eq(broadcast("[1]", true), 2);
    ck_assert_uint_eq(broadcast("[2]", true), 2);
    buffer_free(&told);
    ck_assert_uint_eq(broadcast("[3]", true), 2);
    expect_told("broadcast 3 [3] for 2\n"
                "removed 1 up to 1\n"
                "counts 1 confirmed=0 gap=1 dropped=1 replaced=0 overflowed=1\n"
                "broadcast 1 removed\n"
                "removed 2 up to 1\n"
                "counts 2 confirmed=0 gap=1 dropped=1 replaced=0 overflowed=1\n"
                "broadcast 3: 1 from 1 3 on\n"
                "broadcast 3: 1 from 2 3 on\n");
    expect_waiting(bob, "1=[[\"mailbox.dropped\",{\"total\":1}]] 2=[2] 3=[3]");
    stop();
}
END_TEST

/* In sessions that never took another message, too. */
START_TEST(a_broadcast_grows_old_and_makes_room_like_any_message)
{
    start();
    registry.limits.mailbox_drops_oldest = registry.limits.host_drops_oldest = true;
    registry.limits.age_ms = 10000;
    struct session *bob = create("bob", "x", 0, 0), *eve = create("eve", "x", 0, 0);
    ck_assert_uint_eq(broadcast("[1]", true), 2);
    ck_assert_uint_gt(bob->times->due.place, 0);
    ck_assert_uint_gt(eve->times->oldest.place, 0);
    age(bob, 11000); /* the body is the same for both */
    messages_tick(&registry);
    expect_waiting(bob, "1=[[\"mailbox.dropped\",{\"total\":1}]]");
    ck_assert_uint_eq(metrics.values[METRIC_DROPPED_AGE], 1);
    ck_assert_uint_eq(broadcast("[2]", true), 2);
    budget.limit = budget.used;
    struct blob *body = message_body_new(&registry, SLICE_LITERAL("[3]"));
    ck_assert_ptr_nonnull(body);
    budget_release_body(&budget, body);
    expect_waiting(eve, "1=[[\"mailbox.dropped\",{\"total\":1}]] 2=[2]");
    ck_assert_uint_eq(metrics.values[METRIC_DROPPED_HOST_FULL], 1);
    stop();
}
END_TEST

/* It has no record of its own that a placeholder could take the place of. */
START_TEST(a_broadcast_grows_old_when_the_store_has_room_to_note_that)
{
    start();
    registry.limits.mailbox_drops_oldest = true;
    registry.limits.age_ms = 10000;
    struct session *session = create("bob", "x", 0, 0);
    must_accept(session, "[1]", with_key("k"));
    broadcast("[2]", true);
    age(session, 6000);
    must_accept(session, "[3]", with_key("k"));
    age(session, 5000);
    failing = true;
    session_drop_due(&registry, session);
    failing = false;
    expect_waiting(session, "1=[3] 2=[2]");
    ck_assert_uint_gt(session->times->due.key, clock_steady_ms());
    session_drop_due(&registry, session);
    expect_waiting(session, "1=[3] 2=[2]");
    heap_set(&registry.due, &session->times->due, 0);
    session_drop_due(&registry, session);
    expect_waiting(session, "1=[3] 2=[]");
    stop();
}
END_TEST

START_TEST(many_recipients_are_told_by_the_page)
{
    char name[16];
    start();
    budget.limit = 100 << 20;
    for (int i = 0; i < 2 * STORED_RECIPIENTS_MAX + 1; i++) {
        snprintf(name, sizeof name, "user%d", i);
        create(name, "x", 0, 0);
    }
    buffer_free(&told);
    ck_assert_uint_eq(broadcast("[]", true), 509);
    expect_told("broadcast 1 [] for 509\nbroadcast 1: 254 from 1 1 on\n"
                "broadcast 1: 254 from 255 1 on\nbroadcast 1: 1 from 509 1 on\n");
    stop();
}
END_TEST

START_TEST(a_newer_message_takes_the_place_of_one_that_was_not_sent)
{
    start();
    struct acceptance acceptance;
    struct session *session = create("bob", "x", 0, 0), *other = create("eve", "x", 0, 0);
    must_accept(session, "[[\"x\",1]]", with_key("x"));
    must_accept(session, "[[\"y\",1]]", with_key("y"));
    must_accept(other, "[[\"x\",7]]", with_key("x"));
    buffer_free(&told);
    ck_assert_int_eq(accept_with(session, "[[\"x\",22]]", with_key("x"), &acceptance),
                     OUTCOME_QUEUED);
    ck_assert(acceptance.replaced);
    ck_assert_uint_eq(acceptance.first_id, 1);
    expect_told("message 1 1 replaced\n"
                "counts 1 confirmed=0 gap=0 dropped=1 replaced=1 overflowed=0\n");
    expect_waiting(session, "1=[[\"x\",22]] 2=[[\"y\",1]]");
    expect_waiting(other, "1=[[\"x\",7]]");
    /* What was sent stays what it is. */
    session->mailbox.sent_up_to = 1;
    ck_assert_int_eq(accept_with(session, "[[\"x\",3]]", with_key("x"), &acceptance),
                     OUTCOME_QUEUED);
    ck_assert(!acceptance.replaced);
    ck_assert_int_eq(accept_with(session, "[[\"x\",4]]", with_key("x"), &acceptance),
                     OUTCOME_QUEUED);
    ck_assert_uint_eq(acceptance.first_id, 3);
    expect_waiting(session, "1=[[\"x\",22]] 2=[[\"y\",1]] 3=[[\"x\",4]]");
    ck_assert_uint_eq(metrics.values[METRIC_DROPPED_REPLACED], 2);
    ck_assert_uint_eq(metrics.values[METRIC_ACCEPTED], 6);
    session->mailbox.sent_up_to = 3;
    ck_assert(session_confirm(&registry, session, 3));
    ck_assert_uint_eq(mailbox_confirmed(&session->mailbox), 3);
    stop();
}
END_TEST

START_TEST(a_repetition_is_answered_and_not_stored)
{
    start();
    registry.used_keys.window_ms = 10000;
    struct acceptance acceptance;
    struct session *session = create("bob", "x", 0, 0);
    struct message_order order = {.idempotency_key = SLICE_LITERAL("order-1"), .digest = 7};
    must_accept(session, "[]", PLAIN);
    must_accept(session, "[[\"pay\"]]", order);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(accept_with(session, "[[\"pay\"]]", order, &acceptance), OUTCOME_QUEUED);
        ck_assert(acceptance.repeated);
        ck_assert_uint_eq(acceptance.first_id, 2);
        ck_assert_uint_eq(acceptance.count, 1);
    }
    order.digest = 8;
    ck_assert_int_eq(accept_with(session, "[[\"pay\",2]]", order, &acceptance), OUTCOME_KEY_REUSED);
    ck_assert_uint_eq(session->mailbox.last_id, 2);
    ck_assert_uint_eq(metrics.values[METRIC_REPEATED], 2);
    /* Also when it was confirmed meanwhile, until the window is over. */
    session->mailbox.sent_up_to = 2;
    ck_assert(session_confirm(&registry, session, 2));
    order.digest = 7;
    ck_assert_int_eq(accept_with(session, "[[\"pay\"]]", order, &acceptance), OUTCOME_QUEUED);
    ck_assert(acceptance.repeated);
    registry.used_keys.oldest->used_ms -= 11000;
    buffer_free(&told);
    messages_tick(&registry);
    expect_told("key 1 order-1 removed\n");
    ck_assert_int_eq(accept_with(session, "[[\"pay\"]]", order, &acceptance), OUTCOME_QUEUED);
    ck_assert(!acceptance.repeated);
    ck_assert_uint_eq(acceptance.first_id, 3);
    check_figures();
    stop();
}
END_TEST

static void expect_receipt(uint64_t number, const char *tag, uint64_t id,
                           enum settlement settlement)
{
    struct buffer run = {0};
    struct receipt receipt;
    uint64_t first;
    ck_assert_int_eq(receipts_read(&registry.receipts, number - 1, 1, &first, &run), 0);
    ck_assert_uint_eq(first, number);
    struct frame_reader reader = reader_of(buffer_slice(&run));
    ck_assert_int_eq(get_receipt_record(get_slice(&reader), &receipt), 0);
    ck_assert_slice_eq(receipt.tag, tag);
    ck_assert_uint_eq(receipt.id, id);
    ck_assert_int_eq(receipt.settlement, settlement);
    buffer_free(&run);
}

/* The wall clock was set back by an hour since. */
START_TEST(nothing_that_is_restored_lies_in_the_future)
{
    start();
    registry.used_keys.window_ms = 1000;
    uint64_t future_ms = clock_steady_ms() + 3600000;
    struct stored_session of_session = {.number = 5,
                                        .address = SLICE_LITERAL("sess/bob:x"),
                                        .ttl_ms = 1000,
                                        .created_ms = future_ms};
    struct stored_message message = {.id = 1, .body = SLICE_LITERAL("[]"), .made_ms = future_ms};
    struct stored_key key = {.key = SLICE_LITERAL("k"), .used_ms = future_ms};
    struct session *session = session_restore(&registry, &of_session, 0);
    ck_assert_int_eq(session_restore_message(&registry, session, &message), 0);
    ck_assert_int_eq(session_restore_key(&registry, session, &key), 0);
    uint64_t now_ms = clock_steady_ms();
    ck_assert_uint_le(session->created_ms, now_ms);
    ck_assert_uint_le(mailbox_entry(&session->mailbox, 1)->body->made_ms, now_ms);
    ck_assert_uint_le(session->keys->used_ms, now_ms);
    stop();
}
END_TEST

START_TEST(whoever_asked_for_a_receipt_gets_one)
{
    start();
    struct session *session = create("bob", "x", 0, 0);
    must_accept(session, "[]", with_receipt("a"));
    must_accept(session, "[]", PLAIN);
    struct message_order order = with_receipt("b");
    order.wish.expires_ms = clock_steady_ms() + 1000;
    must_accept(session, "[]", order);
    order = with_receipt("c");
    order.wish.replace_key = SLICE_LITERAL("k");
    must_accept(session, "[]", order);
    order.wish.receipt = SLICE_LITERAL("d");
    must_accept(session, "[]", order);
    expect_receipt(1, "c", 4, SETTLED_REPLACED);
    session->mailbox.sent_up_to = 1;
    ck_assert(session_confirm(&registry, session, 1));
    expect_receipt(2, "a", 1, SETTLED_CONFIRMED);
    age(session, 2000);
    messages_tick(&registry);
    expect_receipt(3, "b", 3, SETTLED_TTL);
    session_end(&registry, session, SESSION_EXPIRED);
    expect_receipt(4, "d", 4, SETTLED_SESSION_EXPIRED);
    ck_assert_uint_eq(registry.receipts.next, 5);
    check_figures();
    stop();
}
END_TEST

START_TEST(the_oldest_receipts_are_forgotten)
{
    start();
    registry.receipts.limit = 32;
    struct session *session = create("bob", "x", 0, 0);
    for (int i = 0; i < 100; i++)
        must_accept(session, "[]", with_receipt("r"));
    session->mailbox.sent_up_to = 100;
    ck_assert(session_confirm(&registry, session, 100));
    ck_assert_uint_le(registry.receipts.count, 32);
    ck_assert_uint_gt(registry.receipts.count, 28);
    expect_receipt(100, "r", 100, SETTLED_CONFIRMED);
    struct receipt receipt;
    ck_assert(receipts_find(&registry.receipts, session_address(session), 99, &receipt));
    ck_assert(!receipts_find(&registry.receipts, session_address(session), 1, &receipt));
    stop();
}
END_TEST

START_TEST(every_receipt_that_is_kept_is_found)
{
    start();
    registry.receipts.limit = 300;
    registry.receipts.next = UINT32_MAX - 500ull; /* beyond 32 bits */
    struct session *sessions[] = {create("bob", "x", 0, 0), create("eve", "x", 0, 0)};
    struct receipt receipt;
    for (uint64_t id = 1; id <= 500; id++) {
        for (size_t i = 0; i < 2; i++) {
            must_accept(sessions[i], "[]", with_receipt(i == 0 ? "b" : "e"));
            sessions[i]->mailbox.sent_up_to = id;
            ck_assert(session_confirm(&registry, sessions[i], id));
        }
        uint64_t kept = registry.receipts.count / 2;
        ck_assert_uint_gt(kept, id < 150 ? id - 1 : 120);
        for (size_t i = 0; i < 2; i++) {
            struct slice address = session_address(sessions[i]);
            for (uint64_t back = 0; back < id; back += 7) {
                bool found = receipts_find(&registry.receipts, address, id - back, &receipt);
                if (back != kept) /* of an odd number, one session has one more */
                    ck_assert_int_eq(found, back < kept);
                if (found)
                    ck_assert_slice_eq(receipt.tag, i == 0 ? "b" : "e");
            }
        }
    }
    ck_assert_uint_gt(registry.receipts.next, UINT32_MAX);
    stop();
}
END_TEST

START_TEST(receipts_take_a_part_of_the_store_at_most)
{
    store_size = 64 << 10;
    start();
    struct session *session = create("bob", "x", 0, 0);
    for (int i = 0; i < 1000; i++)
        must_accept(session, "[]", with_receipt("r"));
    session->mailbox.sent_up_to = 1000;
    ck_assert(session_confirm(&registry, session, 1000));
    ck_assert_uint_le(registry.receipts.bytes, store_size / 8);
    ck_assert_uint_gt(registry.receipts.count, 50);
    ck_assert_uint_eq(registry.receipts.next, 1001);
    expect_receipt(1000, "r", 1000, SETTLED_CONFIRMED);
    stop();
    store_size = 0;
}
END_TEST

START_TEST(receipts_that_find_no_room_are_counted_as_lost)
{
    start();
    struct session *session = create("bob", "x", 0, 0);
    for (int i = 0; i < 4; i++)
        must_accept(session, "[]", with_receipt("r"));
    session->mailbox.sent_up_to = 4;
    ck_assert(session_confirm(&registry, session, 2));
    buffer_free(&told);
    refusing_receipts = true;
    ck_assert(session_confirm(&registry, session, 3));
    refusing_receipts = false;
    ck_assert(session_confirm(&registry, session, 4));
    expect_told("receipts up to 2 removed\n"
                "removed 1 up to 3\n"
                "counts 1 confirmed=3 gap=0 dropped=0 replaced=0 overflowed=0\n"
                "receipt 4\n"
                "removed 1 up to 4\n"
                "counts 1 confirmed=4 gap=0 dropped=0 replaced=0 overflowed=0\n");
    ck_assert_uint_eq(registry.receipts.count, 1);
    expect_receipt(4, "r", 4, SETTLED_CONFIRMED);
    stop();
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, the_store_is_told_of_all_in_order);
    tcase_add_test(cases, what_the_store_refuses_has_not_happened);
    tcase_add_test(cases, a_store_that_cannot_forget_ends_the_process);
    tcase_add_test(cases, a_confirmation_covers_what_was_sent_and_nothing_else);
    tcase_add_test(cases, full_mailboxes_refuse_all_or_nothing);
    tcase_add_test(cases, the_oldest_make_room_when_the_policy_says_so);
    tcase_add_test(cases, messages_are_dropped_when_their_time_is_over);
    tcase_add_test(cases, what_is_over_goes_in_steps);
    tcase_add_test(cases, very_much_that_is_over_does_not_hold_everything_up);
    tcase_add_test(cases, a_large_mailbox_is_not_searched_for_every_message);
    tcase_add_test(cases, the_age_of_the_oldest_is_a_limit_like_the_others);
    tcase_add_test(cases, the_oldest_of_the_host_make_room_when_the_policy_says_so);
    tcase_add_test(cases, a_broadcast_is_stored_once);
    tcase_add_test(cases, a_broadcast_that_few_wait_for_gives_its_room_back);
    tcase_add_test(cases, a_broadcast_stays_when_its_records_find_no_room);
    tcase_add_test(cases, a_broadcast_can_be_dropped_like_any_message);
    tcase_add_test(cases, a_broadcast_grows_old_and_makes_room_like_any_message);
    tcase_add_test(cases, a_broadcast_grows_old_when_the_store_has_room_to_note_that);
    tcase_add_test(cases, many_recipients_are_told_by_the_page);
    tcase_add_test(cases, a_newer_message_takes_the_place_of_one_that_was_not_sent);
    tcase_add_test(cases, a_repetition_is_answered_and_not_stored);
    tcase_add_test(cases, nothing_that_is_restored_lies_in_the_future);
    tcase_add_test(cases, whoever_asked_for_a_receipt_gets_one);
    tcase_add_test(cases, the_oldest_receipts_are_forgotten);
    tcase_add_test(cases, every_receipt_that_is_kept_is_found);
    tcase_add_test(cases, receipts_take_a_part_of_the_store_at_most);
    tcase_add_test(cases, receipts_that_find_no_room_are_counted_as_lost);
}

UNIT_MAIN("session_messages", add_tests)
