#include "relay_fixture.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "workers/relay/routing_names.h"
#include "workers/relay/requests.h"

static struct test_relay test;
static struct test_worker worker;
static struct buffer payload;

static void start(void)
{
    test_relay_prepare(&test, "host-a:1");
    test_relay_start(&test);
    test_worker_start(&worker, &test, 7);
}

static void stop(void)
{
    test_worker_stop(&worker);
    test_relay_stop(&test);
}

static void ask(const char *home, uint16_t operation)
{
    test_request(&worker, home, operation, &payload);
    settle(&test, &worker);
}

static struct frame_session session_reply(void)
{
    struct frame_session session;
    ck_assert_uint_eq(worker.reply, FRAME_SESSION);
    ck_assert_int_eq(get_session(buffer_slice(&worker.reply_payload), &session), 0);
    return session;
}

static struct frame_session create(const char *actor, const char *key, const char *home)
{
    struct frame_create_session create = {.actor = slice_from_string(actor),
                                          .key = slice_from_string(key),
                                          .home = slice_from_string(home)};
    put_create_session_fields(&payload, &create);
    ask("", FRAME_CREATE_SESSION);
    return session_reply();
}

static struct frame_session ask_session(const char *home, uint16_t operation, const char *address)
{
    struct frame_read_session read = {.address = slice_from_string(address)};
    put_read_session_fields(&payload, &read); /* DELETE_SESSION has the same field */
    ask(home, operation);
    return session_reply();
}

/* Texts up to a NULL, as a run of slices. */
static struct buffer run_of(const char *text, ...)
{
    struct buffer run = {0};
    va_list texts;
    va_start(texts, text);
    for (; text; text = va_arg(texts, const char *))
        put_slice(&run, slice_from_string(text));
    va_end(texts);
    return run;
}

static void put_order(struct buffer addresses, struct buffer bodies, struct frame_send send)
{
    send.addresses = buffer_slice(&addresses);
    send.bodies = buffer_slice(&bodies);
    ck_assert_int_eq(put_send_fields(&payload, &send), 0);
    buffer_free(&addresses);
    buffer_free(&bodies);
}

static void put_send_order(struct buffer addresses, struct buffer bodies)
{
    put_order(addresses, bodies, (struct frame_send){0});
}

/* "queued/1+2 attached, noSession": the outcome per recipient. */
static void check_sent(const char *expected)
{
    struct buffer text = {0};
    struct frame_sent sent;
    struct recipient_result result;
    ck_assert_uint_eq(worker.reply, FRAME_SENT);
    ck_assert_int_eq(get_sent(buffer_slice(&worker.reply_payload), &sent), 0);
    struct frame_reader reader = reader_of(sent.results);
    while (get_recipient_result(&reader, &result)) {
        buffer_printf(&text, "%s%s", buffer_len(&text) > 0 ? ", " : "",
                      outcome_code((enum outcome)result.outcome));
        if (result.flags & RESULT_IGNORED)
            buffer_append_string(&text, " ignored");
        if (result.outcome == OUTCOME_QUEUED)
            buffer_printf(&text, "/%llu+%u%s", (unsigned long long)result.first_id, result.count,
                          result.flags & RESULT_ATTACHED ? " attached" : "");
    }
    ck_assert_int_eq(reader_finish(&reader), 0);
    ck_assert_slice_eq(buffer_slice(&text), expected);
    buffer_free(&text);
}

START_TEST(sessions_are_made_read_and_deleted)
{
    start();
    struct frame_session session = create("bob", "x", "");
    ck_assert_uint_eq(session.outcome, OUTCOME_QUEUED);
    ck_assert_slice_eq(session.address, "sess/bob:x");
    ck_assert_slice_eq(session.home, "host-a:1");
    ck_assert_uint_eq(session.ttl_ms, 600000);
    ck_assert_uint_eq(create("bob", "x", "").outcome, OUTCOME_EXISTS);
    ck_assert_uint_eq(create("bob", "a b", "").outcome, OUTCOME_INVALID_KEY);
    test_send(&test, "sess/bob:x", "[1]");
    test_attach(&worker, 1, STYLE_STREAM, "sess/bob:x", "", 0);
    session = ask_session("host-a:1", FRAME_READ_SESSION, "sess/bob:x");
    ck_assert(session.attached && !session.adopted);
    ck_assert_uint_eq(session.attachment, 7ull << 32 | 1);
    ck_assert_slice_eq(session.attached_at, "host-a:1");
    ck_assert_uint_eq(session.last_id, 1);
    ck_assert_uint_eq(session.pending, 1);
    ck_assert_uint_eq(session.pending_bytes, 3);
    session = ask_session("", FRAME_DELETE_SESSION, "sess/bob:x");
    ck_assert_uint_eq(session.outcome, OUTCOME_QUEUED);
    expect(&worker, "deliver 1: 1=[1]\nend 1: expired\n");
    ck_assert_uint_eq(ask_session("", FRAME_READ_SESSION, "sess/bob:x").outcome,
                      OUTCOME_NO_SESSION);
    ck_assert_uint_eq(ask_session("", FRAME_DELETE_SESSION, "sess/bob:x").outcome,
                      OUTCOME_NO_SESSION);
    stop();
}
END_TEST

