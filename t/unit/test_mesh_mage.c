/* The mesh against hosts that are not ours: raw ZeroMQ sockets that play MAGE byte by byte. */
#include <errno.h>
#include <stdio.h>

#include "mesh_fixture.h"
#include "workers/relay/mesh/handshake.h"

static struct node node;
static struct mage mage;
static char text[NODE_TEXT_MAX];

#define OUR_JSON_OF(id, version)                                                                   \
    "{\"clusterId\":\"" id "\",\"identity\":\"" id "\",\"isRelay\":true,\"isClient\":false,"       \
    "\"server\":\"msgserver\",\"software\":\"" PACKAGE_VERSION "\",\"game\":\"msgserver\","        \
    "\"version\":\"" version "\",\"pack\":\"1\"}"
#define OUR_JSON OUR_JSON_OF("A:1", "0.0.0")
static const struct service SERVICE = {"msgserver", "0.0.0"};
#define OUR_B_JSON OUR_JSON_OF("B:1", "0.0.0")
#define MAGE_JSON  "{\"clusterId\":\"B:1\",\"identity\":\"B:1\",\"isRelay\":true,\"isClient\":false}"

START_TEST(handshakes_as_text)
{
    struct buffer json = {0};
    struct handshake handshake;
    ck_assert_int_eq(handshake_write(SLICE_LITERAL("A:1"), &SERVICE, &json), 0);
    ck_assert_slice_eq(buffer_slice(&json), OUR_JSON);
    ck_assert_int_eq(handshake_read(buffer_slice(&json), &SERVICE, &handshake), 0);
    ck_assert(handshake.is_relay && handshake.is_msgserver && !handshake.is_foreign);
    ck_assert_str_eq(handshake.software, PACKAGE_VERSION);
    ck_assert_str_eq(handshake.cluster_id, "A:1");
    buffer_free(&json);
    ck_assert_int_eq(handshake_read(SLICE_LITERAL(MAGE_JSON), &SERVICE, &handshake), 0);
    ck_assert(handshake.is_relay && !handshake.is_msgserver && !handshake.is_foreign);
    ck_assert_int_eq(handshake_read(SLICE_LITERAL(OUR_JSON_OF("A:1", "1")), &SERVICE, &handshake),
                     0);
    ck_assert(handshake.is_foreign);

    static const char *const BAD[] = {
        "",
        "null",
        "[]",
        "{",
        "{}",
        "{\"clusterId\":\"B:1\"}",
        "{\"clusterId\":\"B:1\",\"identity\":\"B:1\"}",
        "{\"clusterId\":\"B:1\",\"identity\":\"B:1\",\"isRelay\":1}",
        "{\"clusterId\":\"B:1\",\"identity\":\"C:1\",\"isRelay\":true}",
        "{\"clusterId\":\"B\",\"identity\":\"B\",\"isRelay\":true}",
        "{\"clusterId\":1,\"identity\":1,\"isRelay\":true}",
        "{\"clusterId\":\"B\\u0000:1\",\"identity\":\"B:1\",\"isRelay\":true}"};
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++)
        ck_assert_msg(handshake_read(slice_from_string(BAD[i]), &SERVICE, &handshake) == -1, "%s",
                      BAD[i]);
}
END_TEST

static void become_peers(int receive_high_water)
{
    node_start(&node, "A:1", 0);
    mage_start(&mage, "B:1", receive_high_water);
    node_announce(&node, "B:1", mage.uri, NULL);
    ck_assert_str_eq(raw_receive(mage.router, text),
                     "A:1|B:1|<>|" OUR_JSON "|<>|A:1|1mmrp.handshake");
    mage_connect(&mage, &node);
    raw_send(mage.router, "A:1|A:1|<>|" MAGE_JSON "|<>|B:1|1mmrp.handshake");
    WAIT_FOR(node_sees(&node, "B:1"));
    ck_assert(!mesh_peer(node.mesh, SLICE_LITERAL("B:1")).is_msgserver);
}

