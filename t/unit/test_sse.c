#include "client_harness.h"

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

#define GET(target) "GET " target " HTTP/1.1\r\nHost: a\r\n"
#define END         "\r\n"
#define STREAM      GET("/msgstream?transport=sse&sessionKey=bob:x") END
#define HEAD                                                                                       \
    "HTTP/1.1 200 OK\r\nConnection: close\r\ncontent-type: text/event-stream\r\n"                  \
    "cache-control: no-cache\r\npragma: no-cache\r\n\r\n"

static struct peer open_stream(const char *request)
{
    struct peer peer = peer_connect(&harness);
    peer_say(&peer, request);
    LOOP_UNTIL(harness.loop, harness.relay.attachments == 1);
    peer_expect_exactly(&peer, slice_from_string(HEAD));
    return peer;
}

START_TEST(messages_are_events_with_their_id)
{
    harness_start(&harness, NULL);
    struct peer peer = open_stream(STREAM);
    ck_assert(fake_relay_was_told(&harness.relay,
                                  "attach style=0 flags=0 address=sess/bob:x home= confirmed="));
    fake_relay_deliver(&harness.relay, 0, 1, "[[\"a\"]]", "[]", NULL);
    peer_expect_exactly(&peer, SLICE_LITERAL("id: 1\ndata: {\"1\":[[\"a\"]]}\n\n"
                                             "id: 2\ndata: {\"2\":[]}\n\n"));
    static char body[20000];
    memset(body, ' ', sizeof body - 1);
    fake_relay_deliver(&harness.relay, 0, 3, body, NULL);
    LOOP_UNTIL(harness.loop,
               (peer_pump(&peer), harness.relay.credit == messages_cost(3, 8 + sizeof body)));
    peer_close(&peer);
    LOOP_UNTIL(harness.loop, harness.relay.detached == 1);
}
END_TEST

START_TEST(event_ids_confirm)
{
    harness_start(&harness, NULL);
    struct peer peer = open_stream(
        GET("/msgstream?sessionKey=bob:x&confirmIds=1,2&lastEventId=3") "Accept: "
                                                                        "text/"
                                                                        "event-stream\r\nLast-"
                                                                        "Event-ID: 4\r\n" END);
    ck_assert(fake_relay_was_told(
        &harness.relay, "attach style=0 flags=0 address=sess/bob:x home= confirmed=1,2,3,4"));
    peer_close(&peer);
}
END_TEST

START_TEST(a_silent_stream_gets_comments)
{
    harness_start(&harness, "server.msgStream.transports.sse.heartbeat", "1s", NULL);
    struct peer peer = open_stream(STREAM);
    peer_expect_exactly(&peer, SLICE_LITERAL(":\n\n"));
    peer_expect_exactly(&peer, SLICE_LITERAL(":\n\n"));
    peer_close(&peer);
}
END_TEST

static const struct {
    enum end_reason reason;
    const char *last_words;
} ENDS[] = {
    {END_SUPERSEDED, "retry: 5000\n\n"},
    {END_FAILED, "retry: 5000\n\n"},
    {END_STOPPING, ""},
    {END_HOST_GONE, "data: {\"0\":[[\"session.unset\",\"hostGone\"]]}\n\nretry: 5000\n\n"},
};

START_TEST(ends_of_a_stream)
{
    harness_start(&harness, NULL);
    struct peer peer = open_stream(STREAM);
    fake_relay_end(&harness.relay, 0, ENDS[_i].reason);
    peer_expect_eof(&peer);
    ck_assert_slice_eq(buffer_slice(&peer.got), ENDS[_i].last_words);
    peer_close(&peer);
}
END_TEST