START_TEST(every_recipient_has_its_outcome)
{
    start();
    create("bob", "x", "");
    create("ann", "y", "");
    test_attach(&worker, 1, STYLE_STREAM, "sess/ann:y", "", 0);
    put_send_order(run_of("sess/bob:x", "sess/eve:z", "sess/ann:y", NULL),
                   run_of("[[\"a\"]]", "[[\"b\"]]", NULL));
    ask("", FRAME_SEND);
    check_sent("queued/1+2, noSession, queued/1+2 attached");
    expect(&worker, "deliver 1: 1=[[\"a\"]] 2=[[\"b\"]]\n");
    put_send_order(run_of(NULL), run_of("[]", NULL));
    ask("", FRAME_SEND);
    check_sent("");
    ck_assert_uint_eq(figure(&test, METRIC_REFUSED_NO_SESSION), 2);
    ck_assert_uint_eq(figure(&test, METRIC_ACCEPTED), 4);
    stop();
}
END_TEST

START_TEST(a_full_mailbox_takes_all_or_nothing)
{
    start();
    test.relay->registry.limits.mailbox.messages = 2;
    create("bob", "x", "");
    put_send_order(run_of("sess/bob:x", NULL), run_of("[1]", "[2]", "[3]", NULL));
    ask("", FRAME_SEND);
    check_sent("overLimit");
    put_send_order(run_of("sess/bob:x", "sess/bob:x", NULL), run_of("[1]", "[2]", NULL));
    ask("", FRAME_SEND);
    check_sent("queued/1+2, overLimit");
    stop();
}
END_TEST

START_TEST(a_full_host_refuses_and_recovers)
{
    start();
    create("bob", "x", "");
    uint64_t limit = test.relay->budget.limit, used = test.relay->budget.used;
    test.relay->budget.limit = used + 20;
    put_send_order(run_of("sess/bob:x", NULL), run_of("[1]", NULL));
    ask("", FRAME_SEND);
    check_sent("overLimit");
    ck_assert_uint_eq(test.relay->budget.used, used);
    ck_assert_uint_eq(figure(&test, METRIC_REFUSED_HOST_FULL), 1);
    test.relay->budget.limit = limit;
    put_send_order(run_of("sess/bob:x", NULL), run_of("[1]", NULL));
    ask("", FRAME_SEND);
    check_sent("queued/1+1");
    stop();
}
END_TEST

START_TEST(a_repetition_is_answered_also_when_the_host_is_full)
{
    start();
    struct frame_send send = {.idempotency_key = SLICE_LITERAL("k")};
    create("bob", "x", "");
    create("eve", "x", "");
    put_order(run_of("sess/bob:x", NULL), run_of("[1]", NULL), send);
    ask("", FRAME_SEND);
    check_sent("queued/1+1");
    test.relay->budget.limit = test.relay->budget.used;
    put_order(run_of("sess/bob:x", "sess/eve:x", NULL), run_of("[1]", NULL), send);
    ask("", FRAME_SEND);
    check_sent("queued/1+1, overLimit");
    ck_assert_uint_eq(figure(&test, METRIC_REPEATED), 1);
    ck_assert_uint_eq(figure(&test, METRIC_REFUSED_HOST_FULL), 1);
    put_order(run_of("sess/bob:x", NULL), run_of("[2]", NULL), send);
    ask("", FRAME_SEND);
    check_sent("keyReused");
    stop();
}
END_TEST

static struct frame_message_state look_up(const char *address, uint64_t id)
{
    struct frame_read_message read = {slice_from_string(address), id};
    struct frame_message_state state;
    put_read_message_fields(&payload, &read);
    ask("", FRAME_READ_MESSAGE);
    ck_assert_uint_eq(worker.reply, FRAME_MESSAGE_STATE);
    ck_assert_int_eq(get_message_state(buffer_slice(&worker.reply_payload), &state), 0);
    return state;
}