static void part(void)
{
    node_stop(&node);
    mage_stop(&mage);
}

START_TEST(both_sides_speak_as_recorded)
{
    become_peers(0);
    /* from its ROUTER to our DEALER: the first frame is stripped */
    raw_send(mage.router, "A:1|<>|sess/bob:k|never|<>|B:1|B:1:77:0|1msgServer.connect");
    /* from its DEALER to our ROUTER, which prepends its identity */
    raw_send(mage.dealer, "A:1|<>|sess/bob:k|m1|m2|<>|0msgServer.send");
    raw_send(mage.dealer, "A:1|*:c|<>|m|<>|B:1|B:1:77:0|1msgServer.broadcast");
    raw_send(mage.dealer, "A:1|<>|sess/bob:k|always|<>|B:1:77:0|1msgServer.connect");
    raw_send(mage.router, "A:1|A:1:5|<>|sess/bob:k|4|m|<>|0msgServer.messagepack");
    raw_send(mage.router, "A:1|<>|{\"msgIds\":[\"1\"]}|0msgServer.confirm"); /* no 2nd separator */
    WAIT_FOR(node.envelope_count == 6);
    ck_assert(node_got(&node, "<>|sess/bob:k|never|<>|B:1|B:1:77:0|1 msgServer.connect"));
    ck_assert(node_got(&node, "<>|sess/bob:k|m1|m2|<>|0 msgServer.send"));
    ck_assert(node_got(&node, "<>|m|<>|B:1|B:1:77:0|1 msgServer.broadcast"));
    ck_assert(node_got(&node, "<>|sess/bob:k|always|<>|B:1|B:1:77:0|1 msgServer.connect"));
    ck_assert(node_got(&node, "A:1:5|<>|sess/bob:k|4|m|<>|0 msgServer.messagepack"));
    ck_assert(node_got(&node, "<>|{\"msgIds\":[\"1\"]}|<>|0 msgServer.confirm"));

    ck_assert_int_eq(send_text(&node, "B:1|B:1:77:0", "sess/x:k", "", ENVELOPE_HOST_GONE, 0), 0);
    ck_assert_str_eq(raw_receive(mage.router, text),
                     "A:1|B:1|B:1:77:0|<>|sess/x:k|<>|0msgServer.hostGone");
    ck_assert_int_eq(send_text(&node, "B:1", "a", "A:1:9", ENVELOPE_CONNECT, 1), 0);
    ck_assert_str_eq(raw_receive(mage.router, text),
                     "A:1|B:1|<>|a|<>|A:1|A:1:9|1msgServer.connect");
    uint32_t failed;
    ck_assert_uint_eq(mesh_broadcast(node.mesh, SLICE_LITERAL("m"), &failed), 1);
    ck_assert_str_eq(raw_receive(mage.router, text),
                     "A:1|B:1|*:c|<>|m|<>|A:1|1msgServer.broadcast");

    raw_send(mage.router, "A:1|C:1|<>|sess/bob:k|never|<>|B:1|B:1:77:0|1msgServer.connect");
    ck_assert_str_eq(raw_receive(mage.router, text),
                     "A:1|B:1|B:1:77:0|<>|Host unreachable|msgServer.connect|sess/bob:k|never|<>|"
                     "0mmrp.sendError");
    part();
}
END_TEST

START_TEST(a_silent_host_is_taken_at_its_address_after_a_grace)
{
    node_start(&node, "A:1", 0);
    mage_start(&mage, "B:1", 0);
    node_announce(&node, "B:1", mage.uri, NULL);
    raw_receive(mage.router, text);
    ck_assert(!node_sees(&node, "B:1"));
    ck_assert_int_eq(send_text(&node, "B:1", "x", "", ENVELOPE_SEND, 0), -1);
    WAIT_FOR(node_sees(&node, "B:1"));
    part();
}
END_TEST

