/* Two relays of ours joined by a fake mesh, and a MAGE host that is only its envelopes. */
#include "relay_fixture.h"

#include <stdio.h>

#include "base/clock.h"
#include "workers/relay/peer_outlet.h"

static struct test_relay here, home;
static struct test_worker worker;
static const struct mesh_peer_state UP = {true, true, true}, DOWN = {true, false, true},
                                    MAGE = {true, true, false};

static void settle_here(void)
{
    for (int i = 0; i < 3; i++) {
        settle(&here, &worker);
        settle(&home, NULL);
    }
}

static void start(void)
{
    test_relay_prepare(&here, "host-a:1");
    test_relay_prepare(&home, "host-b:1");
    here.settings.limit_attachment_window = messages_cost(4, 40); /* 168 */
    test_relay_start(&here);
    test_relay_start(&home);
    test_worker_start(&worker, &here, 7);
    test_session(&home, "bob", "x");
    fake_mesh_set_peer(here.relay->mesh, "host-b:1", UP);
    fake_mesh_set_peer(home.relay->mesh, "host-a:1", UP);
}

static void stop(void)
{
    test_worker_stop(&worker);
    test_relay_stop(&here);
    test_relay_stop(&home);
}

/* Envelopes sent since the last call. */
static void expect_sent(struct test_relay *relay, const char *text)
{
    struct buffer *journal = fake_mesh_journal(relay->relay->mesh);
    ck_assert_slice_eq(buffer_slice(journal), text);
    buffer_free(journal);
}

static void forget_sent(void)
{
    buffer_free(fake_mesh_journal(here.relay->mesh));
    buffer_free(fake_mesh_journal(home.relay->mesh));
}

START_TEST(messages_come_from_another_home_and_confirmations_go_back)
{
    start();
    test_send(&home, "sess/bob:x", "[1]");
    test_attach(&worker, 1, STYLE_STREAM, "sess/bob:x", "host-b:1", 0);
    settle_here();
    expect(&worker, "deliver 1: 1=[1]\n");
    expect_sent(&here, "msgServer.connect host-b:1 | sess/bob:x;never;0;168;0 | "
                       "host-a:1:30064771073\n");
    expect_sent(&home,
                "msgServer.messagepack host-a:1,host-a:1:30064771073 | sess/bob:x;1;[1] | \n");
    test_send(&home, "sess/bob:x", "[2]");
    settle_here();
    expect(&worker, "deliver 1: 2=[2]\n");
    test_confirm(&worker, 1, 2);
    settle_here();
    ck_assert_uint_eq(figure(&home, METRIC_CONFIRMED), 2);
    forget_sent();
    test_detach(&worker, 1);
    settle_here();
    expect_sent(&here, "msgServer.disconnect host-b:1 | sess/bob:x;host-a:1:30064771073 | \n");
    ck_assert_uint_eq(figure(&home, METRIC_ATTACHED_STREAM), 0);
    ck_assert_ptr_null(home.relay->peers);
    ck_assert_ptr_null(here.relay->homes.homes);
    stop();
}
END_TEST

START_TEST(polls_work_across_hosts)
{
    start();
    test_attach(&worker, 1, STYLE_SHORT_POLL, "sess/bob:x", "host-b:1", 0);
    settle_here();
    expect(&worker, "deliver 1:\n");
    test_attach(&worker, 2, STYLE_LONG_POLL, "sess/bob:x", "host-b:1", 0);
    settle_here();
    expect(&worker, "");
    test_send(&home, "sess/bob:x", "[1]");
    settle_here();
    expect(&worker, "deliver 2: 1=[1]\n");
    test_attach(&worker, 3, STYLE_SHORT_POLL, "sess/bob:x", "host-b:1", 1);
    settle_here();
    expect(&worker, "deliver 3:\n");
    ck_assert_uint_eq(figure(&home, METRIC_CONFIRMED), 1);
    ck_assert_uint_eq(figure(&here, METRIC_ATTACHED_ELSEWHERE), 0);
    stop();
}
END_TEST

START_TEST(the_home_says_why_an_attachment_ends)
{
    start();
    test_attach(&worker, 1, STYLE_STREAM, "sess/eve:x", "host-b:1", 0);
    settle_here();
    expect(&worker, "end 1: noSession\n");
    test_attach(&worker, 2, STYLE_STREAM, "sess/bob:x", "host-b:1", 0);
    settle_here();
    test_attach(&worker, 3, STYLE_STREAM, "sess/bob:x", "host-b:1", 0);
    settle_here();
    expect(&worker, "end 2: superseded\n");
    struct session *session = session_find(&home.relay->registry, SLICE_LITERAL("sess/bob:x"));
    relay_end_session(home.relay, session, SESSION_DELETED, END_EXPIRED);
    settle_here();
    expect(&worker, "end 3: expired\n");
    stop();
}
END_TEST