START_TEST(a_session_does_not_inherit_the_receipts_of_an_older_one)
{
    start();
    create("bob", "x", "");
    put_order(run_of("sess/bob:x", NULL), run_of("[1]", NULL),
              (struct frame_send){.receipt = SLICE_LITERAL("r")});
    ask("", FRAME_SEND);
    ask_session("", FRAME_DELETE_SESSION, "sess/bob:x");
    struct frame_message_state state = look_up("sess/bob:x", 1);
    ck_assert_uint_eq(state.state, MESSAGE_DROPPED);
    ck_assert_uint_eq(state.settlement, SETTLED_SESSION_DELETED);
    /* The two are told apart by when they were made. */
    for (uint64_t before = clock_steady_ms(); clock_steady_ms() <= before;)
        ;
    create("bob", "x", "");
    ck_assert_uint_eq(look_up("sess/bob:x", 1).state, MESSAGE_UNKNOWN);
    test_attach(&worker, 1, STYLE_STREAM, "sess/bob:x", "", 0);
    test_send(&test, "sess/bob:x", "[2]");
    settle(&test, &worker);
    test_confirm(&worker, 1, 1);
    settle(&test, &worker);
    ck_assert_uint_eq(look_up("sess/bob:x", 1).state, MESSAGE_CONFIRMED);
    stop();
}
END_TEST

START_TEST(a_broadcast_counts_mailboxes_and_hosts)
{
    start();
    create("bob", "x", "");
    create("ann", "y", "");
    create("mage", "z", "host-m:9");
    struct mesh *mesh = test.relay->mesh;
    fake_mesh_set_peer(mesh, "host-b:1", (struct mesh_peer_state){true, true, true});
    fake_mesh_set_peer(mesh, "host-c:1", (struct mesh_peer_state){true, false, true});
    struct buffer bodies = run_of("[1]", "[2]", NULL);
    struct frame_broadcast_all order = {.bodies = buffer_slice(&bodies)};
    put_broadcast_all_fields(&payload, &order);
    buffer_free(&bodies);
    ask("", FRAME_BROADCAST_ALL);
    struct frame_broadcast_sent sent;
    ck_assert_uint_eq(worker.reply, FRAME_BROADCAST_SENT);
    ck_assert_int_eq(get_broadcast_sent(buffer_slice(&worker.reply_payload), &sent), 0);
    ck_assert_uint_eq(sent.queued, 4);
    ck_assert_uint_eq(sent.over_limit, 0);
    ck_assert_uint_eq(sent.peers, 1);
    ck_assert_uint_eq(sent.peers_failed, 1);
    stop();
}
END_TEST

START_TEST(the_status_names_every_figure)
{
    start();
    create("bob", "x", "");
    test_send(&test, "sess/bob:x", "[1]");
    ask("", FRAME_READ_STATUS);
    struct frame_status status;
    ck_assert_uint_eq(worker.reply, FRAME_STATUS);
    ck_assert_int_eq(get_status(buffer_slice(&worker.reply_payload), &status), 0);
    struct frame_reader reader = reader_of(status.figures);
    for (int i = 0; i < METRICS; i++) {
        ck_assert_slice_eq(get_slice(&reader), METRIC_ROWS[i].name);
        uint64_t value = get_u64(&reader);
        if (i == METRIC_ACCEPTED || i == METRIC_SESSIONS || i == METRIC_WORKERS)
            ck_assert_uint_eq(value, 1);
        if (i == METRIC_HOST_BYTES)
            ck_assert_uint_gt(value, 0);
    }
    ck_assert_slice_eq(get_slice(&reader), "mesh_received");
    while (get_u64(&reader), reader_left(&reader) > 0)
        ck_assert(slice_starts_with(get_slice(&reader), "mesh_"));
    ck_assert_int_eq(reader_finish(&reader), 0);
    stop();
}
END_TEST

