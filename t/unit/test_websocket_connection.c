#include "client_harness.h"

#include <stdio.h>
#include <sys/socket.h>

#include "workers/client/connection.h"

static struct harness harness;

static void setup(void)
{
    harness = (struct harness){0};
}

static void teardown(void)
{
    if (harness.loop)
        harness_end(&harness);
}

static struct peer open_attached(void)
{
    struct peer peer = websocket_open(&harness, "sessionKey=bob:x");
    LOOP_UNTIL(harness.loop, harness.relay.attachments == 1);
    return peer;
}

static void expect_text(struct peer *peer, const char *text)
{
    peer_expect_frame(peer, 1, slice_from_string(text));
}

static void send_text(struct peer *peer, const char *text)
{
    peer_send_frame(peer, 1, slice_from_string(text));
}

static void send_close(struct peer *peer, unsigned code)
{
    char payload[2] = {(char)(code >> 8), (char)code};
    peer_send_frame(peer, 8, slice_of(payload, 2));
}

START_TEST(messages_go_out_and_confirmations_come_in)
{
    harness_start(&harness, NULL);
    struct peer peer =
        websocket_open(&harness, "transport=websocket&sessionKey=bob:x&confirmIds=2");
    LOOP_UNTIL(harness.loop, harness.relay.attachments == 1);
    ck_assert(fake_relay_was_told(&harness.relay,
                                  "attach style=0 flags=0 address=sess/bob:x home= confirmed=2"));
    fake_relay_deliver(&harness.relay, 0, 3, "[[\"a\"]]", "[]", NULL);
    expect_text(&peer, "{\"3\":[[\"a\"]],\"4\":[]}");
    send_text(&peer, "3");
    send_text(&peer, "");
    send_text(&peer, "0,3,4,");
    LOOP_UNTIL(harness.loop, fake_relay_was_told(&harness.relay, "confirm 3,4"));
    ck_assert(fake_relay_was_told(&harness.relay, "credit 73"));
    ck_assert(fake_relay_was_told(&harness.relay, "confirm 3"));
    fake_relay_broadcast(&harness.relay, "[[\"all\"]]", 0, 1, 5);
    expect_text(&peer, "{\"5\":[[\"all\"]]}");
    const struct connection *connection = harness.worker->connections;
    ck_assert_uint_lt(sizeof *connection, 400);
    ck_assert_ptr_null(connection->out.data);
    ck_assert_ptr_null(connection->in.data);
    peer_close(&peer);
    LOOP_UNTIL(harness.loop, harness.relay.detached == 1);
}
END_TEST

#define UPGRADE(method, version, connection, key)                                                  \
    method " /msgstream?sessionKey=bob:x HTTP/1.1\r\nHost: a\r\nUpgrade: WebSocket\r\n"            \
           "Connection: " connection "\r\nSec-WebSocket-Version: " version                         \
           "\r\nSec-WebSocket-Key: " key "\r\n\r\n"
#define KEY "dGhlIHNhbXBsZSBub25jZQ=="

static const struct {
    const char *request, *answer;
} BAD_UPGRADES[] = {
    {UPGRADE("POST", "13", "Upgrade", KEY), "HTTP/1.1 400 "},
    {UPGRADE("GET", "13", "keep-alive", KEY), "HTTP/1.1 400 "},
    {UPGRADE("GET", "13", "Upgrade", "short"), "HTTP/1.1 400 "},
    {UPGRADE("GET", "8", "Upgrade", KEY), "HTTP/1.1 426 Upgrade Required\r\n"},
    {UPGRADE("GET", "", "Upgrade", KEY), "\r\nSec-WebSocket-Version: 13\r\n"},
};

START_TEST(bad_upgrades_are_refused)
{
    harness_start(&harness, NULL);
    struct peer peer = peer_connect(&harness);
    peer_say(&peer, BAD_UPGRADES[_i].request);
    peer_expect(&peer, BAD_UPGRADES[_i].answer);
    peer_close(&peer);
}
END_TEST

