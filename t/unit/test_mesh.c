#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mesh_fixture.h"
#include "workers/relay/mesh/outbox.h"
#include "workers/relay/mesh/peer.h"

/* Large: not on the stack. One test runs per process. */
static struct node nodes[3];

#define A (&nodes[0])
#define B (&nodes[1])
#define C (&nodes[2])

START_TEST(two_hosts_introduce_each_other)
{
    nodes_join(nodes, 2);
    ck_assert_uint_ge(A->ups, 1);
    ck_assert_uint_ge(B->ups, 1);
    ck_assert_uint_eq(mesh_counters(A->mesh).peers_up, 1);
    ck_assert_uint_ge(mesh_counters(A->mesh).handshakes_received, 1);
    ck_assert(!mesh_peer(A->mesh, SLICE_LITERAL("C:1")).known);
    ck_assert(!mesh_peer(A->mesh, SLICE_LITERAL("A:1")).known);
    node_stop(A);
    node_stop(B);
}
END_TEST

static struct mesh_peer_report seen;
static size_t seen_count;

static void see(void *context, const struct mesh_peer_report *report)
{
    (void)context;
    seen = *report;
    seen_count++;
}

static void see_peers_of(const struct node *node)
{
    seen_count = 0;
    mesh_each_peer(node->mesh, see, NULL);
}

START_TEST(a_peer_is_shown_as_it_is)
{
    nodes_join(nodes, 2);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(send_text(A, "B:1", "addr", "", ENVELOPE_SEND, 0), 0);
    ck_assert_int_eq(send_text(B, "A:1|D:1", "addr", "", ENVELOPE_SEND, 0), 0);
    WAIT_FOR(B->envelope_count == 5 && mesh_counters(A->mesh).unroutable == 1);
    see_peers_of(A);
    ck_assert_uint_eq(seen_count, 1);
    ck_assert_slice_eq(seen.id, "B:1");
    ck_assert_slice_eq(seen.uri, B->uri);
    ck_assert_slice_eq(seen.software, PACKAGE_VERSION);
    ck_assert_str_eq(seen.state, "up");
    ck_assert(seen.is_msgserver);
    ck_assert_uint_gt(seen.rtt_us, 0);
    ck_assert_uint_eq(seen.counters.sent, 5);
    ck_assert_uint_eq(seen.counters.received, 1);
    ck_assert_uint_eq(seen.counters.unroutable, 1);
    node_stop(B);
    WAIT_FOR(!node_sees(A, "B:1"));
    see_peers_of(A);
    ck_assert_str_eq(seen.state, "connecting");
    ck_assert_uint_eq(seen.rtt_us, 0);
    node_announce(A, NULL);
    see_peers_of(A);
    ck_assert_uint_eq(seen_count, 0);
    node_stop(A);
}
END_TEST

START_TEST(every_type_arrives)
{
    nodes_join(nodes, 2);
    size_t sent = 0;
    for (int type = ENVELOPE_SEND_ERROR; type < ENVELOPE_PACK; type++, sent++)
        ck_assert_int_eq(send_text(A, "B:1", "addr", "A:1|A:1:7", (enum envelope_type)type, 1), 0);
    WAIT_FOR(B->envelope_count == sent);
    for (int type = ENVELOPE_SEND_ERROR; type < ENVELOPE_PACK; type++) {
        char wanted[128];
        snprintf(wanted, sizeof wanted, "<>|addr|<>|A:1|A:1:7|1 %s",
                 envelope_type_name((enum envelope_type)type));
        ck_assert_str_eq(B->envelopes[type - ENVELOPE_SEND_ERROR], wanted);
    }
    ck_assert_int_eq(send_text(A, "B:1|B:1:9", "addr", "", ENVELOPE_MESSAGEPACK, 0), 0);
    ck_assert_int_eq(send_text(A, "B:1|B:1|B:1:9", "addr", "", ENVELOPE_CONNECT, 1), 0);
    WAIT_FOR(B->envelope_count == sent + 2);
    ck_assert(node_got(B, "B:1:9|<>|addr|<>|0 msgServer.messagepack"));
    ck_assert(node_got(B, "B:1:9|<>|addr|<>|A:1|1 msgServer.connect"));
    node_stop(A);
    node_stop(B);
}
END_TEST

