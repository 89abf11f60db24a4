#include <errno.h>

#include "relay_fixture.h"

#include "workers/relay/broadcast.h"

static struct test_relay test;
static struct test_worker worker, other;

static void start(void)
{
    test_relay_prepare(&test, "host-a:1");
    test_relay_start(&test);
    test_worker_start(&worker, &test, 7);
    test_worker_start(&other, &test, 8);
    test_session(&test, "a", "x");
    test_session(&test, "b", "x");
    test_session(&test, "c", "x");
    test_session(&test, "d", "x");
}

static void stop(void)
{
    test_worker_stop(&worker);
    test_worker_stop(&other);
    test_relay_stop(&test);
}

static void settle_all(void)
{
    settle(&test, &worker);
    settle(&test, &other);
}

static void broadcast(const char *body, uint64_t queued, uint64_t over_limit)
{
    struct broadcast_result result = broadcast_here(test.relay, slice_from_string(body));
    ck_assert_uint_eq(result.queued, queued);
    ck_assert_uint_eq(result.over_limit, over_limit);
    settle_all();
}

START_TEST(streams_share_one_frame_per_worker)
{
    start();
    test_send(&test, "sess/b:x", "[1]");
    test_attach(&worker, 1, STYLE_STREAM, "sess/a:x", "", 0);
    test_attach(&worker, 2, STYLE_STREAM, "sess/b:x", "", 0);
    test_attach(&other, 1, STYLE_STREAM, "sess/c:x", "", 0);
    settle_all();
    expect(&worker, "deliver 2: 1=[1]\n");
    uint64_t used = test.relay->budget.used;
    broadcast("[[\"all\"]]", 4, 0);
    expect(&worker, "broadcast [[\"all\"]]: 1=1 2=2\n");
    expect(&other, "broadcast [[\"all\"]]: 1=1\n");
    /* One body; rings for the three mailboxes that had none. */
    ck_assert_uint_lt(test.relay->budget.used - used, 3 * 80 + 64);
    test_send(&test, "sess/a:x", "[2]");
    settle_all();
    expect(&worker, "deliver 1: 2=[2]\n");
    ck_assert_uint_eq(figure(&test, METRIC_PENDING), 6);
    stop();
}
END_TEST

START_TEST(who_lags_gets_it_in_order)
{
    start();
    test.settings.limit_attachment_window = messages_cost(1, 4);
    test_attach(&worker, 1, STYLE_STREAM, "sess/a:x", "", 0);
    test_attach(&worker, 2, STYLE_LONG_POLL, "sess/b:x", "", 0);
    settle_all();
    test_send(&test, "sess/a:x", "[1]");
    test_send(&test, "sess/a:x", "[2]");
    settle_all();
    expect(&worker, "deliver 1: 1=[1]\n");
    broadcast("[3]", 4, 0);
    expect(&worker, "deliver 2: 1=[3]\n");
    test_credit_for(&worker, 1, 1, 3);
    settle_all();
    expect(&worker, "deliver 1: 2=[2]\n");
    test_credit_for(&worker, 1, 1, 3);
    settle_all();
    expect(&worker, "deliver 1: 3=[3]\n");
    /* In flight: the window is full for one more. */
    broadcast("[4]", 4, 0);
    expect(&worker, "");
    stop();
}
END_TEST

START_TEST(full_mailboxes_are_counted)
{
    start();
    test.relay->registry.limits.mailbox.messages = 1;
    test_send(&test, "sess/a:x", "[1]");
    broadcast("[2]", 3, 1);
    ck_assert_uint_eq(figure(&test, METRIC_REFUSED_MAILBOX_FULL), 1);
    test.relay->budget.limit = test.relay->budget.used;
    broadcast("[3]", 0, 4);
    ck_assert_uint_eq(figure(&test, METRIC_REFUSED_HOST_FULL), 4);
    stop();
}
END_TEST

static int refuse(struct store *store, uint64_t number, const struct stored_message *message,
                  uint64_t recipients_max)
{
    (void)store;
    (void)number;
    (void)message;
    (void)recipients_max;
    errno = ENOSPC;
    return -1;
}

START_TEST(a_full_store_refuses_for_all)
{
    start();
    struct store_engine full = STORE_MEMORY;
    full.broadcast_added = refuse;
    test.relay->store->engine = &full;
    test_attach(&worker, 1, STYLE_STREAM, "sess/a:x", "", 0);
    settle_all();
    broadcast("[1]", 0, 4);
    expect(&worker, "");
    ck_assert_uint_eq(figure(&test, METRIC_REFUSED_STORE_FULL), 4);
    test.relay->store->engine = &STORE_MEMORY;
    broadcast("[2]", 4, 0);
    expect(&worker, "broadcast [2]: 1=1\n");
    stop();
}
END_TEST

START_TEST(a_peers_broadcast_reaches_everyone_here)
{
    start();
    test_attach(&worker, 1, STYLE_STREAM, "sess/a:x", "", 0);
    settle_all();
    fake_mesh_receive(test.relay->mesh,
                      "msgServer.broadcast  | [[\"1\"]];{bad;[[\"2\"]] | host-b:1");
    settle_all();
    expect(&worker, "broadcast [[\"1\"]]: 1=1\nbroadcast [[\"2\"]]: 1=2\n");
    ck_assert_uint_eq(figure(&test, METRIC_REFUSED_INVALID), 1);
    ck_assert_uint_eq(figure(&test, METRIC_ACCEPTED), 8);
    stop();
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, streams_share_one_frame_per_worker);
    tcase_add_test(cases, who_lags_gets_it_in_order);
    tcase_add_test(cases, full_mailboxes_are_counted);
    tcase_add_test(cases, a_full_store_refuses_for_all);
    tcase_add_test(cases, a_peers_broadcast_reaches_everyone_here);
}

UNIT_MAIN("broadcast", add_tests)