static const struct {
    enum end_reason reason;
    const char *text; /* before the close frame, or NULL */
    unsigned code;
    const char *why;
} ENDS[] = {
    {END_SUPERSEDED, NULL, 4001, "a newer connection took over"},
    {END_STOPPING, NULL, 1001, "the server stops"},
    {END_FAILED, NULL, 1011, "the session store failed"},
    {END_NO_SESSION, "{\"0\":[[\"session.unset\",\"noSession\"]]}", 1000, ""},
    {END_EXPIRED, "{\"0\":[[\"session.unset\",\"expired\"]]}", 1000, ""},
};

START_TEST(ends_close_with_their_code)
{
    harness_start(&harness, NULL);
    struct peer peer = open_attached();
    fake_relay_end(&harness.relay, 0, ENDS[_i].reason);
    if (ENDS[_i].text)
        expect_text(&peer, ENDS[_i].text);
    peer_expect_close(&peer, ENDS[_i].code, ENDS[_i].why);
    ck_assert(!peer.eof);
    send_text(&peer, "17"); /* means nothing any more */
    send_close(&peer, ENDS[_i].code);
    peer_expect_eof(&peer);
    peer_close(&peer);
    LOOP_UNTIL(harness.loop, harness.worker->client_connections == 0);
    ck_assert_uint_eq(harness.relay.detached, 0);
}
END_TEST

static const struct {
    int opcode;
    struct slice payload;
    unsigned code;
    const char *why; /* NULL: any */
} OFFENCES[] = {
    {1, SLICE_LITERAL("hello"), 1008, "expected message IDs like 1,2,3"},
    {1, SLICE_LITERAL("1;2"), 1008, "expected message IDs like 1,2,3"},
    {2, SLICE_LITERAL("1"), 1003, "MAGE only supports text data"},
    {1, SLICE_LITERAL("\xff"), 1007, NULL},
    {3, SLICE_LITERAL("1"), 1002, NULL},
    {0, SLICE_LITERAL("1"), 1002, NULL},
    {8, SLICE_LITERAL("x"), 1002, NULL},
};

START_TEST(offences_close_with_their_code)
{
    harness_start(&harness, NULL);
    struct peer peer = open_attached();
    peer_send_frame(&peer, OFFENCES[_i].opcode, OFFENCES[_i].payload);
    LOOP_UNTIL(harness.loop, harness.relay.detached == 1);
    if (OFFENCES[_i].why) {
        peer_expect_close(&peer, OFFENCES[_i].code, OFFENCES[_i].why);
        send_close(&peer, OFFENCES[_i].code);
    } else {
        char code[2] = {(char)(OFFENCES[_i].code >> 8), (char)OFFENCES[_i].code};
        LOOP_UNTIL(harness.loop, (peer_pump(&peer), buffer_len(&peer.got) >= 4));
        ck_assert_mem_eq(buffer_bytes(&peer.got) + 2, code, 2);
    }
    peer_expect_eof(&peer);
    peer_close(&peer);
}
END_TEST

START_TEST(a_message_beyond_the_limit_closes)
{
    harness_start(&harness, "server.limits.webSocketMessageBytes", "200", NULL);
    struct peer peer = open_attached();
    static char digits[300];
    memset(digits, '1', sizeof digits);
    peer_send_frame(&peer, 1, slice_of(digits, sizeof digits));
    LOOP_UNTIL(harness.loop, (peer_pump(&peer), buffer_len(&peer.got) >= 4));
    ck_assert_mem_eq(buffer_bytes(&peer.got) + 2, "\x03\xf1", 2);
    peer_expect_eof(&peer);
    peer_close(&peer);
}
END_TEST

START_TEST(pings_are_answered_and_the_close_is_echoed)
{
    harness_start(&harness, NULL);
    struct peer peer = open_attached();
    peer_send_frame(&peer, 9, SLICE_LITERAL("are you there"));
    peer_expect_frame(&peer, 10, SLICE_LITERAL("are you there"));
    send_close(&peer, 3000);
    peer_expect_close(&peer, 3000, "");
    peer_expect_eof(&peer);
    LOOP_UNTIL(harness.loop, harness.relay.detached == 1);
    peer_close(&peer);
}
END_TEST