START_TEST(every_peer_is_reported)
{
    static const struct mesh_peer_report REPORTS[] = {
        {.id = SLICE_LITERAL("host-b:1"),
         .uri = SLICE_LITERAL("tcp://10.0.0.2:1"),
         .software = SLICE_LITERAL("9.8.7"),
         .state = "up",
         .is_msgserver = true,
         .state_ms = 1,
         .heard_ms = 2,
         .rtt_us = 3,
         .outbox_count = 4,
         .outbox_bytes = 5,
         .counters = {.received = 6,
                      .sent = 7,
                      .retried = 8,
                      .outbox_full = 9,
                      .lost = 10,
                      .malformed = 11,
                      .strangers = 12,
                      .unroutable = 13}},
        {.id = SLICE_LITERAL("host-m:9"), .state = "unannounced"},
    };
    start();
    fake_mesh_set_reports(test.relay->mesh, REPORTS, 2);
    ask("", FRAME_READ_PEERS);
    struct frame_peer_reports reports;
    ck_assert_uint_eq(worker.reply, FRAME_PEER_REPORTS);
    ck_assert_int_eq(get_peer_reports(buffer_slice(&worker.reply_payload), &reports), 0);
    ck_assert_slice_eq(reports.id, "host-a:1");
    ck_assert_slice_eq(reports.bind_host, "*");
    ck_assert_uint_eq(reports.port, 1);
    ck_assert_slice_eq(reports.game, "msgserver");
    ck_assert_slice_eq(reports.version, "0.0.0");
    ck_assert_slice_eq(reports.software, PACKAGE_VERSION);
    struct frame_reader reader = reader_of(reports.peers);
    struct peer_record peer;
    ck_assert_int_eq(get_peer_record(get_slice(&reader), &peer), 0);
    ck_assert_slice_eq(peer.id, "host-b:1");
    ck_assert_slice_eq(peer.uri, "tcp://10.0.0.2:1");
    ck_assert_slice_eq(peer.state, "up");
    ck_assert_slice_eq(peer.software, "9.8.7");
    const uint64_t figures[] = {peer.is_msgserver, peer.state_ms,     peer.heard_ms, peer.rtt_us,
                                peer.outbox_count, peer.outbox_bytes, peer.received, peer.sent,
                                peer.retried,      peer.outbox_full,  peer.lost,     peer.malformed,
                                peer.strangers,    peer.unroutable};
    ck_assert_uint_eq(figures[0], 1);
    for (size_t i = 1; i < sizeof figures / sizeof *figures; i++)
        ck_assert_uint_eq(figures[i], i);
    ck_assert_int_eq(get_peer_record(get_slice(&reader), &peer), 0);
    ck_assert(slice_equals_string(peer.id, "host-m:9") && peer.uri.len == 0 && !peer.is_msgserver);
    ck_assert_int_eq(reader_finish(&reader), 0);
    stop();
}
END_TEST

START_TEST(a_home_that_cannot_be_reached_is_said_at_once)
{
    start();
    put_send_order(run_of("sess/bob:x", "sess/ann:y", NULL), run_of("[1]", NULL));
    ask("host-b:1", FRAME_SEND);
    check_sent("hostGone, hostGone");
    ck_assert_uint_eq(ask_session("host-b:1", FRAME_READ_SESSION, "sess/bob:x").outcome,
                      OUTCOME_HOST_GONE);
    fake_mesh_set_peer(test.relay->mesh, "host-b:1", (struct mesh_peer_state){true, true, true});
    fake_mesh_set_full(test.relay->mesh, "host-b:1", true);
    ck_assert_uint_eq(ask_session("host-b:1", FRAME_DELETE_SESSION, "sess/bob:x").outcome,
                      OUTCOME_HOST_GONE);
    stop();
}
END_TEST

START_TEST(a_mage_host_gets_the_messages_and_does_not_answer)
{
    start();
    struct mesh *mesh = test.relay->mesh;
    fake_mesh_set_peer(mesh, "host-m:9", (struct mesh_peer_state){true, true, false});
    put_send_order(run_of("sess/bob:x", "sess/ann:y", NULL), run_of("[1]", "[2]", NULL));
    ask("host-m:9", FRAME_SEND);
    check_sent("forwarded, forwarded");
    ck_assert_slice_eq(buffer_slice(fake_mesh_journal(mesh)),
                       "msgServer.send host-m:9 | sess/bob:x;[1];[2] | \n"
                       "msgServer.send host-m:9 | sess/ann:y;[1];[2] | \n");
    struct frame_session adopted = create("bob", "x", "host-m:9");
    ck_assert(adopted.adopted);
    ck_assert_slice_eq(adopted.home, "host-m:9");
    put_send_order(run_of("sess/bob:x", NULL), run_of("[3]", NULL));
    ask("", FRAME_SEND);
    check_sent("forwarded");
    /* What it cannot heed is said. */
    for (int i = 0; i < 2; i++) {
        put_order(run_of("sess/bob:x", NULL), run_of("[4]", NULL),
                  i == 0 ? (struct frame_send){.ttl_ms = 1000}
                         : (struct frame_send){.idempotency_key = SLICE_LITERAL("k")});
        ask(i == 0 ? "" : "host-m:9", FRAME_SEND);
        check_sent("forwarded ignored");
    }
    fake_mesh_set_peer(mesh, "host-m:9", (struct mesh_peer_state){true, false, false});
    put_send_order(run_of("sess/bob:x", NULL), run_of("[3]", NULL));
    ask("", FRAME_SEND);
    check_sent("hostGone");
    ck_assert_uint_eq(ask_session("host-m:9", FRAME_READ_SESSION, "sess/bob:x").outcome,
                      OUTCOME_HOST_GONE);
    stop();
}
END_TEST

