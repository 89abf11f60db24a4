#include "base/clock.h"
#include "relay_fixture.h"

static struct test_relay test;
static struct test_worker worker;

static void start(void)
{
    test_relay_prepare(&test, "host-a:1");
    test.settings.poll_pace = 30;
    test_relay_start(&test);
    test_worker_start(&worker, &test, 7);
    test_session(&test, "bob", "x");
}

static void stop(void)
{
    test_worker_stop(&worker);
    test_relay_stop(&test);
}

static void settle_here(void)
{
    settle(&test, &worker);
}

/* Waits, for what comes by a timer. */
static void wait_for_journal(void)
{
    for (int i = 0; i < 1000 && buffer_len(&worker.journal) == 0; i++) {
        ev_run(test.loop, EVRUN_ONCE);
        settle_here();
    }
}

START_TEST(an_unknown_session_is_refused)
{
    start();
    test_attach(&worker, 1, STYLE_STREAM, "sess/eve:x", "", 0);
    test_attach(&worker, 2, STYLE_STREAM, "sess/eve:x", "host-a:1", 0);
    settle_here();
    expect(&worker, "end 1: noSession\nend 2: noSession\n");
    struct frame_attach resumed = {
        .handle = 7ull << 32 | 3, .flags = ATTACH_RESUMED, .address = SLICE_LITERAL("sess/eve:x")};
    put_attach(data_channel_out(worker.channel), &resumed);
    data_channel_wrote(worker.channel);
    settle_here();
    expect(&worker, "end 3: hostGone\n");
    ck_assert_uint_eq(figure(&test, METRIC_ATTACHED_STREAM), 0);
    stop();
}
END_TEST

START_TEST(a_stream_gets_all_at_first_and_then_what_is_new)
{
    start();
    test_send(&test, "sess/bob:x", "[[\"a\"]]");
    test_send(&test, "sess/bob:x", "[[\"b\"]]");
    test_attach(&worker, 1, STYLE_STREAM, "sess/bob:x", "", 0);
    settle_here();
    expect(&worker, "deliver 1: 1=[[\"a\"]] 2=[[\"b\"]]\n");
    test_send(&test, "sess/bob:x", "[[\"c\"]]");
    settle_here();
    expect(&worker, "deliver 1: 3=[[\"c\"]]\n");
    test_confirm(&worker, 1, 2);
    settle_here();
    expect(&worker, "");
    ck_assert_uint_eq(figure(&test, METRIC_PENDING), 1);
    test_attach(&worker, 2, STYLE_STREAM, "sess/bob:x", "", 0);
    settle_here();
    expect(&worker, "end 1: superseded\ndeliver 2: 3=[[\"c\"]]\n");
    check_balance(&test);
    stop();
}
END_TEST

START_TEST(what_is_stale_touches_nothing)
{
    start();
    test_attach(&worker, 1, STYLE_STREAM, "sess/bob:x", "", 0);
    test_attach(&worker, 2, STYLE_STREAM, "sess/bob:x", "", 0);
    settle_here();
    test_send(&test, "sess/bob:x", "[]");
    settle_here();
    expect(&worker, "end 1: superseded\ndeliver 2: 1=[]\n");
    test_confirm(&worker, 1, 1);
    test_credit(&worker, 1, 100);
    test_detach(&worker, 1);
    test_send(&test, "sess/bob:x", "[1]");
    settle_here();
    expect(&worker, "deliver 2: 2=[1]\n");
    ck_assert_uint_eq(figure(&test, METRIC_STALE), 3);
    ck_assert_uint_eq(figure(&test, METRIC_PENDING), 2);
    stop();
}
END_TEST

/* As after a restart of the relay, which workers hear of one after the other. */
START_TEST(who_is_announced_again_does_not_take_over_from_who_came_later)
{
    struct test_worker late;
    struct frame_attach old = {.handle = 8ull << 32 | 1,
                               .since = clock_monotonic_us() - 1,
                               .flags = ATTACH_RESUMED,
                               .address = SLICE_LITERAL("sess/bob:x")};
    start();
    test_worker_start(&late, &test, 8);
    test_attach(&worker, 1, STYLE_STREAM, "sess/bob:x", "", 0);
    settle_here();
    put_attach(data_channel_out(late.channel), &old);
    data_channel_wrote(late.channel);
    settle(&test, &late);
    expect(&late, "end 1: superseded\n");
    test_send(&test, "sess/bob:x", "[1]");
    settle_here();
    expect(&worker, "deliver 1: 1=[1]\n");
    ck_assert_uint_eq(figure(&test, METRIC_ATTACHED_STREAM), 1);
    test_worker_stop(&late);
    settle_here();
    stop();
}
END_TEST