START_TEST(a_client_at_the_home_takes_over)
{
    struct test_worker at_home;
    start();
    test_worker_start(&at_home, &home, 9);
    test_attach(&worker, 1, STYLE_STREAM, "sess/bob:x", "host-b:1", 0);
    settle_here();
    test_attach(&at_home, 1, STYLE_STREAM, "sess/bob:x", "host-b:1", 0);
    settle(&home, &at_home);
    settle_here();
    expect(&worker, "end 1: superseded\n");
    /* A late disconnect of the first must not deafen the second. */
    fake_mesh_receive(home.relay->mesh, "msgServer.disconnect  | sess/bob:x;host-a:1:30064771073");
    fake_mesh_receive(home.relay->mesh, "msgServer.disconnect  | sess/bob:x");
    test_send(&home, "sess/bob:x", "[1]");
    settle(&home, &at_home);
    expect(&at_home, "deliver 1: 1=[1]\n");
    test_worker_stop(&at_home);
    stop();
}
END_TEST

/* The hosts lost sight of each other, and so the word that somebody took over. */
START_TEST(a_client_that_is_announced_again_does_not_take_over)
{
    struct test_worker at_home;
    start();
    test_worker_start(&at_home, &home, 9);
    test_attach(&worker, 1, STYLE_STREAM, "sess/bob:x", "host-b:1", 0);
    settle_here();
    fake_mesh_set_peer(here.relay->mesh, "host-b:1", DOWN);
    fake_mesh_set_peer(home.relay->mesh, "host-a:1", DOWN);
    uint64_t before = clock_monotonic_ms();
    while (clock_monotonic_ms() < before + 2)
        ;
    test_attach(&at_home, 1, STYLE_STREAM, "sess/bob:x", "", 0);
    settle(&home, &at_home);
    fake_mesh_set_peer(home.relay->mesh, "host-a:1", UP);
    fake_mesh_set_peer(here.relay->mesh, "host-b:1", UP);
    settle_here();
    expect(&worker, "end 1: superseded\n");
    test_send(&home, "sess/bob:x", "[1]");
    settle(&home, &at_home);
    expect(&at_home, "deliver 1: 1=[1]\n");
    test_worker_stop(&at_home);
    stop();
}
END_TEST

START_TEST(nothing_is_sent_beyond_the_window_nor_twice)
{
    start();
    test_attach(&worker, 1, STYLE_STREAM, "sess/bob:x", "host-b:1", 0);
    settle_here();
    char body[16], expected[64];
    for (int i = 1; i <= 30; i++) {
        snprintf(body, sizeof body, "[%08d]", i);
        test_send(&home, "sess/bob:x", body);
    }
    settle_here();
    expect(&worker, "deliver 1: 1=[00000001]\ndeliver 1: 2=[00000002]\n"
                    "deliver 1: 3=[00000003]\ndeliver 1: 4=[00000004]\n");
    ck_assert_uint_eq(figure(&home, METRIC_DELIVERED), 4);
    for (int i = 5; i <= 30; i++) {
        test_credit_for(&worker, 1, 1, 10);
        settle_here();
        if (i == 5) /* less than half of the window is free: the home is not bothered */
            test_credit_for(&worker, 1, 1, 10);
        settle_here();
    }
    struct slice journal = buffer_slice(&worker.journal);
    const char *at = journal.data;
    for (int i = 5; i <= 30; i++) {
        snprintf(expected, sizeof expected, " %d=[%08d]", i, i);
        at = memmem(at, (size_t)(journal.data + journal.len - at), expected, strlen(expected));
        ck_assert_msg(at != NULL, "%s is missing or late", expected);
    }
    ck_assert_uint_eq(figure(&home, METRIC_DELIVERED), 30);
    ck_assert_uint_eq(figure(&here, METRIC_DELIVERED), 30);
    stop();
}
END_TEST