START_TEST(a_home_of_ours_answers)
{
    struct test_relay home;
    start();
    test_relay_prepare(&home, "host-b:1");
    test_relay_start(&home);
    struct mesh_peer_state up = {true, true, true};
    fake_mesh_set_peer(test.relay->mesh, "host-b:1", up);
    fake_mesh_set_peer(home.relay->mesh, "host-a:1", up);
    test_session(&home, "bob", "x");
    put_send_order(run_of("sess/bob:x", "sess/eve:x", NULL),
                   run_of("[[\"1\"]]", "[[\"2\"]]", NULL));
    ask("host-b:1", FRAME_SEND);
    check_sent("queued/1+2, noSession");
    struct frame_session session = ask_session("host-b:1", FRAME_READ_SESSION, "sess/bob:x");
    ck_assert_uint_eq(session.pending, 2);
    ck_assert_slice_eq(session.home, "host-b:1");
    /* What the asking host did not check is checked by the home. */
    put_send_order(run_of("sess/bob:x", NULL), run_of("{broken", NULL));
    ask("host-b:1", FRAME_SEND);
    ck_assert_uint_eq(worker.reply, 0);
    ck_assert_uint_eq(figure(&home, METRIC_MALFORMED), 1);
    home.settings.limit_message_bytes = 4;
    put_send_order(run_of("sess/bob:x", NULL), run_of("[[\"12345\"]]", NULL));
    ask("host-b:1", FRAME_SEND);
    check_sent("overLimit");
    test_relay_stop(&home);
    stop();
}
END_TEST

START_TEST(a_session_tells_where_its_client_is)
{
    static const char *const CONNECTS[] = {"never", "ondelivery"};
    start();
    create("bob", "x", "");
    ck_assert_uint_eq(ask_session("", FRAME_READ_SESSION, "sess/bob:x").attached_at.len, 0);
    test_attach(&worker, 1, STYLE_LONG_POLL, "sess/bob:x", "", 0);
    struct frame_session session = ask_session("", FRAME_READ_SESSION, "sess/bob:x");
    ck_assert_slice_eq(session.attached_at, "host-a:1");
    ck_assert_uint_eq(session.attached_style, STYLE_LONG_POLL);
    test_detach(&worker, 1);
    settle(&test, &worker);
    for (size_t i = 0; i < sizeof CONNECTS / sizeof *CONNECTS; i++) {
        char line[160];
        snprintf(line, sizeof line,
                 "msgServer.connect  | sess/bob:x;%s;0;0;0;%zu;7000000 | host-b:1,host-b:1:9",
                 CONNECTS[i], i + 1);
        fake_mesh_receive(test.relay->mesh, line);
        session = ask_session("", FRAME_READ_SESSION, "sess/bob:x");
        ck_assert_slice_eq(session.attached_at, "host-b:1");
        ck_assert_uint_eq(session.attached_style, i == 0 ? STYLE_STREAM : STYLE_LONG_POLL);
        ck_assert(session.attached_ms >= 7000 && session.attached_ms < 67000);
    }
    stop();
}
END_TEST

START_TEST(a_client_here_of_a_mailbox_elsewhere_is_told_of_too)
{
    start();
    fake_mesh_set_peer(test.relay->mesh, "host-m:9", (struct mesh_peer_state){true, true, false});
    create("bob", "x", "host-m:9");
    test_attach(&worker, 1, STYLE_STREAM, "sess/bob:x", "", 0);
    struct frame_session session = ask_session("", FRAME_READ_SESSION, "sess/bob:x");
    ck_assert_slice_eq(session.home, "host-m:9");
    ck_assert_slice_eq(session.attached_at, "host-a:1");
    stop();
}
END_TEST

