/* What two relays of ours keep for each other may be lost: it comes right without a word from the
 * client, and without a restart. */
#include "base/clock.h"
#include "relay_fixture.h"
#include "workers/relay/peer_outlet.h"

static struct test_relay here, home;
static struct test_worker worker;
static const struct mesh_peer_state UP = {true, true, true};

static void settle_both(void)
{
    for (int i = 0; i < 3; i++) {
        settle(&here, &worker);
        settle(&home, NULL);
    }
}

/* What the worker said reaches its relay; what that sends is lost on the way. */
static void settle_and_lose(void)
{
    for (int round = 0; round < 8; round++) {
        ev_run(worker.loop, EVRUN_NOWAIT);
        ev_run(here.loop, EVRUN_NOWAIT);
        fake_mesh_lose(home.relay->mesh);
    }
}

/* bob's mailbox is at `home`, his client, with handle 1, here. */
static void start(void)
{
    test_relay_prepare(&here, "host-a:1");
    test_relay_prepare(&home, "host-b:1");
    test_relay_start(&here);
    test_relay_start(&home);
    test_worker_start(&worker, &here, 7);
    test_session(&home, "bob", "x");
    fake_mesh_set_peer(here.relay->mesh, "host-b:1", UP);
    fake_mesh_set_peer(home.relay->mesh, "host-a:1", UP);
    test_attach(&worker, 1, STYLE_STREAM, "sess/bob:x", "host-b:1", 0);
    settle_both();
    ck_assert_uint_eq(figure(&home, METRIC_ATTACHED_FROM_PEERS), 1);
}

static void stop(void)
{
    test_worker_stop(&worker);
    test_relay_stop(&here);
    test_relay_stop(&home);
}

static struct session *bob(void)
{
    return session_find(&home.relay->registry, SLICE_LITERAL("sess/bob:x"));
}

/* As after this time without traffic. */
static void let_refresh(void)
{
    remote_home_tick(here.relay, clock_monotonic_ms() + REMOTE_REFRESH_MS);
    settle_both();
}

static size_t connects_sent(void)
{
    struct buffer *journal = fake_mesh_journal(here.relay->mesh);
    size_t count = 0;
    buffer_append(journal, "", 1);
    for (const char *at = buffer_slice(journal).data; (at = strstr(at, "msgServer.connect")); at++)
        count++;
    buffer_free(journal);
    return count;
}

START_TEST(an_end_that_is_lost_is_told_again)
{
    start();
    relay_end_session(home.relay, bob(), SESSION_DELETED, END_EXPIRED);
    fake_mesh_lose(here.relay->mesh);
    settle_both();
    expect(&worker, "");
    let_refresh();
    expect(&worker, "end 1: noSession\n");
    stop();
}
END_TEST

START_TEST(a_confirmation_that_is_lost_comes_with_the_next_connect)
{
    start();
    test_send(&home, "sess/bob:x", "[1]");
    settle_both();
    test_confirm(&worker, 1, 1);
    settle_and_lose();
    ck_assert_uint_eq(figure(&home, METRIC_PENDING), 1);
    let_refresh();
    ck_assert_uint_eq(figure(&home, METRIC_PENDING), 0);
    ck_assert_uint_eq(figure(&home, METRIC_CONFIRMED), 1);
    expect(&worker, "deliver 1: 1=[1]\n");
    stop();
}
END_TEST

START_TEST(an_attachment_that_is_over_is_let_go_of_at_the_next_message)
{
    start();
    test_detach(&worker, 1);
    settle_and_lose();
    ck_assert_ptr_nonnull(bob()->attachment);
    test_send(&home, "sess/bob:x", "[1]");
    settle_both();
    ck_assert_ptr_null(bob()->attachment);
    ck_assert_uint_eq(figure(&home, METRIC_PENDING), 1);
    expect(&worker, "");
    stop();
}
END_TEST