START_TEST(a_second_connection_of_a_host_is_heard)
{
    become_peers(0);
    void *old = mage.dealer; /* still open, as a half-dead TCP connection would be */
    raw_send(old, "A:1|<>|a|<>|0msgServer.send");
    WAIT_FOR(node.envelope_count == 1);
    mage.dealer = zmq_socket(mage.context, ZMQ_DEALER);
    int none = 0;
    zmq_setsockopt(mage.dealer, ZMQ_LINGER, &none, sizeof none);
    zmq_setsockopt(mage.dealer, ZMQ_ROUTING_ID, "B:1", 3);
    mage_connect(&mage, &node);
    raw_send(mage.dealer, "A:1|<>|b|<>|0msgServer.send");
    WAIT_FOR(node.envelope_count == 2);
    zmq_close(old);
    part();
}
END_TEST

START_TEST(nobody_answers_for_another)
{
    become_peers(0);
    raw_send(mage.router, "A:1|<>|sess/bob:k|never|<>|C:1|C:1:77:0|1msgServer.connect");
    raw_send(mage.dealer, "A:1|<>|sess/bob:k|never|<>|C:1|C:1:78:0|1msgServer.connect");
    WAIT_FOR(node.envelope_count == 2);
    ck_assert(node_got(&node, "<>|sess/bob:k|never|<>|B:1|C:1|C:1:77:0|1 msgServer.connect"));
    ck_assert(node_got(&node, "<>|sess/bob:k|never|<>|B:1|C:1|C:1:78:0|1 msgServer.connect"));
    part();
}
END_TEST

START_TEST(nobody_speaks_without_a_handshake)
{
    node_start(&node, "A:1", 0);
    mage_start(&mage, "B:1", 0);
    mage_connect(&mage, &node);
    raw_send(mage.dealer, "A:1|<>|sess/bob:k|<>|0msgServer.hostGone");
    raw_send(mage.dealer, "A:1|*|<>|m|<>|1msgServer.broadcast");
    raw_send(mage.dealer, "A:1|<>|{\"clusterId\":\"A:1\",\"identity\":\"W\",\"isRelay\":false,"
                          "\"isClient\":true}|<>|1mmrp.handshake");
    raw_send(mage.dealer, "A:1|<>|" OUR_JSON "|<>|1mmrp.handshake"); /* under another's name */
    WAIT_FOR(mesh_counters(node.mesh).strangers == 4);
    raw_send(mage.dealer, "A:1|<>|not json|<>|1mmrp.handshake");
    raw_send(mage.dealer, "A:1|<>|<>|1mmrp.handshake");
    WAIT_FOR(mesh_counters(node.mesh).malformed == 2);
    ck_assert_uint_eq(mesh_counters(node.mesh).peers, 0);

    /* known by its handshake alone: it is heard, and answered through our ROUTER */
    raw_send(mage.dealer, "A:1|<>|" MAGE_JSON "|<>|B:1|1mmrp.handshake");
    raw_send(mage.dealer, "A:1|<>|a|<>|0msgServer.send");
    WAIT_FOR(node.envelope_count == 1);
    ck_assert(mesh_peer(node.mesh, SLICE_LITERAL("B:1")).known);
    ck_assert_int_eq(send_text(&node, "B:1|B:1:7", "a", "", ENVELOPE_MESSAGEPACK, 0), 0);
    ck_assert_str_eq(raw_receive(mage.dealer, text), "B:1:7|<>|a|<>|0msgServer.messagepack");
    part();
}
END_TEST

