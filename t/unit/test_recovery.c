#include "workers/relay/recovery.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "relay_fixture.h"
#include "store/inspect.h"
#include "workers/relay/broadcast.h"
#include "workers/relay/session_messages.h"

static struct test_relay test;
static struct test_worker worker;
static char directory[64];
static bool drops_oldest;

static void start_relay(void)
{
    test_relay_prepare(&test, "host-a:1");
    free(test.settings.store_engine);
    test.settings.store_engine = strdup("lmdb");
    test.settings.store_path = strdup(directory);
    test.settings.store_size = 16 << 20;
    if (drops_oldest) {
        free(test.settings.mailbox_policy);
        test.settings.mailbox_policy = strdup("dropOldest");
        test.settings.limit_mailbox_age = 60000;
    }
    test_relay_start(&test);
    test_worker_start(&worker, &test, 7);
}

static void start(void)
{
    snprintf(directory, sizeof directory, "/tmp/test-recovery.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    start_relay();
}

static void stop_relay(void)
{
    test_worker_stop(&worker);
    test_relay_stop(&test);
}

static void stop(void)
{
    static const char *const FILES[] = {"store.mdb", "lock"};
    char path[128];
    stop_relay();
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", directory, FILES[i]);
        ck_assert_int_eq(unlink(path), 0);
    }
    ck_assert_int_eq(rmdir(directory), 0);
}

static void settle_here(void)
{
    settle(&test, &worker);
}

START_TEST(a_relay_goes_on_where_the_last_one_ended)
{
    start();
    test_session(&test, "bob", "x");
    test_session(&test, "eve", "x");
    test_session(&test, "ann", "x");
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(test_send(&test, "sess/bob:x", "[[\"a\"]]"), 0);
    test_send(&test, "sess/ann:x", "[[\"b\"]]");
    test_attach(&worker, 1, STYLE_STREAM, "sess/bob:x", "", 0);
    settle_here();
    test_confirm(&worker, 1, 2);
    settle_here();
    relay_end_session(test.relay, session_find(&test.relay->registry, SLICE_LITERAL("sess/ann:x")),
                      SESSION_DELETED, END_EXPIRED);
    settle_here();
    stop_relay();

    start_relay();
    ck_assert_uint_eq(figure(&test, METRIC_SESSIONS), 2);
    ck_assert_uint_eq(figure(&test, METRIC_ACCEPTED), 5);
    ck_assert_uint_eq(figure(&test, METRIC_CONFIRMED), 2);
    ck_assert_uint_eq(figure(&test, METRIC_DROPPED_DELETED), 1);
    ck_assert_uint_eq(figure(&test, METRIC_PENDING), 2);
    struct frame_attach resumed = {.handle = 7ull << 32 | 1,
                                   .style = STYLE_STREAM,
                                   .flags = ATTACH_RESUMED,
                                   .address = SLICE_LITERAL("sess/bob:x")};
    put_attach(data_channel_out(worker.channel), &resumed);
    data_channel_wrote(worker.channel);
    settle_here();
    expect(&worker, "deliver 1: 3=[[\"a\"]] 4=[[\"a\"]]\n");
    test_send(&test, "sess/bob:x", "[[\"c\"]]");
    settle_here();
    expect(&worker, "deliver 1: 5=[[\"c\"]]\n");
    /* What the relay before may have sent can be confirmed. */
    test_confirm(&worker, 1, 5);
    settle_here();
    ck_assert_uint_eq(figure(&test, METRIC_PENDING), 0);
    stop();
}
END_TEST

static void send_to_all(const char *body, uint64_t queued)
{
    struct broadcast_result result = broadcast_here(test.relay, slice_from_string(body));
    ck_assert_uint_eq(result.queued, queued);
    settle_here();
}