START_TEST(a_home_that_comes_back_is_connected_again)
{
    start();
    test_attach(&worker, 1, STYLE_STREAM, "sess/bob:x", "host-b:1", 0);
    settle_here();
    test_send(&home, "sess/bob:x", "[1]");
    settle_here();
    expect(&worker, "deliver 1: 1=[1]\n");
    fake_mesh_set_peer(here.relay->mesh, "host-b:1", DOWN);
    fake_mesh_set_peer(home.relay->mesh, "host-a:1", DOWN);
    test_confirm(&worker, 1, 1);
    test_send(&home, "sess/bob:x", "[2]");
    settle_here();
    remote_home_tick(here.relay, clock_monotonic_ms() + HOME_AWAY_LIMIT_MS - 1000);
    settle_here();
    expect(&worker, "");
    forget_sent();
    fake_mesh_set_peer(home.relay->mesh, "host-a:1", UP);
    fake_mesh_set_peer(here.relay->mesh, "host-b:1", UP);
    settle_here();
    expect(&worker, "deliver 1: 2=[2]\n");
    expect_sent(&here,
                "msgServer.confirm host-b:1 | {\"msgIds\":[\"1\"],\"address\":\"sess/bob:x\"} | \n"
                "msgServer.connect host-b:1 | sess/bob:x;never;1;133;1 | host-a:1:30064771073\n");
    ck_assert_uint_eq(figure(&home, METRIC_CONFIRMED), 1);
    stop();
}
END_TEST

#define DIGITS_31 "1234567890123456789012345678901"
#define LARGE     "[[\"" DIGITS_31 DIGITS_31 DIGITS_31 "\"]]"

/* What was allowed was less than half of the window: that is used up, and must be renewed. */
START_TEST(a_small_window_is_renewed_too)
{
    start();
    test_attach(&worker, 1, STYLE_STREAM, "sess/bob:x", "host-b:1", 0);
    settle_here();
    test_send(&home, "sess/bob:x", LARGE); /* leaves 37 of 168, as much as the next one counts */
    settle_here();
    fake_mesh_set_peer(here.relay->mesh, "host-b:1", DOWN);
    fake_mesh_set_peer(home.relay->mesh, "host-a:1", DOWN);
    fake_mesh_set_peer(home.relay->mesh, "host-a:1", UP);
    fake_mesh_set_peer(here.relay->mesh, "host-b:1", UP);
    test_send(&home, "sess/bob:x", "[345]");
    test_send(&home, "sess/bob:x", "[1]");
    settle_here();
    expect(&worker, "deliver 1: 1=" LARGE "\ndeliver 1: 2=[345]\n");
    test_credit(&worker, 1, 168);
    settle_here();
    expect(&worker, "deliver 1: 3=[1]\n");
    stop();
}
END_TEST

/* For what is little, a worker gives no credit by itself. */
START_TEST(a_small_window_is_renewed_without_credit)
{
    start();
    test_attach(&worker, 1, STYLE_STREAM, "sess/bob:x", "host-b:1", 0);
    settle_here();
    test_send(&home, "sess/bob:x", LARGE);
    settle_here();
    fake_mesh_set_peer(here.relay->mesh, "host-b:1", DOWN);
    fake_mesh_set_peer(home.relay->mesh, "host-a:1", DOWN);
    fake_mesh_set_peer(home.relay->mesh, "host-a:1", UP);
    fake_mesh_set_peer(here.relay->mesh, "host-b:1", UP);
    test_credit(&worker, 1, 131);
    settle_here();
    test_send(&home, "sess/bob:x", "[345]");
    test_send(&home, "sess/bob:x", "[1]");
    settle_here();
    expect(&worker, "deliver 1: 1=" LARGE "\ndeliver 1: 2=[345]\ndeliver 1: 3=[1]\n");
    stop();
}
END_TEST

START_TEST(a_home_that_lost_the_session_is_host_gone)
{
    start();
    test_attach(&worker, 1, STYLE_STREAM, "sess/bob:x", "host-b:1", 0);
    settle_here();
    fake_mesh_set_peer(here.relay->mesh, "host-b:1", DOWN);
    test_relay_stop(&home);
    test_relay_prepare(&home, "host-b:1");
    test_relay_start(&home);
    fake_mesh_set_peer(home.relay->mesh, "host-a:1", UP);
    fake_mesh_set_peer(here.relay->mesh, "host-b:1", UP);
    settle_here();
    expect(&worker, "end 1: hostGone\n");
    stop();
}
END_TEST