START_TEST(another_worker_cannot_speak_for_a_handle)
{
    struct test_worker other;
    start();
    test_worker_start(&other, &test, 8);
    test_attach(&worker, 1, STYLE_STREAM, "sess/bob:x", "", 0);
    settle_here();
    struct frame_detach detach = {.handle = 7ull << 32 | 1};
    put_detach(data_channel_out(other.channel), &detach);
    data_channel_wrote(other.channel);
    settle(&test, &other);
    test_send(&test, "sess/bob:x", "[]");
    settle_here();
    expect(&worker, "deliver 1: 1=[]\n");
    test_worker_stop(&other);
    settle_here();
    stop();
}
END_TEST

#define DIGITS_30 "123456789012345678901234567890"
#define LARGE     "[" DIGITS_30 DIGITS_30 DIGITS_30 DIGITS_30 "]"

START_TEST(a_window_holds_back_what_the_client_does_not_take)
{
    start();
    test_detach(&worker, 9);
    test.settings.limit_attachment_window = messages_cost(3, 10); /* 106 */
    test_attach(&worker, 1, STYLE_STREAM, "sess/bob:x", "", 0);
    settle_here();
    test_send(&test, "sess/bob:x", LARGE); /* larger than the window: goes alone */
    test_send(&test, "sess/bob:x", "[2]");
    settle_here();
    expect(&worker, "deliver 1: 1=" LARGE "\n");
    /* As much must be free as the next one counts: of 154 bytes, 71 may be on their way. */
    test_credit(&worker, 1, 82);
    settle_here();
    expect(&worker, "");
    test_credit(&worker, 1, 1);
    settle_here();
    expect(&worker, "deliver 1: 2=[2]\n");
    test_credit(&worker, 1, 71); /* the rest of the first one */
    settle_here();
    test_send(&test, "sess/bob:x", "[3]");
    test_send(&test, "sess/bob:x", "[4]");
    test_send(&test, "sess/bob:x", "[5]");
    settle_here();
    expect(&worker, "deliver 1: 3=[3]\ndeliver 1: 4=[4]\n");
    test_credit(&worker, 1, 1000);
    settle_here();
    expect(&worker, "deliver 1: 5=[5]\n");
    stop();
}
END_TEST

/* For what is little, a worker gives no credit by itself: it does not keep a large one back. */
START_TEST(little_in_flight_keeps_nothing_back)
{
    start();
    test.settings.limit_attachment_window = 4 * messages_cost(1, 3);
    test_attach(&worker, 1, STYLE_STREAM, "sess/bob:x", "", 0);
    settle_here();
    test_send(&test, "sess/bob:x", "[1]");
    test_send(&test, "sess/bob:x", LARGE);
    test_send(&test, "sess/bob:x", "[3]");
    settle_here();
    expect(&worker, "deliver 1: 1=[1]\ndeliver 1: 2=" LARGE "\n");
    stop();
}
END_TEST

START_TEST(polls_get_everything_once)
{
    start();
    test_attach(&worker, 1, STYLE_SHORT_POLL, "sess/bob:x", "", 0);
    settle_here();
    expect(&worker, "deliver 1:\n");
    test_attach(&worker, 2, STYLE_LONG_POLL, "sess/bob:x", "", 0);
    settle_here();
    expect(&worker, "");
    test_send(&test, "sess/bob:x", "[1]");
    test_send(&test, "sess/bob:x", "[2]");
    settle_here();
    expect(&worker, "deliver 2: 1=[1]\n");
    test_attach(&worker, 3, STYLE_LONG_POLL, "sess/bob:x", "", 0);
    settle_here();
    expect(&worker, "deliver 3: 1=[1] 2=[2]\n");
    test_attach(&worker, 4, STYLE_LONG_POLL, "sess/bob:x", "", 2);
    test_attach(&worker, 5, STYLE_LONG_POLL, "sess/bob:x", "", 0);
    settle_here();
    expect(&worker, "end 4: superseded\n");
    ck_assert_uint_eq(figure(&test, METRIC_CONFIRMED), 2);
    ck_assert_uint_eq(figure(&test, METRIC_ATTACHED_LONG_POLL), 1);
    stop();
}
END_TEST