/* A handshake is all it takes to be known; it must not be enough to reach everybody. */
START_TEST(only_announced_hosts_broadcast_and_ask)
{
    node_start(&node, "A:1", 0);
    mage_start(&mage, "B:1", 0);
    mage_connect(&mage, &node);
    raw_send(mage.dealer, "A:1|<>|" MAGE_JSON "|<>|B:1|1mmrp.handshake");
    raw_send(mage.dealer, "A:1|*:c|<>|m|<>|1msgServer.broadcast");
    raw_send(mage.dealer, "A:1|C:1|*|<>|m|<>|1msgServer.broadcast");
    raw_send(mage.dealer, "A:1|C:1|<>|7-1|6|x|<>|1msgserver.request");
    raw_send(mage.dealer, "A:1|<>|7-1|6|x|<>|1msgserver.request");
    raw_send(mage.dealer, "A:1|<>|a|<>|0msgServer.send");
    for (int i = 0; i < 2; i++)
        ck_assert_str_eq(raw_receive(mage.dealer, text),
                         "<>|Host unreachable|msgserver.request|7-1|6|x|<>|0mmrp.sendError");
    WAIT_FOR(node.envelope_count == 1);
    ck_assert(node_got(&node, "<>|a|<>|0 msgServer.send"));
    ck_assert_uint_eq(mesh_counters(node.mesh).strangers, 4);
    node_announce(&node, "B:1", mage.uri, NULL);
    raw_send(mage.dealer, "A:1|*:c|<>|m|<>|1msgServer.broadcast");
    WAIT_FOR(node_got(&node, "<>|m|<>|B:1|1 msgServer.broadcast"));
    part();
}
END_TEST

/* B turns out to be a host of ours: it is connected to anew, under an identity that nobody else
 * knows, and answers our handshake there. */
static void become_hosts_of_ours(void)
{
    become_peers(0);
    raw_send(mage.router, "A:1|A:1|<>|" OUR_B_JSON "|<>|B:1|1mmrp.handshake");
    const char *private = raw_receive(mage.router, text);
    ck_assert_int_eq(strncmp(private, "A:1~", 4), 0);
    ck_assert_ptr_nonnull(strstr(private, "|B:1|<>|" OUR_JSON "|<>|A:1|1mmrp.handshake"));
    char answer[NODE_TEXT_MAX];
    snprintf(answer, sizeof answer, "%.*s|A:1|<>|%s|<>|B:1|1mmrp.handshake",
             (int)strcspn(private, "|"), private, OUR_B_JSON);
    raw_send(mage.router, answer);
    WAIT_FOR(node_sees(&node, "B:1") && mesh_peer(node.mesh, SLICE_LITERAL("B:1")).is_msgserver);
}

/* It lost its connection to us, and with it what it had attached for us; ours to it stands. */
START_TEST(a_host_of_ours_that_connects_anew_is_told_of)
{
    become_hosts_of_ours();
    unsigned ups = node.ups, downs = node.downs;
    raw_send(mage.dealer, "A:1|<>|" OUR_B_JSON "|<>|B:1|1mmrp.handshake");
    ck_assert_str_eq(raw_receive(mage.dealer, text), "<>|" OUR_JSON "|<>|A:1|1mmrp.handshake");
    ck_assert_uint_eq(node.ups, ups + 1);
    ck_assert_uint_eq(node.downs, downs);
    part();
}
END_TEST

/* Whoever reaches the port may say that it is B. What B is, only B's own address tells. */
START_TEST(a_handshake_under_anothers_name_changes_nothing)
{
    become_peers(0);
    void *thief = zmq_socket(mage.context, ZMQ_DEALER);
    int none = 0;
    zmq_setsockopt(thief, ZMQ_LINGER, &none, sizeof none);
    zmq_setsockopt(thief, ZMQ_ROUTING_ID, "B:1", 3);
    ck_assert_int_eq(zmq_connect(thief, node.uri), 0);
    raw_send(thief, "A:1|<>|" OUR_B_JSON "|<>|B:1|1mmrp.handshake");
    ck_assert_str_eq(raw_receive(thief, text), "<>|" OUR_JSON "|<>|A:1|1mmrp.handshake");
    ck_assert(!mesh_peer(node.mesh, SLICE_LITERAL("B:1")).is_msgserver);
    /* B hears us, and is heard, by our connection to it. */
    ck_assert_int_eq(send_text(&node, "B:1", "x", "", ENVELOPE_SEND, 0), 0);
    ck_assert_str_eq(raw_receive(mage.router, text), "A:1|B:1|<>|x|<>|0msgServer.send");
    raw_send(mage.router, "A:1|A:1|<>|y|<>|0msgServer.send");
    WAIT_FOR(node_got(&node, "<>|y|<>|0 msgServer.send"));
    ck_assert(!raw_receive_now(thief, text));
    zmq_close(thief);
    part();
}
END_TEST