START_TEST(a_home_that_stays_away_is_host_gone)
{
    start();
    fake_mesh_set_peer(here.relay->mesh, "host-b:1", DOWN);
    test_attach(&worker, 1, STYLE_STREAM, "sess/bob:x", "host-b:1", 0);
    test_attach(&worker, 2, STYLE_LONG_POLL, "sess/ann:x", "host-z:1", 0);
    settle_here();
    uint64_t now = clock_monotonic_ms();
    remote_home_tick(here.relay, now + HOME_UNKNOWN_LIMIT_MS - 1000);
    settle_here();
    expect(&worker, "");
    remote_home_tick(here.relay, now + HOME_UNKNOWN_LIMIT_MS + 1000);
    settle_here();
    expect(&worker, "end 2: hostGone\n");
    remote_home_tick(here.relay, now + HOME_AWAY_LIMIT_MS + 1000);
    settle_here();
    expect(&worker, "end 1: hostGone\n");
    ck_assert_ptr_null(here.relay->homes.homes);
    stop();
}
END_TEST

START_TEST(the_highest_number_can_be_confirmed_when_the_home_is_back)
{
    start();
    fake_mesh_set_peer(here.relay->mesh, "host-b:1", DOWN);
    test_attach(&worker, 1, STYLE_STREAM, "sess/bob:x", "host-b:1", UINT64_MAX);
    settle_here();
    forget_sent();
    fake_mesh_set_peer(here.relay->mesh, "host-b:1", UP);
    expect_sent(&here, "msgServer.confirm host-b:1 | {\"msgIds\":[\"18446744073709551615\"],"
                       "\"address\":\"sess/bob:x\"} | \n"
                       "msgServer.connect host-b:1 | sess/bob:x;never;0;168;1 | "
                       "host-a:1:30064771073\n");
    stop();
}
END_TEST

START_TEST(a_confirmation_without_measure_is_not_read)
{
    start();
    test_send(&home, "sess/bob:x", "[1]");
    struct buffer json = {0};
    buffer_append_string(&json, "{\"address\":\"sess/bob:x\",\"msgIds\":[1");
    for (int i = 0; i < 1 << 19; i++)
        buffer_append_string(&json, ",1");
    buffer_append_string(&json, "]}");
    struct slice message = buffer_slice(&json);
    const struct envelope confirm = {
        .type = ENVELOPE_CONFIRM, .messages = &message, .message_count = 1};
    fake_mesh_receive_envelope(home.relay->mesh, &confirm);
    ck_assert_uint_eq(figure(&home, METRIC_MALFORMED), 1);
    buffer_free(&json);
    stop();
}
END_TEST

START_TEST(confirmations_are_read_in_every_spelling)
{
    static const char *const SPELLINGS[] = {
        "{\"msgIds\":[\"1\"],\"address\":\"sess/bob:x\"}",
        "{\"address\":\"sess/bob:x\",\"msgIds\":[2]}",
        " {\"msgIds\" : [ \"3\" , null, -9, 9.5 ],\"more\":{\"address\":\"sess/eve:x\"} , "
        "\"address\" : \"sess/bob:x\" } ",
        "{\"msgIds\":[\"1\",\"4\",\"2\"],\"address\":\"sess/bob:x\"}",
        "{\"msgIds\":[\"\\u0035\"],\"address\":\"sess\\/bob:x\"}",
    };
    enum { COUNT = sizeof SPELLINGS / sizeof *SPELLINGS };
    start();
    for (int i = 0; i < COUNT; i++)
        test_send(&home, "sess/bob:x", "[1]");
    test_attach(&worker, 1, STYLE_STREAM, "sess/bob:x", "host-b:1", 0);
    settle_here();
    for (size_t i = 0; i < COUNT; i++) {
        struct slice message = slice_from_string(SPELLINGS[i]);
        const struct envelope confirm = {
            .type = ENVELOPE_CONFIRM, .messages = &message, .message_count = 1};
        fake_mesh_receive_envelope(home.relay->mesh, &confirm);
        ck_assert_msg(figure(&home, METRIC_CONFIRMED) == i + 1, "%s", SPELLINGS[i]);
    }
    ck_assert_uint_eq(figure(&home, METRIC_MALFORMED), 0);
    stop();
}
END_TEST

