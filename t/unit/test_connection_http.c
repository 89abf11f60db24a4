#include "client_harness.h"

#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

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

#define HOST        "Host: a\r\n\r\n"
#define GET(target) "GET " target " HTTP/1.1\r\n" HOST
#define POLL(more)  GET("/msgstream?transport=longpolling&sessionKey=bob:x" more)
#define SHORT(more) GET("/msgstream?transport=shortpolling&sessionKey=bob:x" more)
#define TEXT_TYPE   "content-type: text/plain; charset=UTF-8\r\n"
#define PACK_HEAD   "content-type: application/json\r\npragma: no-cache\r\n"
#define NOTHING     "HTTP/1.1 204 No Content\r\npragma: no-cache\r\n\r\n"

/* Waits for a whole answer, and nothing more. */
static void expect_answer(struct peer *peer, const char *status, const char *headers,
                          const char *body)
{
    struct buffer answer = {0};
    buffer_printf(&answer, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n%s\r\n%s", status, strlen(body),
                  headers, body);
    peer_expect_exactly(peer, buffer_slice(&answer));
    buffer_free(&answer);
}

/* Answers that need no relay: rows of the message stream's tables. */
static const struct {
    const char *request, *status, *headers, *body;
} ROWS[] = {
    {GET("/msgstream?transport=zz&sessionKey=a:b"), "400 Bad Request", TEXT_TYPE,
     "Unknown HTTP transport: zz"},
    {GET("/msgstream?sessionKey=a:b"), "400 Bad Request", TEXT_TYPE,
     "Unknown HTTP transport: undefined"},
    {GET("//msgstream/?transport=z%0a%5A"), "400 Bad Request", TEXT_TYPE,
     "Unknown HTTP transport: z?Z"},
    {GET("/msgstream?transport=longpolling"), "400 Bad Request", TEXT_TYPE, "No sessionKey"},
    {GET("/msgstream?transport=sse&sessionKey="), "400 Bad Request", TEXT_TYPE, "No sessionKey"},
    {GET("/msgstream?transport=websocket&sessionKey=a:b"), "400 Bad Request", TEXT_TYPE,
     "The websocket transport needs a WebSocket handshake"},
    {SHORT("&confirmIds=1&confirmIds=2"), "400 Bad Request", TEXT_TYPE,
     "transport, sessionKey, confirmIds and lastEventId may be given once only"},
    {SHORT("&confirmIds=a"), "400 Bad Request", TEXT_TYPE, "Expected message IDs like 1,2,3"},
    {SHORT("%4"), "400 Bad Request", TEXT_TYPE, "Broken %XX in the query"},
    {"OPTIONS /msgstream HTTP/1.1\r\n" HOST, "200 OK", "", ""},
    {"OPTIONS /other HTTP/1.1\r\n" HOST, "404 Not Found", TEXT_TYPE, "Not Found"},
    {GET("/msgstreams"), "404 Not Found", TEXT_TYPE, "Not Found"},
    {GET("/check.txt"), "200 OK", TEXT_TYPE, "OK"},
    {GET("/msgstream/config"), "200 OK", PACK_HEAD, "{}"},
    {SHORT("x~y"), "200 OK", PACK_HEAD, "{\"0\":[[\"session.unset\",\"invalidSessionKey\"]]}"},
    {"PUT /msgstream?transport=longpolling&sessionKey=nocolon HTTP/1.1\r\n" HOST, "200 OK",
     PACK_HEAD, "{\"0\":[[\"session.unset\",\"invalidSessionKey\"]]}"},
    {"HEAD /msgstream?transport=longpolling HTTP/1.1\r\n" HOST, "200 OK", PACK_HEAD, ""},
    {"HEAD /msgstream?transport=shortpolling HTTP/1.1\r\n" HOST, "200 OK", PACK_HEAD, ""},
};

START_TEST(rows_that_need_no_relay)
{
    harness_start(&harness, NULL);
    struct peer peer = peer_connect(&harness);
    peer_say(&peer, ROWS[_i].request);
    expect_answer(&peer, ROWS[_i].status, ROWS[_i].headers, ROWS[_i].body);
    peer_say(&peer, GET("/check.txt"));
    expect_answer(&peer, "200 OK", TEXT_TYPE, "OK");
    peer_close(&peer);
}
END_TEST