START_TEST(a_burst_arrives_whole_and_in_order)
{
    enum { BURST = 5000 };
    nodes_join(nodes, 2);
    for (int i = 0; i < BURST; i++) {
        char body[16];
        snprintf(body, sizeof body, "%d", i);
        ck_assert_int_eq(send_text(A, "B:1", body, "", ENVELOPE_SEND, 0), 0);
    }
    WAIT_FOR(B->envelope_count == BURST);
    for (int i = 0; i < NODE_ENVELOPES_MAX; i++) {
        char wanted[64];
        snprintf(wanted, sizeof wanted, "<>|%d|<>|0 msgServer.send", i);
        ck_assert_str_eq(B->envelopes[i], wanted);
    }
    ck_assert_uint_eq(mesh_counters(A->mesh).outbox_bytes, 0);
    node_stop(A);
    node_stop(B);
}
END_TEST

START_TEST(what_is_held_waits_and_then_leaves_in_order)
{
    uint32_t failed = 0;
    nodes_join(nodes, 2);
    mesh_hold(A->mesh);
    ck_assert_int_eq(send_text(A, "B:1", "1", "", ENVELOPE_SEND, 0), 0);
    ck_assert_uint_eq(mesh_broadcast(A->mesh, SLICE_LITERAL("2"), &failed), 1);
    ck_assert_int_eq(send_text(A, "C:1", "x", "", ENVELOPE_SEND, 0), -1);
    ck_assert_int_eq(errno, EHOSTUNREACH);
    /* Turns of the loop with B on the same loop: it would have come. */
    run_for(50);
    ck_assert_uint_eq(B->envelope_count, 0);
    mesh_release(A->mesh);
    /* Behind what waits, although nothing is held any more. */
    ck_assert_int_eq(send_text(A, "B:1", "3", "", ENVELOPE_SEND, 0), 0);
    WAIT_FOR(B->envelope_count == 3);
    ck_assert_str_eq(B->envelopes[0], "<>|1|<>|0 msgServer.send");
    ck_assert_str_eq(B->envelopes[1], "<>|2|<>|A:1|1 msgServer.broadcast");
    ck_assert_str_eq(B->envelopes[2], "<>|3|<>|0 msgServer.send");
    ck_assert_uint_eq(mesh_counters(A->mesh).outbox_bytes, 0);
    node_stop(A);
    node_stop(B);
}
END_TEST

START_TEST(what_is_held_for_a_peer_that_is_lost_comes_back)
{
    nodes_join(nodes, 2);
    mesh_hold(A->mesh);
    ck_assert_int_eq(send_text(A, "B:1", "1", "A:1|A:1:7", ENVELOPE_CONNECT, 1), 0);
    node_stop(B);
    WAIT_FOR(!node_sees(A, "B:1"));
    ck_assert_uint_eq(A->envelope_count, 1);
    ck_assert_str_eq(A->envelopes[0],
                     "A:1:7|<>|Host unreachable|msgServer.connect|1|<>|0 mmrp.sendError");
    mesh_release(A->mesh);
    run_for(20);
    ck_assert_uint_eq(A->envelope_count, 1);
    node_stop(A);
}
END_TEST

START_TEST(a_broadcast_reaches_each_host_once)
{
    uint32_t failed = 7;
    nodes_join(nodes, 3);
    ck_assert_uint_eq(mesh_broadcast(A->mesh, SLICE_LITERAL("[1]"), &failed), 2);
    ck_assert_uint_eq(failed, 0);
    WAIT_FOR(B->envelope_count == 1 && C->envelope_count == 1);
    ck_assert_str_eq(B->envelopes[0], "<>|[1]|<>|A:1|1 msgServer.broadcast");

    ck_assert_int_eq(send_text(A, "B:1|*", "[2]", "", ENVELOPE_BROADCAST, 1), 0);
    ck_assert_int_eq(send_text(A, "B:1|*:r", "[3]", "", ENVELOPE_BROADCAST, 1), 0);
    ck_assert_int_eq(send_text(A, "B:1|*:c", "[4]", "", ENVELOPE_BROADCAST, 1), 0);
    WAIT_FOR(B->envelope_count == 3 && C->envelope_count == 3);
    ck_assert(node_got(B, "<>|[2]|<>|A:1|1 msgServer.broadcast"));
    ck_assert(node_got(B, "<>|[4]|<>|A:1|1 msgServer.broadcast"));
    ck_assert(node_got(C, "<>|[2]|<>|B:1|A:1|1 msgServer.broadcast"));
    ck_assert(node_got(C, "<>|[3]|<>|B:1|A:1|1 msgServer.broadcast"));

    node_stop(C);
    WAIT_FOR(!node_sees(A, "C:1"));
    ck_assert_uint_eq(mesh_broadcast(A->mesh, SLICE_LITERAL("[5]"), &failed), 1);
    ck_assert_uint_eq(failed, 1);
    run_for(100);
    ck_assert_uint_eq(A->envelope_count, 0);
    ck_assert_uint_eq(B->envelope_count, 4);
    node_stop(A);
    node_stop(B);
}
END_TEST