START_TEST(the_same_answer_again_is_held_back)
{
    start();
    test_send(&test, "sess/bob:x", "[1]");
    test_attach(&worker, 1, STYLE_SHORT_POLL, "sess/bob:x", "", 0);
    settle_here();
    expect(&worker, "deliver 1: 1=[1]\n");
    test_attach(&worker, 2, STYLE_SHORT_POLL, "sess/bob:x", "", 0);
    settle_here();
    expect(&worker, "");
    wait_for_journal();
    expect(&worker, "deliver 2: 1=[1]\n");
    test_attach(&worker, 3, STYLE_LONG_POLL, "sess/bob:x", "", 0);
    settle_here();
    expect(&worker, "");
    test_send(&test, "sess/bob:x", "[2]"); /* another answer now */
    settle_here();
    expect(&worker, "deliver 3: 1=[1] 2=[2]\n");
    test_attach(&worker, 4, STYLE_LONG_POLL, "sess/bob:x", "", 1);
    settle_here();
    expect(&worker, "deliver 4: 2=[2]\n");
    stop();
}
END_TEST

START_TEST(a_client_that_is_held_back_may_leave)
{
    start();
    test_send(&test, "sess/bob:x", "[1]");
    test_attach(&worker, 1, STYLE_LONG_POLL, "sess/bob:x", "", 0);
    test_attach(&worker, 2, STYLE_LONG_POLL, "sess/bob:x", "", 0);
    settle_here();
    expect(&worker, "deliver 1: 1=[1]\n");
    test_detach(&worker, 2);
    settle_here();
    ck_assert_ptr_null(test.relay->attachments.paced);
    stop();
}
END_TEST

START_TEST(confirming_what_never_was_ends_the_session)
{
    start();
    test_send(&test, "sess/bob:x", "[1]");
    test_attach(&worker, 1, STYLE_STREAM, "sess/bob:x", "", 0);
    settle_here();
    test_confirm(&worker, 1, 2);
    settle_here();
    expect(&worker, "deliver 1: 1=[1]\nend 1: hostGone\n");
    ck_assert_uint_eq(figure(&test, METRIC_SESSIONS), 0);
    ck_assert_uint_eq(figure(&test, METRIC_DROPPED_BROKEN), 1);
    test_session(&test, "ann", "y");
    test_attach(&worker, 2, STYLE_SHORT_POLL, "sess/ann:y", "", 1);
    settle_here();
    expect(&worker, "end 2: hostGone\n");
    stop();
}
END_TEST

START_TEST(a_lost_worker_takes_its_attachments_along)
{
    start();
    test_attach(&worker, 1, STYLE_STREAM, "sess/bob:x", "", 0);
    settle_here();
    ck_assert_uint_eq(figure(&test, METRIC_ATTACHED_STREAM), 1);
    test_worker_stop(&worker);
    settle(&test, NULL);
    ck_assert_uint_eq(figure(&test, METRIC_ATTACHED_STREAM), 0);
    ck_assert_uint_eq(figure(&test, METRIC_WORKERS), 0);
    test_send(&test, "sess/bob:x", "[1]");
    test_worker_start(&worker, &test, 8);
    test_attach(&worker, 1, STYLE_STREAM, "sess/bob:x", "", 0);
    settle_here();
    expect(&worker, "deliver 1: 1=[1]\n");
    stop();
}
END_TEST

START_TEST(an_expired_session_ends_nothing_that_is_attached)
{
    start();
    test_attach(&worker, 1, STYLE_STREAM, "sess/bob:x", "", 0);
    settle_here();
    struct session_registry *registry = &test.relay->registry;
    registry_tick(registry, (registry->next_tick + 3600 * 2) * SESSION_TICK_MS);
    ck_assert_uint_eq(figure(&test, METRIC_SESSIONS), 1);
    test_send(&test, "sess/bob:x", "[1]");
    settle_here();
    expect(&worker, "deliver 1: 1=[1]\n");
    test_detach(&worker, 1);
    settle_here();
    registry_tick(registry, (registry->next_tick + 3600 * 2) * SESSION_TICK_MS);
    ck_assert_uint_eq(figure(&test, METRIC_SESSIONS), 0);
    ck_assert_uint_eq(figure(&test, METRIC_DROPPED_EXPIRED), 1);
    stop();
}
END_TEST