static struct store_findings inspect(void)
{
    struct store_findings findings;
    char path[128];
    snprintf(path, sizeof path, "%s/store.mdb", directory);
    ck_assert_int_eq(store_inspect(path, &findings), 0);
    ck_assert_msg(!findings.damage, "%s", findings.damage);
    store_findings_free(&findings);
    return findings;
}

START_TEST(broadcasts_wait_on_for_those_who_did_not_confirm)
{
    start();
    struct session *bob = test_session(&test, "bob", "x");
    test_session(&test, "eve", "x");
    test_session(&test, "ann", "x");
    test_send(&test, "sess/eve:x", "[[\"a\"]]");
    send_to_all("[[\"b\"]]", 3);
    test_send(&test, "sess/eve:x", "[[\"c\"]]");
    send_to_all("[[\"d\"]]", 3);
    bob->mailbox.sent_up_to = 1;
    ck_assert(session_confirm(&test.relay->registry, bob, 1));
    relay_end_session(test.relay, session_find(&test.relay->registry, SLICE_LITERAL("sess/ann:x")),
                      SESSION_DELETED, END_EXPIRED);
    settle_here();
    uint64_t used = test.relay->budget.used;
    stop_relay();
    ck_assert_uint_eq(inspect().broadcasts, 2);
    ck_assert_uint_eq(inspect().messages, 5);

    start_relay();
    ck_assert_uint_eq(figure(&test, METRIC_PENDING), 5);
    ck_assert_uint_le(test.relay->budget.used, used); /* one body for each */
    /* Ann's number is still named: it is nobody else's. */
    test_session(&test, "zoe", "x");
    send_to_all("[[\"e\"]]", 3);
    stop_relay();
    start_relay();
    test_attach(&worker, 1, STYLE_STREAM, "sess/eve:x", "", 0);
    test_attach(&worker, 2, STYLE_STREAM, "sess/zoe:x", "", 0);
    settle_here();
    expect(&worker, "deliver 1: 1=[[\"a\"]] 2=[[\"b\"]] 3=[[\"c\"]] 4=[[\"d\"]] 5=[[\"e\"]]\n"
                    "deliver 2: 1=[[\"e\"]]\n");
    test_confirm(&worker, 1, 2);
    settle_here();
    stop_relay();
    ck_assert_uint_eq(inspect().broadcasts, 2);
    start_relay();
    test_attach(&worker, 1, STYLE_STREAM, "sess/eve:x", "", 5);
    test_attach(&worker, 2, STYLE_STREAM, "sess/zoe:x", "", 1);
    test_attach(&worker, 3, STYLE_STREAM, "sess/bob:x", "", 0);
    settle_here();
    expect(&worker, "deliver 3: 2=[[\"d\"]] 3=[[\"e\"]]\n");
    test_confirm(&worker, 3, 3);
    settle_here();
    send_to_all("[[\"f\"]]", 3);
    expect(&worker, "broadcast [[\"f\"]]: 3=4 1=6 2=2\n");
    stop_relay();
    ck_assert_uint_eq(inspect().broadcasts, 1);
    ck_assert_uint_eq(inspect().messages, 3);
    start_relay();
    ck_assert_uint_eq(test.relay->registry.last_broadcast, 4);
    stop();
}
END_TEST