START_TEST(what_has_route_left_is_passed_on_or_returned)
{
    nodes_join(nodes, 3);
    ck_assert_int_eq(send_text(A, "B:1|C:1|C:1:5", "x", "A:1|A:1:3", ENVELOPE_CONNECT, 1), 0);
    WAIT_FOR(C->envelope_count == 1);
    ck_assert_str_eq(C->envelopes[0], "C:1:5|<>|x|<>|B:1|A:1|A:1:3|1 msgServer.connect");
    ck_assert_uint_eq(mesh_counters(B->mesh).forwarded, 1);

    ck_assert_int_eq(send_text(A, "B:1|D:1", "x", "A:1|A:1:3", ENVELOPE_CONNECT, 1), 0);
    WAIT_FOR(A->envelope_count == 1);
    ck_assert_str_eq(A->envelopes[0],
                     "A:1:3|<>|Host unreachable|msgServer.connect|x|<>|0 mmrp.sendError");
    /* Without a return route, and for an error itself, nobody is told. */
    ck_assert_int_eq(send_text(A, "B:1|D:1", "x", "", ENVELOPE_SEND, 0), 0);
    ck_assert_int_eq(send_text(A, "B:1|D:1", "x", "A:1", ENVELOPE_SEND_ERROR, 1), 0);
    WAIT_FOR(mesh_counters(B->mesh).unroutable == 3);
    run_for(50);
    ck_assert_uint_eq(A->envelope_count, 1);
    ck_assert_uint_eq(mesh_counters(B->mesh).send_errors, 1);

    ck_assert_int_eq(send_text(A, "D:1", "x", "", ENVELOPE_SEND, 0), -1);
    ck_assert_int_eq(errno, EHOSTUNREACH);
    ck_assert_int_eq(send_text(A, "A:1", "x", "", ENVELOPE_SEND, 0), -1);
    for (int i = 0; i < 3; i++)
        node_stop(&nodes[i]);
}
END_TEST

START_TEST(a_host_that_stops_and_comes_back)
{
    nodes_join(nodes, 2);
    uint16_t port = mesh_port(B->mesh);
    node_stop(B);
    WAIT_FOR(A->downs == 1);
    ck_assert(mesh_peer(A->mesh, SLICE_LITERAL("B:1")).known);
    /* B's own connection to us may be closed a moment later. */
    WAIT_FOR(send_text(A, "B:1", "x", "", ENVELOPE_SEND, 0) == -1);
    ck_assert_int_eq(errno, EHOSTUNREACH);
    node_start(B, "B:1", port);
    node_announce(B, "A:1", A->uri, NULL);
    WAIT_FOR(A->ups >= 2 && node_sees(B, "A:1"));
    ck_assert_int_eq(send_text(A, "B:1", "back", "", ENVELOPE_SEND, 0), 0);
    ck_assert_int_eq(send_text(B, "A:1", "hello", "", ENVELOPE_SEND, 0), 0);
    WAIT_FOR(B->envelope_count == 1 && A->envelope_count == 1);
    node_stop(A);
    node_stop(B);
}
END_TEST

START_TEST(a_host_announced_on_one_side_only_is_reached_both_ways)
{
    node_start(A, "A:1", 0);
    node_start(B, "B:1", 0);
    node_announce(A, "B:1", B->uri, NULL);
    WAIT_FOR(node_sees(A, "B:1"));
    ck_assert(mesh_peer(A->mesh, SLICE_LITERAL("B:1")).is_msgserver);
    ck_assert(mesh_peer(B->mesh, SLICE_LITERAL("A:1")).known);
    ck_assert(!node_sees(B, "A:1"));
    ck_assert_int_eq(send_text(A, "B:1", "x", "A:1|A:1:1", ENVELOPE_CONNECT, 1), 0);
    WAIT_FOR(B->envelope_count == 1);
    ck_assert_int_eq(send_text(B, "A:1|A:1:1", "y", "", ENVELOPE_MESSAGEPACK, 0), 0);
    WAIT_FOR(A->envelope_count == 1);
    node_stop(A);
    WAIT_FOR(send_text(B, "A:1", "z", "", ENVELOPE_SEND, 0) == -1);
    ck_assert_int_eq(errno, EHOSTUNREACH);
    node_stop(B);
}
END_TEST