/* Lets the attachment's period end once more. */
static void wait_for_redelivery(uint32_t handle)
{
    const struct attachment *attachment = attachment_find(test.relay, 7ull << 32 | handle);
    uint64_t due_ms = attachment->redeliver_ms;
    for (int i = 0; i < 1000 && attachment->redeliver_ms == due_ms; i++)
        ev_run(test.loop, EVRUN_ONCE);
    settle_here();
}

START_TEST(what_is_never_confirmed_is_sent_again)
{
    start();
    test.settings.redeliver_after = 30;
    test.settings.limit_attachment_window = messages_cost(2, 10);
    test_attach(&worker, 1, STYLE_STREAM, "sess/bob:x", "", 0);
    settle_here();
    ck_assert_ptr_null(test.relay->attachments.unconfirmed);
    for (int i = 0; i < 4; i++)
        test_send(&test, "sess/bob:x", "[123]");
    settle_here();
    expect(&worker, "deliver 1: 1=[123]\ndeliver 1: 2=[123]\n");
    wait_for_redelivery(1); /* it takes nothing, so it gets nothing */
    expect(&worker, "");
    test_credit_for(&worker, 1, 2, 10);
    settle_here();
    expect(&worker, "deliver 1: 3=[123] 4=[123]\n");
    test_credit_for(&worker, 1, 1, 5);
    settle_here();
    wait_for_redelivery(1);
    expect(&worker, "");
    test_credit_for(&worker, 1, 1, 5);
    test_confirm(&worker, 1, 1);
    settle_here();
    wait_for_redelivery(1);
    expect(&worker, "deliver 1: 2=[123] 3=[123]\n");
    test_credit_for(&worker, 1, 2, 10);
    settle_here();
    expect(&worker, "deliver 1: 4=[123]\n");
    test_credit_for(&worker, 1, 1, 5);
    test_confirm(&worker, 1, 3);
    settle_here();
    wait_for_redelivery(1);
    wait_for_redelivery(1); /* 4 is on its way */
    expect(&worker, "deliver 1: 4=[123]\n");
    ck_assert_uint_eq(figure(&test, METRIC_REDELIVERIES), 2);
    test_confirm(&worker, 1, 4);
    settle_here();
    ck_assert_ptr_null(test.relay->attachments.unconfirmed);
    test_send(&test, "sess/bob:x", "[5]");
    test_detach(&worker, 1);
    settle_here();
    ck_assert_ptr_null(test.relay->attachments.unconfirmed);
    stop();
}
END_TEST

START_TEST(polls_are_not_sent_anything_again)
{
    start();
    test.settings.redeliver_after = 1;
    test_send(&test, "sess/bob:x", "[1]");
    test_attach(&worker, 1, STYLE_SHORT_POLL, "sess/bob:x", "", 0);
    settle_here();
    expect(&worker, "deliver 1: 1=[1]\n");
    ck_assert_ptr_null(test.relay->attachments.unconfirmed);
    stop();
}
END_TEST

static size_t digits(uint64_t number)
{
    return number < 10 ? 1 : 1 + digits(number / 10);
}

static size_t in_pack(uint64_t id)
{
    return strlen("\"\":[],") + digits(id);
}

static size_t in_event_stream(uint64_t id)
{
    return strlen("id: \ndata: {\"\":[]}\n\n") + 2 * digits(id);
}

static size_t (*const TRANSPORTS[])(uint64_t id) = {in_pack, in_event_stream};

/* What the worker was given since the last time, in its client's transport. */
static size_t take_placeholders(uint64_t *last, size_t (*size_of)(uint64_t id))
{
    size_t size = 0, len = buffer_len(&worker.journal);
    ck_assert_int_eq(buffer_append(&worker.journal, "", 1), 0);
    for (char *at = buffer_bytes(&worker.journal); len > 0 && (at = strchr(at, '='));) {
        ck_assert_int_eq(strncmp(at, "=[]", 3), 0);
        at += 3;
        size += size_of(++*last);
    }
    buffer_free(&worker.journal);
    return size;
}