START_TEST(an_attachment_that_is_not_refreshed_is_let_go_of)
{
    start();
    uint64_t due_ms = clock_monotonic_ms() + REMOTE_EXPIRY_MS;
    peer_outlet_tick(home.relay, due_ms - 1000);
    ck_assert_ptr_nonnull(bob()->attachment);
    while (clock_monotonic_ms() < due_ms - REMOTE_EXPIRY_MS + 2)
        ;
    let_refresh();
    peer_outlet_tick(home.relay, due_ms);
    ck_assert_ptr_nonnull(bob()->attachment);
    peer_outlet_tick(home.relay, due_ms + 1000);
    ck_assert_ptr_null(bob()->attachment);
    ck_assert_ptr_null(home.relay->peers);
    /* Its client is there after all: the next connect attaches it again. */
    test_send(&home, "sess/bob:x", "[1]");
    let_refresh();
    expect(&worker, "deliver 1: 1=[1]\n");
    stop();
}
END_TEST

/* Whoever reaches the port can say that in its name. */
START_TEST(a_home_that_comes_anew_often_is_connected_to_by_and_by)
{
    start();
    ck_assert_uint_eq(connects_sent(), 1);
    for (int i = 0; i < 100; i++)
        remote_home_on_peer(here.relay, SLICE_LITERAL("host-b:1"), true);
    settle_both();
    ck_assert_uint_eq(connects_sent(), 1);
    remote_home_tick(here.relay, clock_monotonic_ms());
    ck_assert_uint_eq(connects_sent(), 1);
    remote_home_tick(here.relay, clock_monotonic_ms());
    ck_assert_uint_eq(connects_sent(), 0);
    stop();
}
END_TEST

static const struct mesh_peer_state DOWN = {true, false, true}, NOWHERE = {false, false, false};

/* Discovery forgets a host that was killed, or is cut off, after a while. That is not its stop. */
START_TEST(a_home_that_was_lost_is_waited_for_also_when_it_is_announced_no_more)
{
    start();
    fake_mesh_set_peer(here.relay->mesh, "host-b:1", DOWN);
    fake_mesh_set_peer(here.relay->mesh, "host-b:1", NOWHERE);
    remote_home_tick(here.relay, clock_monotonic_ms() + HOME_UNKNOWN_LIMIT_MS + 1000);
    settle_both();
    expect(&worker, "");
    test_send(&home, "sess/bob:x", "[1]");
    fake_mesh_set_peer(here.relay->mesh, "host-b:1", UP);
    settle_both();
    expect(&worker, "deliver 1: 1=[1]\n");
    stop();
}
END_TEST

/* We may hear of its end before we hear of its announcement. */
START_TEST(a_home_that_stops_is_gone_soon)
{
    start();
    fake_mesh_set_peer(here.relay->mesh, "host-b:1", _i == 0 ? NOWHERE : DOWN);
    fake_mesh_set_peer(here.relay->mesh, "host-b:1", NOWHERE);
    remote_home_tick(here.relay, clock_monotonic_ms() + SESSION_TICK_MS);
    remote_home_tick(here.relay, clock_monotonic_ms() + HOME_UNKNOWN_LIMIT_MS + 1000);
    settle_both();
    expect(&worker, "end 1: hostGone\n");
    stop();
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, an_end_that_is_lost_is_told_again);
    tcase_add_test(cases, a_confirmation_that_is_lost_comes_with_the_next_connect);
    tcase_add_test(cases, an_attachment_that_is_over_is_let_go_of_at_the_next_message);
    tcase_add_test(cases, an_attachment_that_is_not_refreshed_is_let_go_of);
    tcase_add_test(cases, a_home_that_comes_anew_often_is_connected_to_by_and_by);
    tcase_add_test(cases, a_home_that_was_lost_is_waited_for_also_when_it_is_announced_no_more);
    tcase_add_loop_test(cases, a_home_that_stops_is_gone_soon, 0, 2);
}

UNIT_MAIN("soft_state", add_tests)