START_TEST(what_is_never_confirmed_comes_from_its_home_again)
{
    start();
    here.settings.redeliver_after = home.settings.redeliver_after = 30;
    for (int i = 0; i < 3; i++)
        test_send(&home, "sess/bob:x", "[1]");
    test_attach(&worker, 1, STYLE_STREAM, "sess/bob:x", "host-b:1", 0);
    settle_here();
    expect(&worker, "deliver 1: 1=[1] 2=[1] 3=[1]\n");
    ck_assert_ptr_null(home.relay->attachments.unconfirmed);
    test_credit_for(&worker, 1, 3, 9);
    test_confirm(&worker, 1, 1);
    settle_here();
    forget_sent();
    for (int i = 0; i < 1000 && buffer_len(&worker.journal) == 0; i++) {
        ev_run(here.loop, EVRUN_ONCE);
        settle_here();
    }
    expect(&worker, "deliver 1: 2=[1] 3=[1]\n");
    expect_sent(&here, "msgServer.connect host-b:1 | sess/bob:x;never;0;168;1 | "
                       "host-a:1:30064771073\n");
    test_send(&home, "sess/bob:x", "[4]");
    settle_here();
    expect(&worker, "deliver 1: 4=[4]\n");
    test_confirm(&worker, 1, 4);
    settle_here();
    ck_assert_ptr_null(here.relay->attachments.unconfirmed);
    ck_assert_uint_eq(figure(&here, METRIC_REDELIVERIES), 1);
    ck_assert_uint_eq(figure(&home, METRIC_REDELIVERIES), 0);
    stop();
}
END_TEST

START_TEST(a_full_queue_to_a_peer_is_waited_for)
{
    start();
    fake_mesh_set_full(here.relay->mesh, "host-b:1", true);
    test_attach(&worker, 1, STYLE_STREAM, "sess/bob:x", "host-b:1", 0);
    settle_here();
    fake_mesh_set_full(here.relay->mesh, "host-b:1", false);
    settle_here();
    test_send(&home, "sess/bob:x", "[1]");
    settle_here();
    expect(&worker, "deliver 1: 1=[1]\n");
    fake_mesh_set_full(home.relay->mesh, "host-a:1", true);
    test_send(&home, "sess/bob:x", "[2]");
    test_send(&home, "sess/bob:x", "[3]");
    settle_here();
    ck_assert_ptr_nonnull(home.relay->peers->outlet.congested);
    fake_mesh_set_full(home.relay->mesh, "host-a:1", false);
    settle_here();
    expect(&worker, "deliver 1: 2=[2] 3=[3]\n");
    /* A poll is over, and its outlet with it, when its queue takes its answer at last. */
    fake_mesh_set_full(home.relay->mesh, "host-a:1", true);
    test_attach(&worker, 2, STYLE_LONG_POLL, "sess/bob:x", "host-b:1", 0);
    settle_here();
    fake_mesh_set_full(home.relay->mesh, "host-a:1", false);
    settle_here();
    expect(&worker, "end 1: superseded\ndeliver 2: 1=[1] 2=[2] 3=[3]\n");
    ck_assert_ptr_null(home.relay->peers);
    stop();
}
END_TEST

/* --- a MAGE host: resends everything, knows no window ------------------------------------------
 */

#define PACK "msgServer.messagepack host-a:1:30064771073 | sess/bob:x;"

static struct session *adopt(const char *home_id)
{
    struct session *session;
    struct session_order order = {.actor = SLICE_LITERAL("bob"),
                                  .secret = SLICE_LITERAL("x"),
                                  .home = slice_from_string(home_id)};
    ck_assert_int_eq(session_create(&here.relay->registry, &order, clock_monotonic_ms(), &session),
                     OUTCOME_QUEUED);
    return session;
}

static void attach_at_mage(void)
{
    start();
    fake_mesh_set_peer(here.relay->mesh, "host-m:9", MAGE);
    adopt("host-m:9");
    test_attach(&worker, 1, STYLE_STREAM, "sess/bob:x", "", 0);
    settle_here();
    forget_sent();
}

static void receive(const char *line)
{
    fake_mesh_receive(here.relay->mesh, line);
    settle_here();
}

START_TEST(what_comes_twice_is_left_out)
{
    attach_at_mage();
    receive(PACK "4;[[\"4\"]]");
    receive(PACK "4;[[\"4\"]];5;[[\"5\"]]");
    receive(PACK "4;[[\"4\"]];5;[[\"5\"]]");
    receive(PACK "4;[[\"4\"]];5;{bad;6;[[\"6\"]]");
    expect(&worker, "deliver 1: 4=[[\"4\"]]\ndeliver 1: 5=[[\"5\"]]\ndeliver 1: 6=[[\"6\"]]\n");
    receive(PACK "7;{bad");
    expect(&worker, "deliver 1: 7=[]\n");
    expect_sent(&here, "");
    stop();
}
END_TEST