START_TEST(without_a_session_it_closes)
{
    harness_start(&harness, NULL);
    struct peer none = websocket_open(&harness, "transport=websocket");
    peer_expect_close(&none, 1008, "no sessionKey");
    struct peer bad = websocket_open(&harness, "sessionKey=nocolon");
    expect_text(&bad, "{\"0\":[[\"session.unset\",\"invalidSessionKey\"]]}");
    peer_expect_close(&bad, 1000, "");
    ck_assert_uint_eq(harness.relay.attachments, 0);
    /* Neither answers: they are dropped after a while. */
    peer_expect_eof(&none);
    peer_expect_eof(&bad);
    peer_close(&none);
    peer_close(&bad);
}
END_TEST

START_TEST(the_same_refusal_again_is_held_back)
{
    harness_start(&harness, "server.msgStream.pollPace", "300ms", NULL);
    uint64_t start = clock_monotonic_ms();
    for (int i = 0; i < 2; i++) {
        struct peer bad = websocket_open(&harness, "sessionKey=nocolon");
        peer_send_frame(&bad, 9, SLICE_LITERAL("")); /* does not change when */
        if (i > 0)
            peer_expect_frame(&bad, 10, SLICE_LITERAL(""));
        expect_text(&bad, "{\"0\":[[\"session.unset\",\"invalidSessionKey\"]]}");
        ck_assert(i == 0 || clock_monotonic_ms() - start >= 300);
        peer_close(&bad);
    }
}
END_TEST

START_TEST(silent_peers_are_pinged_and_then_dropped)
{
    harness_start(&harness, "server.msgStream.transports.websocket.pingInterval", "1s", NULL);
    struct peer peer = open_attached();
    uint64_t start = clock_monotonic_ms();
    peer_expect_frame(&peer, 9, SLICE_LITERAL(""));
    ck_assert_uint_ge(clock_monotonic_ms() - start, 900);
    peer_send_frame(&peer, 10, SLICE_LITERAL(""));
    peer_expect_frame(&peer, 9, SLICE_LITERAL(""));
    peer_expect_eof(&peer);
    ck_assert_uint_ge(clock_monotonic_ms() - start, 2900);
    LOOP_UNTIL(harness.loop, harness.relay.detached == 1);
    peer_close(&peer);
}
END_TEST

START_TEST(frames_may_come_in_pieces)
{
    harness_start(&harness, NULL);
    struct peer peer = open_attached();
    static const unsigned char FRAMES[] = {0x01, 0x82, 1, 2, 3, 4, '4' ^ 1, ',' ^ 2, /* "4," … */
                                           0x89, 0x81, 9, 9, 9, 9, '!' ^ 9, /* a ping between */
                                           0x80, 0x81, 5, 6, 7, 8, '5' ^ 5, /* … "5" */
                                           0x88, 0x82, 0, 0, 0, 0, 0x03,    0xe8};
    for (size_t i = 0; i < sizeof FRAMES; i++) {
        peer_send(&peer, slice_of(FRAMES + i, 1));
        fake_relay_run_once(harness.loop);
    }
    LOOP_UNTIL(harness.loop, fake_relay_was_told(&harness.relay, "confirm 4,5"));
    peer_expect_frame(&peer, 10, SLICE_LITERAL("!"));
    peer_expect_close(&peer, 1000, "");
    peer_expect_eof(&peer);
    peer_close(&peer);
}
END_TEST

START_TEST(frames_right_behind_the_handshake_are_read)
{
    harness_start(&harness, NULL);
    struct peer peer = peer_connect(&harness);
    peer_say(&peer, UPGRADE("GET", "13", "Upgrade", KEY) "\x89\x81\x01\x02\x03\x04"
                                                         "a");
    peer_expect(&peer, "\x8a\x01`");
    peer_close(&peer);
}
END_TEST

START_TEST(a_stop_says_going_away)
{
    harness_start(&harness, NULL);
    struct peer peer = open_attached();
    harness_stop_worker(&harness);
    peer_expect_close(&peer, 1001, "the server stops");
    send_close(&peer, 1001);
    peer_expect_eof(&peer);
    peer_close(&peer);
    LOOP_UNTIL(harness.loop, harness.stopped);
}
END_TEST

/* Credit comes back only for what is held no more, and in the end for all. Small messages cost more
 * than they take: the difference comes at once. */