START_TEST(a_short_poll_gets_what_waits)
{
    harness_start(&harness, NULL);
    struct peer peer = peer_connect(&harness);
    peer_say(&peer, SHORT("&confirmIds=3%2c4,"));
    LOOP_UNTIL(harness.loop, harness.relay.attachments == 1);
    ck_assert(fake_relay_was_told(&harness.relay,
                                  "attach style=2 flags=0 address=sess/bob:x home= confirmed=3,4"));
    fake_relay_deliver(&harness.relay, 0, 5, "[[\"a.b\",{\"x\":1}]]", "[]", NULL);
    expect_answer(&peer, "200 OK", PACK_HEAD, "{\"5\":[[\"a.b\",{\"x\":1}]],\"6\":[]}");
    peer_say(&peer, SHORT(""));
    LOOP_UNTIL(harness.loop, harness.relay.attachments == 2);
    fake_relay_deliver(&harness.relay, 1, 1, NULL);
    peer_expect_exactly(&peer, slice_from_string(NOTHING));
    ck_assert_uint_eq(harness.relay.detached, 0);
    peer_close(&peer);
}
END_TEST

START_TEST(a_long_poll_hangs_until_there_is_something)
{
    harness_start(&harness, "server.msgStream.transports.longpolling.heartbeat", "1s", NULL);
    struct peer peer = peer_connect(&harness);
    peer_say(&peer, GET("/msgstream?transport=longpolling&sessionKey=bob:x~aa.15001"));
    LOOP_UNTIL(harness.loop, harness.relay.attachments == 1);
    ck_assert(fake_relay_was_told(
        &harness.relay, "attach style=1 flags=0 address=sess/bob:x home=aa:15001 confirmed="));
    ck_assert(!peer_got(&peer, "HTTP"));
    fake_relay_deliver(&harness.relay, 0, 1, "[]", NULL);
    peer_expect(&peer, "{\"1\":[]}");
    /* nothing for as long as the heartbeat */
    uint64_t start = clock_monotonic_ms();
    peer_say(&peer, POLL(""));
    peer_expect_exactly(&peer, slice_from_string(NOTHING));
    ck_assert_uint_ge(clock_monotonic_ms() - start, 1000);
    LOOP_UNTIL(harness.loop, harness.relay.detached == 1);
    peer_close(&peer);
}
END_TEST

START_TEST(a_client_that_waits_no_longer_is_detached)
{
    harness_start(&harness, NULL);
    struct peer peer = peer_connect(&harness);
    peer_say(&peer, POLL(""));
    LOOP_UNTIL(harness.loop, harness.relay.attachments == 1);
    peer_close(&peer);
    LOOP_UNTIL(harness.loop, harness.relay.detached == 1);
    ck_assert_uint_eq(harness.worker->client_connections, 0);
}
END_TEST

static const struct {
    enum end_reason reason;
    const char *answer;
} ENDS[] = {
    {END_SUPERSEDED, NOTHING},
    {END_STOPPING, "HTTP/1.1 204 No Content\r\nConnection: close\r\npragma: no-cache\r\n\r\n"},
    {END_FAILED, "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"},
    {END_NO_SESSION, "HTTP/1.1 200 OK\r\nContent-Length: 37\r\n" PACK_HEAD
                     "\r\n{\"0\":[[\"session.unset\",\"noSession\"]]}"},
    {END_HOST_GONE, "HTTP/1.1 200 OK\r\nContent-Length: 36\r\n" PACK_HEAD
                    "\r\n{\"0\":[[\"session.unset\",\"hostGone\"]]}"},
};

START_TEST(ends_of_a_poll)
{
    harness_start(&harness, NULL);
    struct peer peer = peer_connect(&harness);
    peer_say(&peer, POLL(""));
    LOOP_UNTIL(harness.loop, harness.relay.attachments == 1);
    fake_relay_end(&harness.relay, 0, ENDS[_i].reason);
    peer_expect_exactly(&peer, slice_from_string(ENDS[_i].answer));
    peer_close(&peer);
}
END_TEST