START_TEST(after_a_gap_the_home_is_asked_again)
{
    attach_at_mage();
    receive(PACK "1;[[\"1\"]]");
    receive(PACK "3;[[\"3\"]]");
    receive(PACK "2;[[\"2\"]]"); /* out of date already: all is to come again */
    expect(&worker, "deliver 1: 1=[[\"1\"]]\n");
    expect_sent(&here, "");
    remote_home_tick(here.relay, clock_monotonic_ms());
    expect_sent(&here, "msgServer.connect host-m:9 | sess/bob:x;never | "
                       "host-a:1:30064771073\n");
    receive(PACK "1;[[\"1\"]];2;[[\"2\"]];3;[[\"3\"]]");
    expect(&worker, "deliver 1: 2=[[\"2\"]] 3=[[\"3\"]]\n");
    stop();
}
END_TEST

START_TEST(what_the_client_cannot_take_is_asked_for_later)
{
    attach_at_mage();
    receive(PACK "1;" LARGE ";2;[[\"2222222222\"]];3;[[\"3\"]]"); /* 131 and 48 of 168 */
    expect(&worker, "deliver 1: 1=" LARGE " 2=[[\"2222222222\"]]\n");
    receive(PACK "3;[[\"3\"]]");
    expect(&worker, "");
    test_credit(&worker, 1, 94);
    settle_here();
    expect_sent(&here, "");
    test_credit(&worker, 1, 1); /* half of the window is free */
    settle_here();
    expect_sent(&here, "msgServer.connect host-m:9 | sess/bob:x;never | "
                       "host-a:1:30064771073\n");
    receive(PACK "1;" LARGE ";2;[[\"2222222222\"]];3;[[\"3\"]]");
    expect(&worker, "deliver 1: 3=[[\"3\"]]\n");
    stop();
}
END_TEST

START_TEST(envelopes_that_make_no_sense_change_nothing)
{
    static const char *const MALFORMED[] = {
        PACK "1",
        PACK "x;[1]",
        PACK "0;[1]",
        PACK "1;[1];3;[3]",
        PACK "2;[1];1;[]",
        "msgServer.messagepack host-a:1:30064771073 | sess/eve:x;1;[1]",
        "msgServer.hostGone host-a:1:30064771073 | sess/eve:x",
        "msgServer.connect  | sess/bob:x;never",
        "msgServer.connect  | sess/bob:x;sometimes | host-m:9",
        "msgServer.connect  | sess/bob:x;never;x;1;0 | host-m:9",
        "msgServer.connect  | sess/bob:x;never;1;99999999999;0 | host-m:9",
        "msgServer.connect  | sess/bob:x;never;1;1;0;x;1 | host-m:9",
        "msgServer.connect  | sess/bob:x | host-m:9",
        "msgServer.confirm  | {\"msgIds\":[\"1\"]}",
        "msgServer.confirm  | {\"msgIds\":[\"a\"],\"address\":\"sess/bob:x\"}",
        "msgServer.confirm  | {\"msgIds\":1,\"address\":\"sess/bob:x\"}",
        "msgServer.confirm  | {\"msgIds\":[\"\"],\"address\":\"sess/bob:x\"}",
        "msgServer.confirm  | {\"msgIds\":[18446744073709551616],\"address\":\"sess/bob:x\"}",
        "msgServer.confirm  | {\"msgIds\":[9223372036854775808],\"address\":\"sess/bob:x\"}",
        "msgServer.confirm  | {\"msgIds\":[1],\"address\":2}",
        "msgServer.confirm  | {\"msgIds\":[1],\"address\":\"sess/bob:x\"} x",
        "msgServer.confirm  | {\"msgIds\":[1,],\"address\":\"sess/bob:x\"}",
        "msgServer.confirm  | [",
        "msgServer.confirm  | null",
        "msgServer.send  | ",
        "mmrp.sendError  | x",
        "whatever  | x",
    };
    static const char *const STALE[] = {
        "msgServer.messagepack host-a:1:30064771074 | sess/bob:x;1;[1]",
        "msgServer.messagepack host-a:1:x | sess/bob:x;1;[1]",
        "msgServer.messagepack  | sess/bob:x;1;[1]",
        "msgServer.hostGone  | sess/bob:x",
        "msgServer.hostGone host-b:1:30064771073 | sess/bob:x",
        "msgServer.disconnect  | sess/bob:x",
        "msgServer.confirm  | {\"msgIds\":[1],\"address\":\"sess/eve:x\"}",
    };
    attach_at_mage();
    for (size_t i = 0; i < sizeof MALFORMED / sizeof *MALFORMED; i++) {
        fake_mesh_receive(here.relay->mesh, MALFORMED[i]);
        ck_assert_msg(figure(&here, METRIC_MALFORMED) == i + 1, "%s", MALFORMED[i]);
    }
    for (size_t i = 0; i < sizeof STALE / sizeof *STALE; i++) {
        fake_mesh_receive(here.relay->mesh, STALE[i]);
        ck_assert_msg(figure(&here, METRIC_STALE) == i + 1, "%s", STALE[i]);
    }
    settle_here();
    expect(&worker, "");
    receive("msgServer.hostGone host-a:1:30064771073 | sess/bob:x");
    expect(&worker, "end 1: hostGone\n");
    stop();
}
END_TEST