/* The reply in the journal, after its token: operation and payload with its version. */
static struct slice reply_in_journal(void)
{
    struct buffer *journal = fake_mesh_journal(test.relay->mesh);
    const char *operation = memchr(buffer_bytes(journal), ';', buffer_len(journal));
    ck_assert_ptr_nonnull(operation);
    size_t before = (size_t)(operation + 1 - buffer_bytes(journal));
    return slice_of(operation + 1, buffer_len(journal) - before - strlen(" | \n"));
}

/* Hosts of different age: the older one gets what it can read, as long as it does not say more. */
START_TEST(an_older_host_gets_the_replies_it_can_read)
{
    static const struct {
        const char *understood; /* NULL: not said, as by version 2 */
        uint8_t version;
    } ASKERS[] = {{NULL, 2}, {"2", 2}, {"3", 3}, {"4", 3}, {"x", 2}, {"1", 2}};
    start();
    fake_mesh_set_peer(test.relay->mesh, "host-b:1", (struct mesh_peer_state){true, true, true});
    create("bob", "x", "");
    test_attach(&worker, 1, STYLE_STREAM, "sess/bob:x", "", 0);
    settle(&test, &worker);
    struct frame_read_session read = {SLICE_LITERAL("sess/bob:x")};
    put_u8(&payload, 2);
    put_read_session_fields(&payload, &read);
    for (size_t i = 0; i < sizeof ASKERS / sizeof *ASKERS; i++) {
        const char *understood = ASKERS[i].understood;
        struct slice messages[] = {SLICE_LITERAL("1-2-3"), SLICE_LITERAL("2"),
                                   buffer_slice(&payload),
                                   slice_from_string(understood ? understood : "")};
        struct envelope request = {.type = ENVELOPE_REQUEST,
                                   .flags = ENVELOPE_TRACK_ROUTE,
                                   .messages = messages,
                                   .message_count = understood ? 4 : 3,
                                   .return_route = {SLICE_LITERAL("host-b:1")},
                                   .return_route_len = 1};
        buffer_free(fake_mesh_journal(test.relay->mesh));
        fake_mesh_receive_envelope(test.relay->mesh, &request);
        struct slice reply = reply_in_journal();
        ck_assert(slice_starts_with(reply, "9;"));
        ck_assert_uint_eq((uint8_t)reply.data[2], ASKERS[i].version);
        struct buffer read_back = {0};
        struct frame_session session;
        ck_assert_int_eq(reply_from_version(&read_back, FRAME_SESSION,
                                            slice_of(reply.data + 3, reply.len - 3),
                                            ASKERS[i].version),
                         0);
        ck_assert_int_eq(get_session(buffer_slice(&read_back), &session), 0);
        ck_assert(session.attached && slice_equals_string(session.address, "sess/bob:x"));
        ck_assert_slice_eq(session.attached_at, ASKERS[i].version == 3 ? "host-a:1" : "");
        buffer_free(&read_back);
    }
    buffer_free(&payload);
    stop();
}
END_TEST

START_TEST(an_older_home_is_understood)
{
    start();
    fake_mesh_set_peer(test.relay->mesh, "host-b:1", (struct mesh_peer_state){true, true, true});
    struct frame_read_session read = {.address = SLICE_LITERAL("sess/bob:x")};
    put_read_session_fields(&payload, &read);
    ask("host-b:1", FRAME_READ_SESSION);
    struct frame_session known = {.outcome = OUTCOME_QUEUED,
                                  .address = SLICE_LITERAL("sess/bob:x"),
                                  .attached = 1,
                                  .pending_bytes = 12,
                                  .attached_at = SLICE_LITERAL("cut off")};
    struct buffer whole = {0}, versioned = {0};
    ck_assert_int_eq(put_session_fields(&whole, &known), 0);
    put_u8(&versioned, 2);
    buffer_append_slice(&versioned, reply_to_version(FRAME_SESSION, buffer_slice(&whole), 2));
    char token[REQUEST_TOKEN_ROOM];
    struct slice messages[] = {slice_of(token, requests_write_token(7, worker.last_request, token)),
                               SLICE_LITERAL("9"), buffer_slice(&versioned)};
    struct envelope reply = {.type = ENVELOPE_REPLY, .messages = messages, .message_count = 3};
    fake_mesh_receive_envelope(test.relay->mesh, &reply);
    settle(&test, &worker);
    struct frame_session session = session_reply();
    ck_assert_uint_eq(session.pending_bytes, 12);
    ck_assert(session.attached && session.attached_at.len == 0);
    buffer_free(&whole);
    buffer_free(&versioned);
    stop();
}
END_TEST