/* One address that two versions have in turn: they never become peers. */
START_TEST(a_host_of_another_version_is_refused)
{
    become_peers(0);
    raw_send(mage.router, "A:1|A:1|<>|" OUR_JSON_OF("B:1", "9") "|<>|B:1|1mmrp.handshake");
    WAIT_FOR(!node_sees(&node, "B:1"));
    uint64_t strangers = mesh_counters(node.mesh).strangers;
    raw_send(mage.dealer, "A:1|<>|" OUR_JSON_OF("B:1", "9") "|<>|B:1|1mmrp.handshake");
    ck_assert_str_eq(
        raw_receive(mage.dealer, text),
        "<>|Host unreachable|mmrp.handshake|" OUR_JSON_OF("B:1", "9") "|<>|"
                                                                      "0mmrp.sendError");
    raw_send(mage.dealer, "A:1|<>|m|<>|0msgServer.send");
    raw_send(mage.router, "A:1|A:1|*:c|<>|m|<>|0msgServer.broadcast");
    WAIT_FOR(mesh_counters(node.mesh).strangers == strangers + 3);
    ck_assert_int_eq(send_text(&node, "B:1", "x", "", ENVELOPE_SEND, 0), -1);
    ck_assert_uint_eq(node.envelope_count, 0);
    part();
}
END_TEST

/* A MAGE host's handshake says no version: discovery does. */
START_TEST(a_mage_host_of_another_version_is_parted_with)
{
    become_peers(0);
    node_announce(&node, "B:1", "", NULL);
    WAIT_FOR(node.downs == 1);
    ck_assert(!mesh_peer(node.mesh, SLICE_LITERAL("B:1")).known);
    raw_send(mage.dealer, "A:1|<>|" MAGE_JSON "|<>|B:1|1mmrp.handshake");
    ck_assert_str_eq(raw_receive(mage.dealer, text),
                     "<>|Host unreachable|mmrp.handshake|" MAGE_JSON "|<>|0mmrp.sendError");
    raw_send(mage.dealer, "A:1|<>|m|<>|0msgServer.send");
    WAIT_FOR(mesh_counters(node.mesh).strangers == 2);
    ck_assert_uint_eq(mesh_counters(node.mesh).peers, 0);
    ck_assert_uint_eq(node.envelope_count, 0);
    /* It is of our version after all. */
    node_announce(&node, "B:1", mage.uri, NULL);
    raw_send(mage.dealer, "A:1|<>|" MAGE_JSON "|<>|B:1|1mmrp.handshake");
    WAIT_FOR(node_sees(&node, "B:1"));
    part();
}
END_TEST