START_TEST(nobody_gets_a_mage_mailbox_by_naming_it)
{
    start();
    fake_mesh_set_peer(here.relay->mesh, "host-m:9", MAGE);
    test_attach(&worker, 1, STYLE_STREAM, "sess/bob:x", "host-m:9", 7);
    test_attach(&worker, 2, STYLE_LONG_POLL, "sess/eve:x", "host-m:9", 0);
    test_confirm(&worker, 1, 8);
    test_detach(&worker, 2);
    settle_here();
    remote_home_tick(here.relay, clock_monotonic_ms());
    settle_here();
    expect(&worker, "");
    remote_home_tick(here.relay, clock_monotonic_ms() + HOME_UNKNOWN_LIMIT_MS);
    settle_here();
    expect(&worker, "end 1: noSession\n");
    expect_sent(&here, "");
    /* The host turns out to be one of ours, which judges for itself. */
    test_attach(&worker, 3, STYLE_STREAM, "sess/bob:x", "host-m:9", 7);
    settle_here();
    fake_mesh_set_peer(here.relay->mesh, "host-m:9", UP);
    settle_here();
    expect_sent(&here, "msgServer.confirm host-m:9 | {\"msgIds\":[\"7\"],\"address\":"
                       "\"sess/bob:x\"} | \n"
                       "msgServer.connect host-m:9 | sess/bob:x;never;0;168;1 | "
                       "host-a:1:30064771075\n");
    /* An adopted session is connected also when its key names the home. */
    adopt("host-m:9");
    fake_mesh_set_peer(here.relay->mesh, "host-m:9", MAGE);
    test_attach(&worker, 4, STYLE_STREAM, "sess/bob:x", "host-m:9", 0);
    settle_here();
    expect(&worker, "end 3: superseded\n");
    expect_sent(&here, "msgServer.connect host-m:9 | sess/bob:x;never | "
                       "host-a:1:30064771076\n");
    stop();
}
END_TEST

START_TEST(a_connect_that_comes_back_is_repeated_within_bounds)
{
    static const char ERROR[] = "mmrp.sendError host-a:1:30064771073 | "
                                "Host unreachable;msgServer.connect;sess/bob:x;never";
    attach_at_mage();
    for (int i = 0; i < 20; i++) { /* who does not know the address cannot end the attachment */
        receive("mmrp.sendError host-a:1:30064771073 | no;msgServer.connect;sess/eve:x;never");
        receive("mmrp.sendError host-a:1:30064771073 | no;msgServer.connect");
        expect(&worker, "");
    }
    for (int i = 1; i < 10; i++) {
        receive(ERROR);
        expect(&worker, "");
        expect_sent(&here, "");
        remote_home_tick(here.relay, clock_monotonic_ms());
        expect_sent(&here, "msgServer.connect host-m:9 | sess/bob:x;never | "
                           "host-a:1:30064771073\n");
    }
    receive(ERROR);
    expect(&worker, "end 1: hostGone\n");
    stop();
}
END_TEST