START_TEST(discovery_only_advises)
{
    nodes_join(nodes, 2);
    node_announce(A, NULL);
    run_for(50);
    ck_assert(node_sees(A, "B:1"));
    uint16_t port = mesh_port(B->mesh);
    node_stop(B);
    WAIT_FOR(!mesh_peer(A->mesh, SLICE_LITERAL("B:1")).known);
    ck_assert_uint_eq(A->downs, 1);

    /* Known again at an address where nobody is, then at the right one, then under a new name. */
    node_start(B, "B:1", port);
    node_announce(A, "B:1", "tcp://127.0.0.1:1", NULL);
    node_announce(A, "B:1", B->uri, NULL);
    WAIT_FOR(node_sees(A, "B:1"));
    node_stop(B);
    node_start(B, "B:2", port);
    node_announce(A, "B:2", B->uri, NULL);
    WAIT_FOR(node_sees(A, "B:2"));
    ck_assert(!mesh_peer(A->mesh, SLICE_LITERAL("B:1")).known);
    /* Withdrawn before it was ever connected. */
    node_announce(A, "B:2", B->uri, "X:1", "tcp://127.0.0.1:1", NULL);
    ck_assert(mesh_peer(A->mesh, SLICE_LITERAL("X:1")).known);
    node_announce(A, "B:2", B->uri, NULL);
    ck_assert(!mesh_peer(A->mesh, SLICE_LITERAL("X:1")).known);
    node_stop(A);
    node_stop(B);
}
END_TEST

START_TEST(ourselves_and_nonsense_are_not_connected_to)
{
    char long_uri[600];
    snprintf(long_uri, sizeof long_uri, "tcp://%0500d:1", 0);
    node_start(A, "A:1", 0);
    node_announce(A, "A:1", "tcp://127.0.0.1:1", "old:1", A->uri, "X", "tcp://127.0.0.1:1", "X:1",
                  "ipc:///tmp/x", "X:2", long_uri, "X:3", "", NULL);
    ck_assert_uint_eq(mesh_counters(A->mesh).peers, 0);
    node_announce(A, "X:4", "tcp://no port", NULL); /* ZeroMQ refuses it; tried again later */
    ck_assert_int_eq(mesh_set_peers(A->mesh, SLICE_LITERAL("\1\0\0\0A")), -1);
    ck_assert_int_eq(errno, EPROTO);
    run_for(50);
    node_stop(A);
}
END_TEST

START_TEST(a_stale_address_does_not_swallow_messages)
{
    node_start(A, "A:1", 0);
    node_start(B, "B:1", 0);
    node_announce(A, "old:1", B->uri, NULL);
    WAIT_FOR(mesh_counters(B->mesh).send_errors == 1);
    run_for(PEER_GRACE_MS + 500); /* for those who never introduce themselves */
    ck_assert(!node_sees(A, "old:1"));
    ck_assert_int_eq(send_text(A, "old:1", "x", "", ENVELOPE_SEND, 0), -1);
    node_stop(A);
    node_stop(B);
}
END_TEST

/* --- who does not speak MMRP --------------------------------------------------------- */