/* Killed in the midst of one: what was told so far is balanced, and the rest never was. */
START_TEST(a_broadcast_that_is_cut_off_is_there_in_part)
{
    start();
    struct session_registry *registry = &test.relay->registry;
    struct broadcast broadcast;
    struct acceptance acceptance;
    struct session *bob = test_session(&test, "bob", "x"), *eve = test_session(&test, "eve", "x");
    test_session(&test, "ann", "x");
    settle_here();
    pid_t child = fork();
    if (child == 0) {
        struct blob *body = message_body_new(registry, SLICE_LITERAL("[[\"b\"]]"));
        if (broadcast_begin(registry, &broadcast, body, 3) != OUTCOME_QUEUED)
            _exit(1);
        broadcast_accept(registry, bob, &acceptance);
        broadcast_store(registry);
        relay_commit(test.relay);
        broadcast_accept(registry, eve, &acceptance);
        _exit(7);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(WEXITSTATUS(status), 7);
    test.relay->recovered = false;
    stop_relay();
    start_relay();
    check_balance(&test);
    ck_assert_uint_eq(figure(&test, METRIC_ACCEPTED), 1);
    ck_assert_uint_eq(figure(&test, METRIC_PENDING), 1);
    bob = session_find(&test.relay->registry, SLICE_LITERAL("sess/bob:x"));
    ck_assert_uint_eq(bob->mailbox.last_id, 1);
    session_end(&test.relay->registry, bob, SESSION_DELETED);
    settle_here();
    stop_relay();
    ck_assert_uint_eq(inspect().broadcasts, 0);
    start_relay();
    stop();
}
END_TEST

/* Also when they may grow old only since the last start. */
START_TEST(broadcasts_grow_old_over_a_restart)
{
    start();
    test_session(&test, "bob", "x");
    test_session(&test, "eve", "x");
    send_to_all("[[\"a\"]]", 2);
    stop_relay();
    drops_oldest = true;
    start_relay();
    ck_assert_uint_eq(figure(&test, METRIC_PENDING), 2);
    struct session *bob = session_find(&test.relay->registry, SLICE_LITERAL("sess/bob:x"));
    mailbox_entry(&bob->mailbox, 1)->body->made_ms -= test.settings.limit_mailbox_age;
    heap_set(&test.relay->registry.due, &bob->times->due, 0);
    session_drop_due(&test.relay->registry, bob);
    ck_assert_uint_eq(figure(&test, METRIC_DROPPED_AGE), 1);
    settle_here();
    check_balance(&test);
    drops_oldest = false;
    stop();
}
END_TEST

START_TEST(nothing_leaves_before_it_is_stored)
{
    start();
    struct mesh *mesh = test.relay->mesh;
    test_session(&test, "bob", "x");
    fake_mesh_set_peer(mesh, "host-b:1", (struct mesh_peer_state){true, true, true});
    fake_mesh_receive(mesh,
                      "msgServer.connect  | sess/bob:x;never;0;65536;0 | host-b:1,host-b:1:9");
    buffer_free(fake_mesh_journal(mesh));
    /* To a peer: the mesh holds it until it is stored. */
    test_send(&test, "sess/bob:x", "[[\"a\"]]");
    ck_assert_uint_gt(buffer_len(fake_mesh_journal(mesh)), 0);
    ck_assert(test.relay->uncommitted);
    ck_assert(fake_mesh_holds(mesh));
    settle_here();
    ck_assert(!test.relay->uncommitted);
    ck_assert(!fake_mesh_holds(mesh));
    /* To one that is not up, it would leave at once. */
    fake_mesh_set_peer(mesh, "host-c:1", (struct mesh_peer_state){.known = true});
    test_session(&test, "eve", "x");
    ck_assert(fake_mesh_holds(mesh));
    fake_mesh_receive(mesh,
                      "msgServer.connect  | sess/ann:x;never;0;65536;0 | host-c:1,host-c:1:9");
    ck_assert(!test.relay->uncommitted);
    ck_assert(!fake_mesh_holds(mesh));
    /* To a worker: stored at the end of the round, before the channel sends. */
    test_attach(&worker, 1, STYLE_STREAM, "sess/bob:x", "", 0);
    settle_here();
    expect(&worker, "deliver 1: 1=[[\"a\"]]\n");
    test_send(&test, "sess/bob:x", "[[\"b\"]]");
    ck_assert(test.relay->uncommitted);
    ev_run(worker.loop, EVRUN_NOWAIT);
    expect(&worker, "");
    settle_here();
    ck_assert(!test.relay->uncommitted);
    expect(&worker, "deliver 1: 2=[[\"b\"]]\n");
    stop();
}
END_TEST

/* A client of a host that is not up is sent a broadcast at once: what was stored then includes it,
 * and all that came before. */
START_TEST(nothing_of_a_broadcast_leaves_before_it_is_stored)
{
    start();
    struct mesh *mesh = test.relay->mesh;
    fake_mesh_set_peer(mesh, "host-b:1", (struct mesh_peer_state){true, true, true});
    fake_mesh_set_peer(mesh, "host-c:1", (struct mesh_peer_state){.known = true});
    static const char *const CONNECTS[] = {
        "msgServer.connect  | sess/bob:x;never;0;65536;0 | host-c:1,host-c:1:9",
        "msgServer.connect  | sess/eve:x;never;0;65536;0 | host-b:1,host-b:1:9"};
    test_session(&test, "bob", "x");
    test_session(&test, "eve", "x");
    for (size_t i = 0; i < 2; i++)
        fake_mesh_receive(mesh, CONNECTS[i]);
    settle_here();
    pid_t child = fork();
    if (child == 0) {
        broadcast_here(test.relay, SLICE_LITERAL("[[\"b\"]]"));
        _exit(fake_mesh_holds(mesh) ? 7 : 1);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(WEXITSTATUS(status), 7);
    test.relay->recovered = false;
    stop_relay();
    start_relay();
    check_balance(&test);
    struct session *bob = session_find(&test.relay->registry, SLICE_LITERAL("sess/bob:x"));
    ck_assert_uint_eq(bob->mailbox.last_id, 1);
    ck_assert_uint_eq(figure(&test, METRIC_ACCEPTED), 1);
    stop();
}
END_TEST

START_TEST(a_session_lives_for_its_ttl_from_the_last_sign_of_life)
{
    start();
    struct session *session = test_session(&test, "bob", "x");
    settle_here();
    uint64_t ttl_ms = session->ttl_ms;
    stop_relay();
    start_relay();
    session = session_find(&test.relay->registry, SLICE_LITERAL("sess/bob:x"));
    ck_assert_ptr_nonnull(session);
    ck_assert_uint_eq(session->ttl_ms, ttl_ms);
    ck_assert(!session->held);
    uint64_t now_ms = clock_monotonic_ms();
    ck_assert_uint_ge(session->expires_ms, now_ms + ttl_ms - 1000);
    ck_assert_uint_le(session->expires_ms, now_ms + ttl_ms);
    ck_assert_uint_lt(clock_steady_ms() - session->created_ms, 60000);
    stop();
}
END_TEST

/* Stores messages with receipts, committing now and then as the loop would. */
static struct session *fill(const char *actor, unsigned messages)
{
    struct session *session = test_session(&test, actor, "x");
    for (unsigned i = 0; i < messages; i++) {
        struct acceptance acceptance;
        struct blob *body = message_body_new(&test.relay->registry, SLICE_LITERAL("[]"));
        struct message_order order = {
            .bodies = &body, .count = 1, .wish = {.receipt = SLICE_LITERAL("tag")}};
        ck_assert_int_eq(session_accept(&test.relay->registry, session, &order, &acceptance),
                         OUTCOME_QUEUED);
        budget_release_body(&test.relay->budget, body);
        if (i % 100 == 0)
            relay_commit(test.relay);
    }
    relay_commit(test.relay);
    session->mailbox.sent_up_to = session->mailbox.last_id;
    return session;
}

/* A store as small as can be, and more receipts than one batch of it could take. */
START_TEST(many_receipts_at_once_are_no_burden_for_the_store)
{
    start();
    struct session_registry *registry = &test.relay->registry;
    struct session *bob = fill("bob", 3000);
    fill("eve", 3000);
    ck_assert(session_confirm(registry, bob, 3000));
    ck_assert_uint_eq(bob->mailbox.pending, 0);
    ck_assert_uint_eq(figure(&test, METRIC_CONFIRMED), 3000);
    session_end(registry, session_find(registry, SLICE_LITERAL("sess/eve:x")), SESSION_EXPIRED);
    ck_assert_uint_eq(figure(&test, METRIC_DROPPED_EXPIRED), 3000);
    ck_assert_uint_eq(registry->receipts.next, 6001);
    stop_relay();
    start_relay();
    check_balance(&test);
    ck_assert_uint_eq(test.relay->registry.receipts.next, 6001);
    ck_assert_uint_eq(figure(&test, METRIC_SESSIONS), 1);
    stop();
}
END_TEST

/* A batch that is large is ended in the middle of it: what is stored then is balanced, too. */
START_TEST(a_session_that_is_ended_by_halves_lives_on)
{
    start();
    fill("bob", 3000);
    pid_t child = fork();
    if (child == 0) {
        session_drop_messages(&test.relay->registry,
                              session_find(&test.relay->registry, SLICE_LITERAL("sess/bob:x")),
                              SETTLED_SESSION_DELETED);
        _exit(7);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(WEXITSTATUS(status), 7);
    /* This relay is killed as well, in a manner of speaking: the next one reads the child's. */
    test.relay->recovered = false;
    stop_relay();
    start_relay();
    struct session *session = session_find(&test.relay->registry, SLICE_LITERAL("sess/bob:x"));
    const struct mailbox *mailbox = &session->mailbox;
    ck_assert_uint_eq(mailbox->last_id, 3000);
    ck_assert_uint_eq(mailbox_first_waiting(mailbox), 1);
    ck_assert_uint_gt(mailbox->gap, 0);
    ck_assert_uint_gt(mailbox->pending, 0);
    ck_assert_uint_eq(figure(&test, METRIC_DROPPED_DELETED), mailbox->gap);
    ck_assert_uint_eq(mailbox_confirmed(mailbox), 0);
    check_balance(&test);
    stop();
}
END_TEST

/* As a power cut leaves it: written under another run of the system, and not closed. */
START_TEST(after_a_power_cut_readers_of_receipts_are_told)
{
    start();
    uint64_t epoch = test.relay->registry.receipts.epoch;
    test.relay->boot++;
    test_session(&test, "bob", "x");
    settle_here();
    stop_relay();
    start_relay();
    ck_assert_uint_eq(test.relay->registry.receipts.epoch, epoch);
    test.relay->boot++;
    test.relay->recovered = false;
    test_session(&test, "eve", "x");
    settle_here();
    stop_relay();
    start_relay();
    ck_assert_uint_ne(test.relay->registry.receipts.epoch, epoch);
    epoch = test.relay->registry.receipts.epoch;
    /* kill -9 is none. */
    test.relay->recovered = false;
    test_session(&test, "ann", "x");
    settle_here();
    stop_relay();
    start_relay();
    ck_assert_uint_eq(test.relay->registry.receipts.epoch, epoch);
    ck_assert_uint_eq(figure(&test, METRIC_SESSIONS), 3);
    stop();
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, a_relay_goes_on_where_the_last_one_ended);
    tcase_add_test(cases, broadcasts_wait_on_for_those_who_did_not_confirm);
    tcase_add_test(cases, a_broadcast_that_is_cut_off_is_there_in_part);
    tcase_add_test(cases, broadcasts_grow_old_over_a_restart);
    tcase_add_test(cases, nothing_leaves_before_it_is_stored);
    tcase_add_test(cases, nothing_of_a_broadcast_leaves_before_it_is_stored);
    tcase_add_test(cases, after_a_power_cut_readers_of_receipts_are_told);
    tcase_add_test(cases, many_receipts_at_once_are_no_burden_for_the_store);
    tcase_add_test(cases, a_session_that_is_ended_by_halves_lives_on);
    tcase_add_test(cases, a_session_lives_for_its_ttl_from_the_last_sign_of_life);
}

UNIT_MAIN("recovery", add_tests)