/* What only a younger host knows is refused, so that its asker need not wait. */
START_TEST(what_is_not_understood_is_said)
{
    static const char *const LINES[] = {
        "msgserver.request  | 1-2-3;99;\2;4 | host-b:1",
        "msgserver.request  | 1-2-3;2;\4;4 | host-b:1",
    };
    start();
    fake_mesh_set_peer(test.relay->mesh, "host-b:1", (struct mesh_peer_state){true, true, true});
    for (size_t i = 0; i < sizeof LINES / sizeof *LINES; i++) {
        fake_mesh_receive(test.relay->mesh, LINES[i]);
        ck_assert_slice_eq(reply_in_journal(), "17;\3\2");
        buffer_free(fake_mesh_journal(test.relay->mesh));
    }
    ck_assert_uint_eq(figure(&test, METRIC_MALFORMED), 0);
    put_send_order(run_of("sess/bob:x", NULL), run_of("[]", NULL));
    ask("host-b:1", FRAME_SEND);
    char token[REQUEST_TOKEN_ROOM];
    struct slice messages[] = {slice_of(token, requests_write_token(7, worker.last_request, token)),
                               SLICE_LITERAL("17"), SLICE_LITERAL("\3\2")};
    struct envelope reply = {.type = ENVELOPE_REPLY, .messages = messages, .message_count = 3};
    fake_mesh_receive_envelope(test.relay->mesh, &reply);
    settle(&test, &worker);
    ck_assert_uint_eq(worker.reply, FRAME_NOT_UNDERSTOOD);
    stop();
}
END_TEST

START_TEST(a_request_that_comes_back_is_host_gone)
{
    start();
    struct mesh *mesh = test.relay->mesh;
    fake_mesh_set_peer(mesh, "host-b:1", (struct mesh_peer_state){true, true, true});
    put_send_order(run_of("sess/bob:x", NULL), run_of("[]", NULL));
    struct buffer kept = {0};
    put_u8(&kept, REQUEST_VERSION);
    buffer_append_slice(&kept, buffer_slice(&payload));
    ask("host-b:1", FRAME_SEND);
    ck_assert_uint_eq(worker.reply, 0);
    char token[REQUEST_TOKEN_ROOM];
    struct slice messages[] = {SLICE_LITERAL("Host unreachable"),
                               SLICE_LITERAL("msgserver.request"),
                               slice_of(token, requests_write_token(7, 1, token)),
                               SLICE_LITERAL("4"),
                               buffer_slice(&kept),
                               SLICE_LITERAL("3")};
    struct envelope back = {.type = ENVELOPE_SEND_ERROR, .messages = messages, .message_count = 6};
    fake_mesh_receive_envelope(mesh, &back);
    settle(&test, &worker);
    check_sent("hostGone");
    buffer_free(&kept);
    stop();
}
END_TEST

START_TEST(a_reply_without_the_seal_is_no_reply)
{
    start();
    struct mesh *mesh = test.relay->mesh;
    char token[REQUEST_TOKEN_ROOM];
    struct buffer versioned = {0};
    struct frame_session gone = {.outcome = OUTCOME_NO_SESSION};
    ck_assert_int_eq(put_u8(&versioned, REPLY_VERSION) | put_session_fields(&versioned, &gone), 0);
    char operation[8];
    snprintf(operation, sizeof operation, "%d", FRAME_SESSION);
    struct slice messages[] = {SLICE_LITERAL("7-1"), slice_from_string(operation),
                               buffer_slice(&versioned)};
    struct envelope reply = {.type = ENVELOPE_REPLY, .messages = messages, .message_count = 3};
    fake_mesh_receive_envelope(mesh, &reply);
    messages[0] = SLICE_LITERAL("7-1-0123456789abcdef");
    fake_mesh_receive_envelope(mesh, &reply);
    messages[0] = slice_of(token, requests_write_token(7, 2, token));
    token[2] = '1'; /* the seal is of another number */
    fake_mesh_receive_envelope(mesh, &reply);
    settle(&test, &worker);
    ck_assert_uint_eq(worker.reply, 0);
    ck_assert_uint_eq(figure(&test, METRIC_MALFORMED), 3);
    worker.last_request = 1;
    messages[0] = slice_of(token, requests_write_token(7, 1, token));
    fake_mesh_receive_envelope(mesh, &reply);
    settle(&test, &worker);
    ck_assert_uint_eq(worker.reply, FRAME_SESSION);
    buffer_free(&versioned);
    stop();
}
END_TEST