static int connect_tcp(const struct node *node)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(mesh_port(node->mesh)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

START_TEST(other_protocols_do_no_harm)
{
    static const char HTTP[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    static const char GREETING[] = "\xff\0\0\0\0\0\0\0\1\x7f\3\1NULL"; /* and no more */
    int fds[20];
    nodes_join(nodes, 2);
    for (int i = 0; i < 20; i++) {
        fds[i] = connect_tcp(B);
        if (i % 4 == 1)
            ck_assert_int_gt(send(fds[i], HTTP, sizeof HTTP - 1, 0), 0);
        if (i % 4 == 2)
            ck_assert_int_gt(send(fds[i], GREETING, sizeof GREETING, 0), 0);
        if (i % 4 == 3)
            close(fds[i]);
    }
    run_for(100);
    ck_assert_int_eq(send_text(A, "B:1", "x", "", ENVELOPE_SEND, 0), 0);
    WAIT_FOR(B->envelope_count == 1);
    ck_assert_uint_eq(B->downs, 0);
    for (int i = 0; i < 20; i++)
        if (i % 4 != 3)
            close(fds[i]);
    node_stop(A);
    node_stop(B);
}
END_TEST

START_TEST(no_port_is_a_mesh_of_one)
{
    struct settings settings;
    struct mesh_handlers none = {0};
    char why[256] = "";
    struct ev_loop *idle = ev_loop_new(EVFLAG_AUTO);
    ck_assert_int_eq(settings_init(&settings), 0);
    struct mesh *mesh = mesh_open(idle, &settings, 0, &none, NULL, why, sizeof why);
    ck_assert_msg(mesh != NULL, "%s", why);
    ck_assert_uint_eq(mesh_port(mesh), 0);
    ck_assert_slice_eq(mesh_cluster_id(mesh), "0000000000000000:0");
    uint32_t failed;
    ck_assert_uint_eq(mesh_broadcast(mesh, SLICE_LITERAL("[]"), &failed), 0);
    ck_assert_int_eq(mesh_set_peers(mesh, SLICE_EMPTY), 0);
    mesh_close(mesh);
    settings_free(&settings);
    ev_loop_destroy(idle);
}
END_TEST

START_TEST(a_taken_port_is_told)
{
    struct settings settings;
    struct mesh_handlers none = {0};
    char why[256] = "", port[16];
    node_start(A, "A:1", 0);
    ck_assert_int_eq(settings_init(&settings), 0);
    snprintf(port, sizeof port, "%u", mesh_port(A->mesh));
    setting_set(&settings, setting_row_find("server.mmrp.bind.host"), SLICE_LITERAL("127.0.0.1"));
    setting_set(&settings, setting_row_find("server.mmrp.bind.port"), slice_from_string(port));
    ck_assert_ptr_null(mesh_open(loop, &settings, 0, &none, NULL, why, sizeof why));
    ck_assert_ptr_nonnull(strstr(why, "tcp://127.0.0.1:"));
    ck_assert_ptr_nonnull(strstr(why, "Address already in use"));
    settings_free(&settings);
    node_stop(A);
}
END_TEST

START_TEST(outboxes_are_bounded)
{
    struct outbox outbox = {0};
    struct envelope envelope = {.type_name = SLICE_LITERAL("x")};
    struct multipart *huge = multipart_from_envelope(&envelope), *extra;
    huge->bytes = OUTBOX_BYTES_MAX + 1;
    ck_assert(outbox_add(&outbox, huge)); /* an empty one takes anything */
    extra = multipart_from_envelope(&envelope);
    ck_assert(!outbox_add(&outbox, extra));
    ck_assert(!outbox_has_room_again(&outbox));
    ck_assert_ptr_eq(outbox_take(&outbox), huge);
    multipart_free(huge);
    ck_assert_uint_eq(outbox.bytes, 0);
    for (int i = 0; i < OUTBOX_COUNT_MAX; i++)
        ck_assert(outbox_add(&outbox, multipart_from_envelope(&envelope)));
    ck_assert(!outbox_add(&outbox, extra));
    multipart_free(extra);
    while ((extra = outbox_take(&outbox)) != NULL)
        multipart_free(extra);
    ck_assert_uint_eq(outbox.count, 0);
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, two_hosts_introduce_each_other);
    tcase_add_test(cases, a_peer_is_shown_as_it_is);
    tcase_add_test(cases, every_type_arrives);
    tcase_add_test(cases, a_burst_arrives_whole_and_in_order);
    tcase_add_test(cases, what_is_held_waits_and_then_leaves_in_order);
    tcase_add_test(cases, what_is_held_for_a_peer_that_is_lost_comes_back);
    tcase_add_test(cases, a_broadcast_reaches_each_host_once);
    tcase_add_test(cases, what_has_route_left_is_passed_on_or_returned);
    tcase_add_test(cases, a_host_that_stops_and_comes_back);
    tcase_add_test(cases, a_host_announced_on_one_side_only_is_reached_both_ways);
    tcase_add_test(cases, discovery_only_advises);
    tcase_add_test(cases, ourselves_and_nonsense_are_not_connected_to);
    tcase_add_test(cases, a_stale_address_does_not_swallow_messages);
    tcase_add_test(cases, other_protocols_do_no_harm);
    tcase_add_test(cases, no_port_is_a_mesh_of_one);
    tcase_add_test(cases, a_taken_port_is_told);
    tcase_add_test(cases, outboxes_are_bounded);
}

UNIT_MAIN("mesh", add_tests)