START_TEST(only_so_many_are_known_by_handshake_alone)
{
    node_start(&node, "A:1", 0);
    mage_start(&mage, "X:0", 0);
    void *sockets[300];
    int none = 0;
    for (int i = 0; i < 300; i++) {
        char id[16], handshake[256];
        snprintf(id, sizeof id, "X:%d", i);
        sockets[i] = zmq_socket(mage.context, ZMQ_DEALER);
        zmq_setsockopt(sockets[i], ZMQ_LINGER, &none, sizeof none);
        zmq_setsockopt(sockets[i], ZMQ_ROUTING_ID, id, strlen(id));
        ck_assert_int_eq(zmq_connect(sockets[i], node.uri), 0);
        snprintf(handshake, sizeof handshake,
                 "A:1|<>|{\"clusterId\":\"%s\",\"identity\":\"%s\",\"isRelay\":true}|<>|"
                 "1mmrp.handshake",
                 id, id);
        raw_send(sockets[i], handshake);
    }
    WAIT_FOR(mesh_counters(node.mesh).handshakes_received == 300);
    ck_assert_uint_eq(mesh_counters(node.mesh).peers, 256);
    for (int i = 0; i < 300; i++)
        zmq_close(sockets[i]);
    part();
}
END_TEST

START_TEST(malformed_multiparts_do_not_stop_the_reading)
{
    static const char *const BAD[] = {
        "x",
        "<>",
        "A:1|x",
        "A:1|<>",
        "A:1|<>|<>|<>",
        "A:1|<>|1",
        "<>|m|<>|0msgServer.send", /* no route: ignored by a ROUTER (MMRP fact) */
        "1|2|3|4|5|6|7|8|9|10|11|12|13|14|15|16|17|<>|m|<>|0msgServer.send",
        "A:1|<>|m|<>|1|2|3|4|5|6|7|8|9|10|11|12|13|14|15|16|17|1msgServer.send",
        "A:1|<>|m|<>|1|2|3|4|5|6|7|8|9|10|11|12|13|14|15|16|1msgServer.send"};
    const size_t count = sizeof BAD / sizeof *BAD;
    become_peers(0);
    for (size_t i = 0; i < count; i++) {
        raw_send(mage.dealer, BAD[i]);
        raw_send(mage.dealer, "A:1|<>|m|<>|0msgServer.send");
    }
    WAIT_FOR(node.envelope_count == count);
    ck_assert_uint_eq(mesh_counters(node.mesh).malformed, count);
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 70000; k++)
            zmq_send(mage.dealer, "f", 1, ZMQ_SNDMORE);
        zmq_send(mage.dealer, "f", 1, 0);
    }
    raw_send(mage.dealer, "A:1|<>|m|<>|0some.otherType");
    WAIT_FOR(node.envelope_count == count + 1);
    ck_assert_uint_eq(mesh_counters(node.mesh).malformed, count + 3);
    ck_assert(node_got(&node, "<>|m|<>|0 some.otherType"));

    raw_send(mage.router, "A:1|x");
    raw_send(mage.router, "A:1|<>|last|<>|0msgServer.send");
    WAIT_FOR(node_got(&node, "<>|last|<>|0 msgServer.send"));
    part();
}
END_TEST

enum { FILL_BODY = 4096 };

/* Sends numbered bodies until the peer's outbox is full. Returns how many were taken. */
static int fill_up(void)
{
    char body[FILL_BODY + 1];
    int taken = 0;
    memset(body, 'x', FILL_BODY);
    body[FILL_BODY] = '\0';
    for (;; taken++) {
        int len = snprintf(body, sizeof body, "%d", taken);
        body[len] = 'x';
        if (send_text(&node, "B:1", body, "A:1|A:1:9", ENVELOPE_CONNECT, 1) != 0)
            break;
    }
    ck_assert_int_eq(errno, EAGAIN);
    return taken;
}

START_TEST(a_host_that_does_not_read_fills_its_outbox_only)
{
    become_peers(10);
    int taken = fill_up();
    ck_assert_int_gt(taken, 1000);
    run_for(100);
    ck_assert_uint_gt(mesh_counters(node.mesh).outbox_bytes, 1 << 20);
    ck_assert_uint_le(mesh_counters(node.mesh).outbox_bytes, 17 << 20);
    /* others are served meanwhile */
    raw_send(mage.dealer, "A:1|<>|m|<>|0msgServer.send");
    WAIT_FOR(node.envelope_count == 1);

    unsigned before = node.writables;
    for (int i = 0; i < taken; i++) {
        char wanted[32];
        raw_receive(mage.router, text);
        snprintf(wanted, sizeof wanted, "A:1|B:1|<>|%dx", i);
        ck_assert_msg(strncmp(text, wanted, strlen(wanted)) == 0, "%.40s for %s", text, wanted);
    }
    WAIT_FOR(node.writables == before + 1);
    ck_assert_uint_eq(mesh_counters(node.mesh).outbox_bytes, 0);
    ck_assert_uint_eq(mesh_counters(node.mesh).lost, 0);
    part();
}
END_TEST