START_TEST(clients_of_a_mage_host_attach_here)
{
    struct mesh *mesh;
    start();
    mesh = home.relay->mesh;
    fake_mesh_set_peer(mesh, "host-m:9", MAGE);
    fake_mesh_receive(mesh, "msgServer.connect  | sess/bob:x;never | host-m:9,host-m:9:4:0");
    fake_mesh_receive(mesh, "msgServer.send  | sess/bob:x;[[\"1\"]];{bad;[[\"2\"]]");
    expect_sent(
        &home,
        "msgServer.messagepack host-m:9,host-m:9:4:0 | sess/bob:x;1;[[\"1\"]];2;[[\"2\"]] | \n");
    /* The same client again: everything unconfirmed, and no word of the first. */
    fake_mesh_receive(mesh, "msgServer.confirm  | {\"msgIds\":[\"1\"],\"address\":\"sess/bob:x\"}");
    fake_mesh_receive(mesh, "msgServer.connect  | sess/bob:x;ondelivery | host-m:9,host-m:9:4:0");
    fake_mesh_receive(mesh, "msgServer.connect  | sess/eve:x;always | host-m:9,host-m:9:4:0");
    expect_sent(&home, "msgServer.messagepack host-m:9,host-m:9:4:0 | sess/bob:x;2;[[\"2\"]] | \n"
                       "msgServer.hostGone host-m:9,host-m:9:4:0 | sess/eve:x | \n");
    fake_mesh_receive(mesh, "msgServer.confirm  | {\"msgIds\":[2],\"address\":\"sess/bob:x\"}");
    fake_mesh_receive(mesh, "msgServer.connect  | sess/bob:x;always | host-m:9,host-m:9:4:0");
    expect_sent(&home, "msgServer.messagepack host-m:9,host-m:9:4:0 | sess/bob:x | \n");
    fake_mesh_receive(mesh, "msgServer.connect  | sess/bob:x;never | host-m:9,host-m:9:4:0");
    ck_assert_uint_eq(figure(&home, METRIC_ATTACHED_STREAM), 1);
    fake_mesh_receive_from(mesh, "host-m:9", "msgServer.disconnect  | sess/bob:x");
    ck_assert_uint_eq(figure(&home, METRIC_ATTACHED_STREAM), 0);
    ck_assert_uint_eq(figure(&home, METRIC_REFUSED_INVALID), 1);
    stop();
}
END_TEST

START_TEST(an_adopted_session_finds_its_home)
{
    start();
    struct session_registry *registry = &here.relay->registry;
    struct session *session = adopt("host-b:1");
    test_attach(&worker, 1, STYLE_STREAM, "sess/bob:x", "", 0);
    test_send(&home, "sess/bob:x", "[1]");
    settle_here();
    expect(&worker, "deliver 1: 1=[1]\n");
    /* It lives while its client is attached, and its end is the attachment's. */
    registry_tick(registry, (registry->next_tick + 7200) * SESSION_TICK_MS);
    ck_assert_uint_eq(figure(&here, METRIC_SESSIONS), 1);
    relay_end_session(here.relay, session, SESSION_DELETED, END_EXPIRED);
    settle_here();
    expect(&worker, "end 1: expired\n");
    ck_assert_uint_eq(figure(&home, METRIC_ATTACHED_STREAM), 0);
    stop();
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, messages_come_from_another_home_and_confirmations_go_back);
    tcase_add_test(cases, polls_work_across_hosts);
    tcase_add_test(cases, the_home_says_why_an_attachment_ends);
    tcase_add_test(cases, a_client_at_the_home_takes_over);
    tcase_add_test(cases, a_client_that_is_announced_again_does_not_take_over);
    tcase_add_test(cases, nothing_is_sent_beyond_the_window_nor_twice);
    tcase_add_test(cases, a_home_that_comes_back_is_connected_again);
    tcase_add_test(cases, a_small_window_is_renewed_too);
    tcase_add_test(cases, a_small_window_is_renewed_without_credit);
    tcase_add_test(cases, a_home_that_lost_the_session_is_host_gone);
    tcase_add_test(cases, a_home_that_stays_away_is_host_gone);
    tcase_add_test(cases, the_highest_number_can_be_confirmed_when_the_home_is_back);
    tcase_add_test(cases, a_confirmation_without_measure_is_not_read);
    tcase_add_test(cases, confirmations_are_read_in_every_spelling);
    tcase_add_test(cases, what_is_never_confirmed_comes_from_its_home_again);
    tcase_add_test(cases, a_full_queue_to_a_peer_is_waited_for);
    tcase_add_test(cases, what_comes_twice_is_left_out);
    tcase_add_test(cases, after_a_gap_the_home_is_asked_again);
    tcase_add_test(cases, what_the_client_cannot_take_is_asked_for_later);
    tcase_add_test(cases, envelopes_that_make_no_sense_change_nothing);
    tcase_add_test(cases, nobody_gets_a_mage_mailbox_by_naming_it);
    tcase_add_test(cases, a_connect_that_comes_back_is_repeated_within_bounds);
    tcase_add_test(cases, clients_of_a_mage_host_attach_here);
    tcase_add_test(cases, an_adopted_session_finds_its_home);
}

UNIT_MAIN("remote_home", add_tests)