START_TEST(the_same_refusal_again_is_held_back)
{
    harness_start(&harness, "server.msgStream.pollPace", "300ms", NULL);
    struct peer peer = peer_connect(&harness);
    uint64_t start = clock_monotonic_ms();
    peer_say(&peer, GET("/msgstream?transport=shortpolling&sessionKey=bad"));
    peer_expect(&peer, "invalidSessionKey");
    peer_say(&peer, GET("/msgstream?transport=shortpolling&sessionKey=bad2"));
    peer_expect(&peer, "invalidSessionKey");
    ck_assert_uint_lt(clock_monotonic_ms() - start, 300);
    peer_say(&peer, GET("/msgstream?transport=shortpolling&sessionKey=bad"));
    peer_expect(&peer, "invalidSessionKey");
    ck_assert_uint_ge(clock_monotonic_ms() - start, 300);
    peer_close(&peer);
}
END_TEST

#define THREE_REQUESTS                                                                             \
    GET("/check.txt")                                                                              \
    "POST /msgstream?transport=shortpolling&sessionKey=bob:x HTTP/1.1\r\nContent-Length: 3\r\n"    \
    "Host: a\r\n\r\nabc" GET("/msgstreams")
#define THREE_ANSWERS                                                                              \
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" TEXT_TYPE "\r\nOK" NOTHING                          \
    "HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n" TEXT_TYPE "\r\nNot Found"

START_TEST(pipelined_requests_are_answered_in_order)
{
    harness_start(&harness, NULL);
    struct peer peer = peer_connect(&harness);
    peer_say(&peer, THREE_REQUESTS);
    LOOP_UNTIL(harness.loop, harness.relay.attachments == 1);
    ck_assert(!peer_got(&peer, "404"));
    fake_relay_deliver(&harness.relay, 0, 1, NULL);
    peer_expect_exactly(&peer, slice_from_string(THREE_ANSWERS));
    peer_close(&peer);
}
END_TEST

START_TEST(requests_may_come_in_pieces)
{
    harness_start(&harness, NULL);
    static const char REQUESTS[] = THREE_REQUESTS;
    for (size_t cut = 1; cut < sizeof REQUESTS - 1; cut++) {
        struct peer peer = peer_connect(&harness);
        fake_relay_forget(&harness.relay);
        peer_send(&peer, slice_of(REQUESTS, cut));
        size_t before = harness.worker->client_connections;
        LOOP_UNTIL(harness.loop, harness.worker->client_connections > 0);
        fake_relay_run_once(harness.loop);
        peer_send(&peer, slice_of(REQUESTS + cut, sizeof REQUESTS - 1 - cut));
        LOOP_UNTIL(harness.loop, harness.relay.attachments == 1);
        fake_relay_deliver(&harness.relay, 0, 1, NULL);
        peer_expect_exactly(&peer, slice_from_string(THREE_ANSWERS));
        peer_close(&peer);
        ck_assert_uint_le(before, 1);
        LOOP_UNTIL(harness.loop, harness.worker->client_connections == 0);
    }
}
END_TEST