START_TEST(what_a_dead_host_did_not_take_comes_back)
{
    become_peers(10);
    fill_up();
    zmq_close(mage.router);
    mage.router = NULL;
    WAIT_FOR(node.downs == 1);
    struct mesh_counters counters = mesh_counters(node.mesh);
    ck_assert_uint_gt(counters.lost, 0);
    ck_assert_uint_eq(counters.outbox_bytes, 0);
    ck_assert_uint_eq(node.envelope_count, counters.lost);
    ck_assert_uint_eq(
        strncmp(node.envelopes[0], "A:1:9|<>|Host unreachable|msgServer.connect|", 44), 0);
    ck_assert_uint_eq(node.writables, 1);
    part();
}
END_TEST

START_TEST(a_full_way_through_our_router_drains_too)
{
    node_start(&node, "A:1", 0);
    mage_start(&mage, "B:1", 0);
    int few = 10;
    zmq_setsockopt(mage.dealer, ZMQ_RCVHWM, &few, sizeof few);
    mage_connect(&mage, &node);
    raw_send(mage.dealer, "A:1|<>|" MAGE_JSON "|<>|B:1|1mmrp.handshake");
    WAIT_FOR(mesh_peer(node.mesh, SLICE_LITERAL("B:1")).known);
    int taken = fill_up();
    for (int i = 0; i < taken; i++) {
        char wanted[32];
        raw_receive(mage.dealer, text);
        snprintf(wanted, sizeof wanted, "<>|%dx", i);
        ck_assert_msg(strncmp(text, wanted, strlen(wanted)) == 0, "%.40s for %s", text, wanted);
    }
    WAIT_FOR(node.writables == 1);
    fill_up();
    zmq_close(mage.dealer);
    mage.dealer = zmq_socket(mage.context, ZMQ_DEALER);
    WAIT_FOR(mesh_counters(node.mesh).outbox_bytes == 0);
    ck_assert_uint_gt(mesh_counters(node.mesh).lost, 0);
    part();
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, handshakes_as_text);
    tcase_add_test(cases, both_sides_speak_as_recorded);
    tcase_add_test(cases, a_silent_host_is_taken_at_its_address_after_a_grace);
    tcase_add_test(cases, a_second_connection_of_a_host_is_heard);
    tcase_add_test(cases, nobody_answers_for_another);
    tcase_add_test(cases, nobody_speaks_without_a_handshake);
    tcase_add_test(cases, only_announced_hosts_broadcast_and_ask);
    tcase_add_test(cases, a_host_of_ours_that_connects_anew_is_told_of);
    tcase_add_test(cases, a_handshake_under_anothers_name_changes_nothing);
    tcase_add_test(cases, a_host_of_another_version_is_refused);
    tcase_add_test(cases, a_mage_host_of_another_version_is_parted_with);
    tcase_add_test(cases, only_so_many_are_known_by_handshake_alone);
    tcase_add_test(cases, malformed_multiparts_do_not_stop_the_reading);
    tcase_add_test(cases, a_host_that_does_not_read_fills_its_outbox_only);
    tcase_add_test(cases, what_a_dead_host_did_not_take_comes_back);
    tcase_add_test(cases, a_full_way_through_our_router_drains_too);
}

UNIT_MAIN("mesh_mage", add_tests)