START_TEST(a_repeated_refusal_makes_event_sources_stop)
{
    harness_start(&harness, NULL);
    struct peer peer = open_stream(STREAM);
    fake_relay_end(&harness.relay, 0, END_NO_SESSION);
    peer_expect(&peer, "\"noSession\"");
    peer_expect_eof(&peer);
    peer_close(&peer);
    peer = peer_connect(&harness);
    peer_say(&peer, STREAM);
    LOOP_UNTIL(harness.loop, harness.relay.attachments == 2);
    ck_assert(!peer_got(&peer, "HTTP"));
    fake_relay_end(&harness.relay, 1, END_NO_SESSION);
    peer_expect_exactly(&peer, SLICE_LITERAL("HTTP/1.1 204 No Content\r\nConnection: close\r\n"
                                             "pragma: no-cache\r\n\r\n"));
    peer_expect_eof(&peer);
    peer_close(&peer);
}
END_TEST

START_TEST(a_session_that_is_back_is_served)
{
    harness_start(&harness, "server.msgStream.pollPace", "200ms", NULL);
    struct peer peer = open_stream(STREAM);
    fake_relay_end(&harness.relay, 0, END_NO_SESSION);
    peer_expect_eof(&peer);
    peer_close(&peer);
    fake_relay_forget(&harness.relay);
    peer = open_stream(STREAM); /* its head comes after the pace */
    fake_relay_deliver(&harness.relay, 0, 1, "[]", NULL);
    peer_expect(&peer, "id: 1\n");
    peer_close(&peer);
}
END_TEST

START_TEST(malformed_keys)
{
    harness_start(&harness, NULL);
    static const char REQUEST[] = GET("/msgstream?transport=sse&sessionKey=nocolon") END;
    struct peer peer = peer_connect(&harness);
    peer_say(&peer, REQUEST);
    peer_expect(&peer, "invalidSessionKey\"]]}\n\nretry: 5000\n\n");
    peer_expect_eof(&peer);
    peer_close(&peer);
    peer = peer_connect(&harness);
    peer_say(&peer, REQUEST);
    peer_expect(&peer, "HTTP/1.1 204 ");
    peer_close(&peer);
}
END_TEST

START_TEST(a_long_stream_ends_so_that_it_is_confirmed)
{
    harness_start(&harness, "server.limits.mailboxMessages", "4", NULL);
    struct peer peer = open_stream(STREAM);
    fake_relay_deliver(&harness.relay, 0, 1, "[]", NULL);
    peer_expect(&peer, "{\"1\":[]}\n\n");
    fake_relay_deliver(&harness.relay, 0, 2, "[]", NULL);
    peer_expect(&peer, "id: 2\ndata: {\"2\":[]}\n\nretry: 100\n\n");
    peer_expect_eof(&peer);
    LOOP_UNTIL(harness.loop, harness.relay.detached == 1);
    peer_close(&peer);
}
END_TEST

START_TEST(head_and_stop)
{
    harness_start(&harness, NULL);
    struct peer head = peer_connect(&harness);
    peer_say(&head, "HEAD /msgstream?transport=sse HTTP/1.1\r\nHost: a\r\n\r\n");
    peer_expect_exactly(&head, SLICE_LITERAL("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"
                                             "content-type: text/event-stream\r\n"
                                             "pragma: no-cache\r\n\r\n"));
    struct peer peer = open_stream(STREAM);
    harness_stop_worker(&harness);
    peer_expect_eof(&peer);
    ck_assert_uint_eq(buffer_len(&peer.got), 0);
    peer_close(&peer);
    peer_close(&head);
    LOOP_UNTIL(harness.loop, harness.stopped);
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, messages_are_events_with_their_id);
    tcase_add_test(cases, event_ids_confirm);
    tcase_add_test(cases, a_silent_stream_gets_comments);
    tcase_add_loop_test(cases, ends_of_a_stream, 0, sizeof ENDS / sizeof *ENDS);
    tcase_add_test(cases, a_repeated_refusal_makes_event_sources_stop);
    tcase_add_test(cases, a_session_that_is_back_is_served);
    tcase_add_test(cases, malformed_keys);
    tcase_add_test(cases, a_long_stream_ends_so_that_it_is_confirmed);
    tcase_add_test(cases, head_and_stop);
}

UNIT_MAIN("sse", add_tests)