/* One that is taken over could put escape sequences before an operator. */
START_TEST(a_session_with_impossible_names_is_no_reply)
{
    static const struct frame_session BAD[] = {
        {.outcome = OUTCOME_QUEUED, .attached_at = SLICE_LITERAL("\033[31m:1")},
        {.outcome = OUTCOME_QUEUED, .home = SLICE_LITERAL("a\177:1")},
        {.outcome = OUTCOME_QUEUED, .address = SLICE_LITERAL("sess/bob\n:x")}};
    start();
    char token[REQUEST_TOKEN_ROOM], operation[8];
    snprintf(operation, sizeof operation, "%d", FRAME_SESSION);
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        struct buffer versioned = {0};
        ck_assert_int_eq(
            put_u8(&versioned, REPLY_VERSION) | put_session_fields(&versioned, &BAD[i]), 0);
        struct slice messages[] = {slice_of(token, requests_write_token(7, 1, token)),
                                   slice_from_string(operation), buffer_slice(&versioned)};
        struct envelope reply = {.type = ENVELOPE_REPLY, .messages = messages, .message_count = 3};
        fake_mesh_receive_envelope(test.relay->mesh, &reply);
        settle(&test, &worker);
        ck_assert_uint_eq(worker.reply, 0);
        ck_assert_uint_eq(figure(&test, METRIC_MALFORMED), i + 1);
        buffer_free(&versioned);
    }
    stop();
}
END_TEST

START_TEST(replies_that_make_no_sense_are_counted)
{
    static const char *const LINES[] = {
        "msgserver.reply  | 7-1;9;\2",
        "msgserver.reply  | 7-1;9",
        "msgserver.reply  | 7;9;\2x",
        "msgserver.reply  | -;9;\2",
        "msgserver.reply  | 7-1;1;\2",
        "msgserver.reply  | 7-1;99999999;\2",
        "msgserver.reply  | 7-1;x;\2",
        "msgserver.reply  | 99999999999-1;10;\2",
        "msgserver.reply  | 7-1;10;\1",
        "msgserver.reply  | 7-1;9;\4x",
        "msgserver.request  | 7-1;1;\2 | host-b:1",
        "msgserver.request  | 7-1;6;\2",
        "msgserver.request  | 7-1;9;\2 | host-b:1",
        "msgserver.request  | 7-1;0;\2 | b",
        "msgserver.request  | 7-1 | host-b:1",
        "msgserver.request  | 7-1;7;\2 | b",
        "msgserver.request  | 7-1;8;\2 | b",
    };
    start();
    for (size_t i = 0; i < sizeof LINES / sizeof *LINES; i++) {
        fake_mesh_receive(test.relay->mesh, LINES[i]);
        ck_assert_msg(figure(&test, METRIC_MALFORMED) == i + 1, "%s", LINES[i]);
    }
    settle(&test, &worker);
    ck_assert_uint_eq(worker.reply, 0);
    stop();
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, sessions_are_made_read_and_deleted);
    tcase_add_test(cases, every_recipient_has_its_outcome);
    tcase_add_test(cases, a_full_mailbox_takes_all_or_nothing);
    tcase_add_test(cases, a_full_host_refuses_and_recovers);
    tcase_add_test(cases, a_repetition_is_answered_also_when_the_host_is_full);
    tcase_add_test(cases, a_session_does_not_inherit_the_receipts_of_an_older_one);
    tcase_add_test(cases, a_broadcast_counts_mailboxes_and_hosts);
    tcase_add_test(cases, the_status_names_every_figure);
    tcase_add_test(cases, every_peer_is_reported);
    tcase_add_test(cases, a_home_that_cannot_be_reached_is_said_at_once);
    tcase_add_test(cases, a_mage_host_gets_the_messages_and_does_not_answer);
    tcase_add_test(cases, a_home_of_ours_answers);
    tcase_add_test(cases, a_session_tells_where_its_client_is);
    tcase_add_test(cases, a_client_here_of_a_mailbox_elsewhere_is_told_of_too);
    tcase_add_test(cases, an_older_host_gets_the_replies_it_can_read);
    tcase_add_test(cases, an_older_home_is_understood);
    tcase_add_test(cases, what_is_not_understood_is_said);
    tcase_add_test(cases, a_request_that_comes_back_is_host_gone);
    tcase_add_test(cases, a_reply_without_the_seal_is_no_reply);
    tcase_add_test(cases, a_session_with_impossible_names_is_no_reply);
    tcase_add_test(cases, replies_that_make_no_sense_are_counted);
}

UNIT_MAIN("requests", add_tests)