START_TEST(a_slow_reader_is_given_no_credit)
{
    enum { BODY = 10000, MESSAGES = 2000, SMALL = 1000 }; /* more than the kernel holds */
    const size_t large = messages_cost(MESSAGES, (size_t)BODY * MESSAGES);
    const size_t all = large + messages_cost(SMALL, SMALL * 2);
    harness_start(&harness, NULL);
    struct peer peer = open_attached();
    static char body[BODY + 1];
    memset(body, ' ', BODY);
    body[0] = '[';
    body[BODY - 1] = ']';
    for (uint64_t id = 1; id <= MESSAGES; id++)
        fake_relay_deliver(&harness.relay, 0, id, body, NULL);
    const struct connection *connection = harness.worker->connections;
    const size_t slack = credit_slack(harness.worker->settings.limit_attachment_window);
    LOOP_UNTIL(harness.loop, harness.relay.credit + connection->uncredited + slack > large);
    ck_assert_uint_gt(harness.relay.credit, messages_cost(MESSAGES, 0));
    ck_assert_uint_lt(harness.relay.credit, large);
    ck_assert_uint_eq(connection->uncredited, buffer_len(&connection->out));
    size_t held = buffer_len(&connection->out);
    for (uint64_t id = MESSAGES + 1; id <= MESSAGES + SMALL; id++)
        fake_relay_deliver(&harness.relay, 0, id, "[]", NULL);
    LOOP_UNTIL(harness.loop, harness.relay.credit + connection->uncredited + slack > all);
    /* Or less: the kernel may have made more room for itself. */
    ck_assert_uint_le(buffer_len(&connection->out), held + SMALL * strlen("12{\"2001\":[]}"));
    ck_assert_uint_eq(connection->uncredited, buffer_len(&connection->out));
    LOOP_UNTIL(harness.loop,
               (peer_pump(&peer), peer_forget(&peer), buffer_len(&connection->out) == 0));
    LOOP_UNTIL(harness.loop, harness.relay.credit + slack > all);
    ck_assert_uint_eq(connection->uncredited, 0);
    peer_close(&peer);
}
END_TEST

START_TEST(pongs_that_are_not_read_stay_bounded)
{
    harness_start(&harness, NULL);
    struct peer peer = open_attached();
    int small = 4096;
    setsockopt(peer.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    static const char PING[] = "\x89\xfd\0\0\0\0";
    static char frame[6 + 125];
    memcpy(frame, PING, 6);
    size_t sent = 0;
    for (int idle_rounds = 0; idle_rounds < 20;) {
        size_t at = sent % sizeof frame;
        ssize_t got = send(peer.fd, frame + at, sizeof frame - at, MSG_NOSIGNAL);
        sent += got > 0 ? (size_t)got : 0;
        idle_rounds = got > 0 ? 0 : idle_rounds + 1;
        if (got < 0)
            fake_relay_run_once(harness.loop);
    }
    const struct connection *connection = harness.worker->connections;
    ck_assert_uint_gt(sent, 1 << 20);
    ck_assert_uint_lt(buffer_len(&connection->out), (64 << 10) + (32 << 10));
    peer_close(&peer);
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, messages_go_out_and_confirmations_come_in);
    tcase_add_loop_test(cases, bad_upgrades_are_refused, 0,
                        sizeof BAD_UPGRADES / sizeof *BAD_UPGRADES);
    tcase_add_loop_test(cases, ends_close_with_their_code, 0, sizeof ENDS / sizeof *ENDS);
    tcase_add_loop_test(cases, offences_close_with_their_code, 0,
                        sizeof OFFENCES / sizeof *OFFENCES);
    tcase_add_test(cases, a_message_beyond_the_limit_closes);
    tcase_add_test(cases, pings_are_answered_and_the_close_is_echoed);
    tcase_add_test(cases, without_a_session_it_closes);
    tcase_add_test(cases, the_same_refusal_again_is_held_back);
    tcase_add_test(cases, silent_peers_are_pinged_and_then_dropped);
    tcase_add_test(cases, frames_may_come_in_pieces);
    tcase_add_test(cases, frames_right_behind_the_handshake_are_read);
    tcase_add_test(cases, a_stop_says_going_away);
    tcase_add_test(cases, a_slow_reader_is_given_no_credit);
    tcase_add_test(cases, pongs_that_are_not_read_stay_bounded);
}

UNIT_MAIN("websocket_connection", add_tests)