/* Its worker gives credit as a connection does: for what it does not hold. */
START_TEST(a_gap_is_bounded_by_the_window_for_a_client_that_reads_nothing)
{
    enum { GAP = 100000, WINDOW = 64 << 10 };
    start();
    test.settings.limit_attachment_window = WINDOW;
    test.relay->registry.limits.mailbox.messages = 1;
    test.relay->registry.limits.mailbox_drops_oldest = true;
    for (int i = 0; i < GAP + 1; i++)
        test_send(&test, "sess/bob:x", "[1]");
    test_attach(&worker, 1, STYLE_STREAM, "sess/bob:x", "", 0);
    uint64_t last = 0, credited = 0;
    size_t held = 0;
    for (uint64_t before = 1; last != before;) {
        before = last;
        for (int i = 0; i < 10; i++)
            settle_here();
        held += take_placeholders(&last, TRANSPORTS[_i]);
        ck_assert_uint_eq(figure(&test, METRIC_DELIVERED), last);
        ck_assert_uint_le(held, WINDOW);
        uint64_t cost = messages_cost(last, 2 * last) - credited;
        if (cost > held) {
            test_credit(&worker, 1, (uint32_t)(cost - held));
            credited += cost - held;
        }
    }
    ck_assert_uint_gt(held, WINDOW - 2 * (MESSAGE_FRAMING + 2));
    ck_assert_uint_lt(last, GAP);
    stop();
}
END_TEST

/* A worker that does not read: what does not fit waits in mailboxes and comes in order later. */
START_TEST(a_congested_channel_leaves_messages_in_their_mailbox)
{
    enum { BODY = 60000, COUNT = 200 };
    static char body[BODY + 1];
    memset(body, '1', BODY);
    body[0] = '[';
    body[BODY - 1] = ']';
    start();
    test.relay->registry.limits.mailbox.bytes = COUNT * BODY;
    test.settings.limit_attachment_window = messages_cost(COUNT, COUNT * BODY);
    test_attach(&worker, 1, STYLE_STREAM, "sess/bob:x", "", 0);
    settle_here();
    for (int i = 0; i < COUNT; i++) {
        ck_assert_int_eq(test_send(&test, "sess/bob:x", body), 0);
        ev_run(test.loop, EVRUN_NOWAIT);
    }
    struct worker_link *link = test.relay->links;
    ck_assert(data_channel_congested(link->channel));
    ck_assert_ptr_nonnull(link->outlet.congested);
    ck_assert_uint_lt(buffer_len(data_channel_out(link->channel)), 2 * DATA_CHANNEL_HIGH);
    ck_assert_uint_lt(figure(&test, METRIC_DELIVERED), COUNT);
    /* A request is answered nevertheless, an end is told. */
    test_attach(&worker, 2, STYLE_STREAM, "sess/eve:x", "", 0);
    for (int i = 0; i < 2000 && figure(&test, METRIC_DELIVERED) < COUNT; i++)
        settle_here();
    ck_assert_uint_eq(figure(&test, METRIC_DELIVERED), COUNT);
    settle_here();
    settle_here();
    ck_assert_ptr_null(link->outlet.congested);
    buffer_free(&worker.journal);
    test_confirm(&worker, 1, COUNT);
    for (int i = 0; i < 2000 && figure(&test, METRIC_PENDING) > 0; i++)
        settle_here();
    ck_assert_uint_eq(figure(&test, METRIC_CONFIRMED), COUNT);
    stop();
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, an_unknown_session_is_refused);
    tcase_add_test(cases, a_stream_gets_all_at_first_and_then_what_is_new);
    tcase_add_test(cases, what_is_stale_touches_nothing);
    tcase_add_test(cases, who_is_announced_again_does_not_take_over_from_who_came_later);
    tcase_add_test(cases, another_worker_cannot_speak_for_a_handle);
    tcase_add_test(cases, a_window_holds_back_what_the_client_does_not_take);
    tcase_add_test(cases, little_in_flight_keeps_nothing_back);
    tcase_add_test(cases, polls_get_everything_once);
    tcase_add_test(cases, the_same_answer_again_is_held_back);
    tcase_add_test(cases, a_client_that_is_held_back_may_leave);
    tcase_add_test(cases, confirming_what_never_was_ends_the_session);
    tcase_add_test(cases, a_lost_worker_takes_its_attachments_along);
    tcase_add_test(cases, an_expired_session_ends_nothing_that_is_attached);
    tcase_add_test(cases, what_is_never_confirmed_is_sent_again);
    tcase_add_test(cases, polls_are_not_sent_anything_again);
    tcase_add_loop_test(cases, a_gap_is_bounded_by_the_window_for_a_client_that_reads_nothing, 0,
                        sizeof TRANSPORTS / sizeof *TRANSPORTS);
    tcase_add_test(cases, a_congested_channel_leaves_messages_in_their_mailbox);
}

UNIT_MAIN("delivery", add_tests)