static const struct {
    const char *request, *answer;
} ERRORS[] = {
    {"GET /\r\n\r\n", "HTTP/1.1 400 "},
    {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", "HTTP/1.1 505 "},
    {"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "},
    {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "HTTP/1.1 400 "},
    {"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", "HTTP/1.1 501 "},
    {"POST /check.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\n", "HTTP/1.1 413 "},
    {"POST /check.txt HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
     "HTTP/1.1 400 "},
};

START_TEST(broken_requests_get_their_error_and_the_end)
{
    harness_start(&harness, NULL);
    struct peer peer = peer_connect(&harness);
    peer_say(&peer, ERRORS[_i].request);
    LOOP_UNTIL(harness.loop, peer_got(&peer, ERRORS[_i].answer));
    ck_assert(peer_got(&peer, "\r\nConnection: close\r\n"));
    peer_expect_eof(&peer);
    peer_close(&peer);
}
END_TEST

START_TEST(a_head_beyond_the_limit_is_refused)
{
    harness_start(&harness, "server.limits.headerBytes", "1024", NULL);
    struct peer peer = peer_connect(&harness);
    static char request[4096];
    int len = snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
    memset(request + len, 'x', sizeof request - (size_t)len);
    peer_send(&peer, slice_of(request, sizeof request));
    peer_expect(&peer, "HTTP/1.1 431 ");
    peer_expect_eof(&peer);
    peer_close(&peer);
}
END_TEST

START_TEST(idle_and_slow_connections_end)
{
    harness_start(&harness, "server.limits.headerTimeout", "1s", NULL);
    struct peer idle = peer_connect(&harness), slow = peer_connect(&harness);
    peer_say(&slow, "GET / HTTP/1.1\r\n");
    peer_expect(&slow, "HTTP/1.1 408 ");
    peer_expect_eof(&slow);
    peer_expect_eof(&idle);
    ck_assert_uint_eq(buffer_len(&idle.got), 0);
    peer_close(&idle);
    peer_close(&slow);
}
END_TEST

START_TEST(keep_alive_is_the_clients_choice)
{
    harness_start(&harness, NULL);
    struct peer peer = peer_connect(&harness);
    peer_say(&peer, "GET /check.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    LOOP_UNTIL(harness.loop, peer_got(&peer, "\r\nConnection: keep-alive\r\n"));
    peer_forget(&peer);
    peer_say(&peer, "GET /check.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    LOOP_UNTIL(harness.loop, peer_got(&peer, "\r\nConnection: close\r\n"));
    peer_expect_eof(&peer);
    peer_close(&peer);
    struct peer old = peer_connect(&harness);
    peer_say(&old, "GET /check.txt HTTP/1.0\r\n\r\n");
    LOOP_UNTIL(harness.loop, peer_got(&old, "OK"));
    peer_expect_eof(&old);
    peer_close(&old);
}
END_TEST

START_TEST(a_client_may_close_its_side_first)
{
    harness_start(&harness, NULL);
    struct peer peer = peer_connect(&harness);
    peer_say(&peer, GET("/check.txt") SHORT(""));
    shutdown(peer.fd, SHUT_WR);
    LOOP_UNTIL(harness.loop, harness.relay.attachments == 1);
    fake_relay_deliver(&harness.relay, 0, 1, NULL);
    LOOP_UNTIL(harness.loop, peer_got(&peer, "204 No Content"));
    peer_expect_eof(&peer);
    peer_close(&peer);
}
END_TEST

START_TEST(cors_headers_are_as_configured)
{
    harness_start(&harness, "server.clientHost.cors.origin", "*",
                  "server.clientHost.cors.credentials", "true", NULL);
    struct peer peer = peer_connect(&harness);
    peer_say(&peer, "GET /msgstream?transport=longpolling&sessionKey=bob:x HTTP/1.1\r\n"
                    "Origin: https://a.example\r\n" HOST);
    LOOP_UNTIL(harness.loop, harness.relay.attachments == 1);
    fake_relay_end(&harness.relay, 0, END_SUPERSEDED);
    peer_expect_exactly(
        &peer, slice_from_string("HTTP/1.1 204 No Content\r\npragma: no-cache\r\n"
                                 "access-control-allow-origin: https://a.example\r\n"
                                 "vary: Origin\r\naccess-control-allow-credentials: true\r\n\r\n"));
    peer_say(&peer, "OPTIONS /msgstream HTTP/1.1\r\nOrigin: https://b.example\r\n"
                    "Access-Control-Request-Headers: x-a, x-b\r\n" HOST);
    peer_expect_exactly(
        &peer, slice_from_string("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"
                                 "access-control-max-age: 1728000\r\n"
                                 "access-control-allow-methods: GET, HEAD, POST, OPTIONS\r\n"
                                 "access-control-allow-headers: x-a, x-b\r\n"
                                 "access-control-allow-origin: https://b.example\r\n"
                                 "vary: Origin\r\naccess-control-allow-credentials: true\r\n\r\n"));
    peer_close(&peer);
}
END_TEST

START_TEST(a_configured_origin_is_sent_as_it_is)
{
    harness_start(&harness, "server.clientHost.cors.origin", "https://c.example", NULL);
    struct peer peer = peer_connect(&harness);
    peer_say(&peer, GET("/check.txt"));
    LOOP_UNTIL(harness.loop,
               peer_got(&peer, "\r\naccess-control-allow-origin: https://c.example\r\n\r\nOK"));
    peer_close(&peer);
}
END_TEST

START_TEST(without_its_relay_the_worker_waits)
{
    harness_start_alone(&harness, NULL);
    struct peer check = peer_connect(&harness), poll = peer_connect(&harness);
    peer_say(&check, GET("/check.txt"));
    peer_expect(&check, "HTTP/1.1 503 ");
    peer_say(&poll, POLL("&confirmIds=7"));
    fake_relay_run_once(harness.loop);
    harness_link(&harness);
    LOOP_UNTIL(harness.loop, harness.relay.attachments == 1);
    ck_assert(fake_relay_was_told(&harness.relay,
                                  "attach style=1 flags=0 address=sess/bob:x home= confirmed=7"));
    fake_relay_deliver(&harness.relay, 0, 8, "[]", NULL);
    peer_expect(&poll, "{\"8\":[]}");
    peer_close(&check);
    peer_close(&poll);
}
END_TEST

START_TEST(a_stop_answers_polls_and_closes_the_rest)
{
    harness_start(&harness, NULL);
    struct peer idle = peer_connect(&harness), poll = peer_connect(&harness);
    peer_say(&idle, GET("/check.txt"));
    peer_expect(&idle, "OK");
    peer_say(&poll, POLL(""));
    LOOP_UNTIL(harness.loop, harness.relay.attachments == 1);
    harness_stop_worker(&harness);
    LOOP_UNTIL(harness.loop, peer_got(&poll, "204 No Content\r\nConnection: close\r\n"));
    peer_expect_eof(&poll);
    peer_expect_eof(&idle);
    peer_close(&idle);
    peer_close(&poll);
    LOOP_UNTIL(harness.loop, harness.stopped);
}
END_TEST

START_TEST(connections_over_the_limit_are_told)
{
    harness_start(&harness, "server.limits.connections", "2", NULL);
    struct peer peers[3];
    for (int i = 0; i < 3; i++)
        peers[i] = peer_connect(&harness);
    peer_expect(&peers[2], "HTTP/1.1 503 ");
    peer_expect_eof(&peers[2]);
    peer_close(&peers[2]);
    LOOP_UNTIL(harness.loop, harness.worker->client_connections == 2);
    peer_close(&peers[0]);
    LOOP_UNTIL(harness.loop, harness.worker->client_connections == 1);
    peers[0] = peer_connect(&harness);
    peer_say(&peers[0], GET("/check.txt"));
    peer_expect(&peers[0], "OK");
    peer_close(&peers[0]);
    peer_close(&peers[1]);
}
END_TEST

START_TEST(a_pipeline_that_is_not_read_stays_bounded)
{
    harness_start(&harness, NULL);
    struct peer peer = peer_connect(&harness);
    int small = 4096;
    setsockopt(peer.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    static const char REQUEST[] = GET("/msgstreams");
    const size_t len = sizeof REQUEST - 1;
    size_t asked = 0; /* bytes */
    for (int idle_rounds = 0; idle_rounds < 20;) {
        ssize_t sent = send(peer.fd, REQUEST + asked % len, len - asked % len, MSG_NOSIGNAL);
        asked += sent > 0 ? (size_t)sent : 0;
        idle_rounds = sent > 0 ? 0 : idle_rounds + 1;
        if (sent < 0)
            fake_relay_run_once(harness.loop);
    }
    const struct connection *connection = harness.worker->connections;
    ck_assert_uint_gt(asked, 1000 * len);
    ck_assert_uint_lt(buffer_len(&connection->out), (64 << 10) + 1024);
    ck_assert_uint_lt(buffer_len(&connection->in), 64 << 10);
    peer_close(&peer);
}
END_TEST

START_TEST(a_backend_is_answered_in_json)
{
    harness_start(&harness, "server.limits.backendBodyBytes", "1024", "derived.backendToken",
                  "secret", NULL);
    struct peer peer = peer_connect_backend(&harness);
    peer_say(&peer, "POST /messages HTTP/1.1\r\nContent-Length: 2000\r\n" HOST);
    peer_expect(&peer,
                "{\"error\":{\"code\":\"bodyTooLarge\",\"message\":\"The body is larger than "
                "server.limits.backendBodyBytes allows.\"}}");
    peer_expect_eof(&peer);
    peer_close(&peer);
    peer = peer_connect_backend(&harness);
    peer_say(&peer, "POST /messages HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n"
                    "Authorization: Bearer secret\r\n" HOST);
    peer_expect_exactly(&peer, slice_from_string("HTTP/1.1 100 Continue\r\n\r\n"));
    peer_say(&peer, "{}" GET("/status")); /* without the token, which TCP needs */
    LOOP_UNTIL(harness.loop, peer_got(&peer, "HTTP/1.1 401 "));
    peer_close(&peer);
    peer = peer_connect_backend(&harness);
    peer_say(&peer,
             "POST /messages HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n" HOST);
    LOOP_UNTIL(harness.loop, peer_got(&peer, "HTTP/1.1 401 ") && peer_got(&peer, "unauthorized"));
    ck_assert(!peer_got(&peer, "Continue"));
    peer_expect_eof(&peer);
    peer_close(&peer);
}
END_TEST

#define CREATE                                                                                     \
    "POST /sessions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer secret\r\n"                       \
    "Content-Length: 17\r\n\r\n{\"actorId\":\"bob\"}"

START_TEST(a_backends_request_reaches_the_relay)
{
    harness_start(&harness, "derived.backendToken", "secret", NULL);
    struct peer peer = peer_connect_backend(&harness);
    peer_say(&peer, CREATE GET("/nothing"));
    LOOP_UNTIL(harness.loop, harness.relay.last_request == 1);
    ck_assert(!peer_got(&peer, "HTTP"));
    struct frame_session session = {.outcome = OUTCOME_EXISTS};
    struct buffer reply = {0};
    ck_assert_int_eq(put_session_fields(&reply, &session), 0);
    fake_relay_reply(&harness.relay, 1, FRAME_SESSION, buffer_slice(&reply));
    buffer_free(&reply);
    LOOP_UNTIL(harness.loop, peer_got(&peer, "HTTP/1.1 409 ") && peer_got(&peer, "\r\n\r\n{"));
    ck_assert(peer_got(&peer, "\r\nkeep-alive: timeout=14\r\n"));
    peer_expect(&peer, "HTTP/1.1 401 "); /* to the second, which came without the token */
    peer_close(&peer);
}
END_TEST

#define RECEIPTS "GET /receipts HTTP/1.1\r\nAuthorization: Bearer secret\r\n" HOST

START_TEST(a_list_of_receipts_says_why_there_is_none)
{
    harness_start_alone(&harness, "derived.backendToken", "secret", NULL);
    struct peer peer = peer_connect_backend(&harness);
    peer_say(&peer, RECEIPTS);
    LOOP_UNTIL(harness.loop, peer_got(&peer, "HTTP/1.1 503 ") && peer_got(&peer, "relayDown"));
    peer_forget(&peer);
    harness_link(&harness);
    peer_say(&peer, RECEIPTS);
    LOOP_UNTIL(harness.loop, harness.relay.last_request > 0);
    struct frame_session refusal = {.outcome = OUTCOME_HOST_GONE};
    struct buffer reply = {0};
    ck_assert_int_eq(put_session_fields(&reply, &refusal), 0);
    fake_relay_reply(&harness.relay, harness.relay.last_request, FRAME_SESSION,
                     buffer_slice(&reply));
    buffer_free(&reply);
    LOOP_UNTIL(harness.loop, peer_got(&peer, "HTTP/1.1 502 ") && peer_got(&peer, "hostGone"));
    peer_close(&peer);
}
END_TEST

/* A request whose connection was reset is forgotten; what comes for it later is ignored. */
START_TEST(a_backend_that_is_gone_is_forgotten)
{
    harness_start(&harness, "derived.backendToken", "secret", NULL);
    struct peer peer = peer_connect_backend(&harness);
    peer_say(&peer, CREATE);
    LOOP_UNTIL(harness.loop, harness.relay.last_request == 1);
    struct linger reset = {.l_onoff = 1};
    setsockopt(peer.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    peer_close(&peer);
    LOOP_UNTIL(harness.loop, !harness.worker->connections);
    fake_relay_reply(&harness.relay, 1, FRAME_SESSION, SLICE_EMPTY);
    fake_relay_run_once(harness.loop);
    fake_relay_run_once(harness.loop);
}
END_TEST

/* Without descriptors a client is turned away, not left waiting; with some it is served again. */
START_TEST(accepting_survives_a_lack_of_descriptors)
{
    harness_start(&harness, NULL);
    struct peer early = peer_connect(&harness), late = peer_connect(&harness);
    struct rlimit limit;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    int lowest = dup(0);
    struct rlimit low = {(rlim_t)lowest, limit.rlim_max};
    close(lowest);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
    LOOP_UNTIL(harness.loop, (peer_pump(&early), early.eof));
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    peer_close(&early);
    if (!(peer_pump(&late), late.eof)) {
        peer_say(&late, GET("/check.txt"));
        expect_answer(&late, "200 OK", TEXT_TYPE, "OK");
    }
    peer_close(&late);
    struct peer next = peer_connect(&harness);
    peer_say(&next, GET("/check.txt"));
    expect_answer(&next, "200 OK", TEXT_TYPE, "OK");
    peer_close(&next);
}
END_TEST

START_TEST(a_revoked_listener_is_not_listened_on)
{
    harness_start(&harness, NULL);
    struct peer before = peer_connect(&harness);
    LOOP_UNTIL(harness.loop, harness.worker->client_connections == 1);
    acceptor_revoke(harness.worker->acceptor, 2);
    acceptor_revoke(harness.worker->acceptor, 1);
    struct peer after = peer_connect(&harness);
    peer_expect_eof(&after); /* refused: nobody else holds the socket here */
    peer_say(&before, GET("/check.txt"));
    expect_answer(&before, "200 OK", TEXT_TYPE, "OK");
    peer_close(&before);
    peer_close(&after);
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_loop_test(cases, rows_that_need_no_relay, 0, sizeof ROWS / sizeof *ROWS);
    tcase_add_test(cases, a_short_poll_gets_what_waits);
    tcase_add_test(cases, a_long_poll_hangs_until_there_is_something);
    tcase_add_test(cases, a_client_that_waits_no_longer_is_detached);
    tcase_add_loop_test(cases, ends_of_a_poll, 0, sizeof ENDS / sizeof *ENDS);
    tcase_add_test(cases, the_same_refusal_again_is_held_back);
    tcase_add_test(cases, pipelined_requests_are_answered_in_order);
    tcase_add_test(cases, requests_may_come_in_pieces);
    tcase_add_loop_test(cases, broken_requests_get_their_error_and_the_end, 0,
                        sizeof ERRORS / sizeof *ERRORS);
    tcase_add_test(cases, a_head_beyond_the_limit_is_refused);
    tcase_add_test(cases, idle_and_slow_connections_end);
    tcase_add_test(cases, keep_alive_is_the_clients_choice);
    tcase_add_test(cases, a_client_may_close_its_side_first);
    tcase_add_test(cases, cors_headers_are_as_configured);
    tcase_add_test(cases, a_configured_origin_is_sent_as_it_is);
    tcase_add_test(cases, without_its_relay_the_worker_waits);
    tcase_add_test(cases, a_stop_answers_polls_and_closes_the_rest);
    tcase_add_test(cases, connections_over_the_limit_are_told);
    tcase_add_test(cases, a_pipeline_that_is_not_read_stays_bounded);
    tcase_add_test(cases, a_backend_is_answered_in_json);
    tcase_add_test(cases, a_backends_request_reaches_the_relay);
    tcase_add_test(cases, a_list_of_receipts_says_why_there_is_none);
    tcase_add_test(cases, a_backend_that_is_gone_is_forgotten);
    tcase_add_test(cases, accepting_survives_a_lack_of_descriptors);
    tcase_add_test(cases, a_revoked_listener_is_not_listened_on);
}

UNIT_MAIN("connection_http", add_tests)
