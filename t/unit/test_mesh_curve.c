/* CURVE: who is let in, in whose name a key may speak, and what becomes of a key that is revoked.
 * The other side are raw sockets in a ZeroMQ context of their own. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codecs/z85.h"
#include "mesh_fixture.h"
#include "workers/relay/mesh/mesh_keys.h"
#include "workers/relay/mesh/sockets.h"
#include "workers/relay/mesh/zap.h"

struct pair {
    char public_key[CURVE_KEY_ROOM], secret_key[CURVE_KEY_ROOM];
};

static struct node node;
static struct pair own, friend, other;
static char peers_file[64];
static struct node_curve curve = {own.secret_key, own.public_key, peers_file};

/* As an operator should: the file is whole at every moment. */
static void write_peers(const char *text)
{
    char fresh[80];
    snprintf(fresh, sizeof fresh, "%s.new", peers_file);
    FILE *file = fopen(fresh, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
    ck_assert_int_eq(rename(fresh, peers_file), 0);
}

static void make_keys(void)
{
    static char directory[] = "/tmp/msgserver-test-XXXXXX";
    struct pair *pairs[] = {&own, &friend, &other};
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(peers_file, sizeof peers_file, "%s/peers", directory);
    for (size_t i = 0; i < 3; i++)
        ck_assert_int_eq(zmq_curve_keypair(pairs[i]->public_key, pairs[i]->secret_key), 0);
    if (!loop)
        loop = ev_loop_new(EVFLAG_AUTO);
}

static void remove_keys(void)
{
    unlink(peers_file);
    *strrchr(peers_file, '/') = '\0';
    rmdir(peers_file);
}

/* --- the rules ----------------------------------------------------------------------- */

static bool allows_friend(void *context, struct slice key)
{
    ++*(int *)context;
    return slice_equals_string(key, friend.public_key);
}

START_TEST(zap_requests_are_judged)
{
    unsigned char key[CURVE_KEY_BYTES];
    int asked = 0;
    make_keys();
    ck_assert_int_eq(z85_decode(slice_from_string(friend.public_key), key), sizeof key);
    struct slice good[] = {
        SLICE_LITERAL("1.0"),      SLICE_LITERAL("7"), SLICE_LITERAL(SOCKETS_ZAP_DOMAIN),
        SLICE_LITERAL("10.0.0.1"), SLICE_EMPTY,        SLICE_LITERAL("CURVE"),
        slice_of(key, sizeof key), SLICE_EMPTY};
    struct zap_answer answer = zap_judge(good, 7, allows_friend, &asked);
    ck_assert(answer.allowed);
    ck_assert_str_eq(answer.key, friend.public_key);
    ck_assert_int_eq(asked, 1);

    const struct {
        size_t at;
        struct slice instead;
    } WRONG[] = {{0, SLICE_LITERAL("2.0")},
                 {0, SLICE_EMPTY},
                 {2, SLICE_LITERAL("global")},
                 {2, SLICE_EMPTY},
                 {5, SLICE_LITERAL("NULL")},
                 {5, SLICE_LITERAL("PLAIN")},
                 {6, SLICE_EMPTY},
                 {6, slice_of(key, sizeof key - 1)},
                 {6, slice_from_string(friend.public_key)}};
    for (size_t i = 0; i < sizeof WRONG / sizeof *WRONG; i++) {
        struct slice frames[8];
        memcpy(frames, good, sizeof frames);
        frames[WRONG[i].at] = WRONG[i].instead;
        ck_assert_msg(!zap_judge(frames, 7, allows_friend, &asked).allowed, "case %zu", i);
    }
    for (size_t count = 0; count <= 8; count++)
        ck_assert(count == 7 || !zap_judge(good, count, allows_friend, &asked).allowed);
    ck_assert_int_eq(asked, 1); /* of what is malformed nobody is asked */

    key[0] ^= 1;
    answer = zap_judge(good, 7, allows_friend, &asked);
    ck_assert(!answer.allowed);
    ck_assert_int_eq(asked, 2);
    ck_assert_str_eq(answer.why, "its key is not allowed");
    remove_keys();
}
END_TEST

static unsigned changes;

static void on_change(void *context)
{
    (void)context;
    changes++;
}

static const char *refusal(const struct mesh_keys *keys, const char *key, const char *id,
                           const char *announced, bool elsewhere)
{
    const struct key_claim claim = {slice_from_string(key), slice_from_string(id),
                                    slice_from_string(announced), elsewhere};
    const char *why = mesh_keys_refusal(keys, &claim);
    return why ? why : "";
}

#define ck_assert_refused(why, words) ck_assert_msg(strstr((why), words) != NULL, "%s", (why))

START_TEST(keys_speak_for_their_own_cluster_id_alone)
{
    char text[256];
    make_keys();
    const char *one = friend.public_key, *two = other.public_key, *pinned = own.public_key;
    snprintf(text, sizeof text, "%s\n%s\n%s P:1\n", one, two, pinned);
    write_peers(text);
    struct mesh_keys *keys = mesh_keys_open(loop, peers_file, on_change, NULL);
    ck_assert(mesh_keys_allow(keys, slice_from_string(one)));
    ck_assert(!mesh_keys_allow(keys, SLICE_LITERAL("x")));
    ck_assert(!mesh_keys_allow(keys, SLICE_EMPTY));
    ck_assert_refused(refusal(keys, "", "A:1", "", false), "no key");
    ck_assert_refused(refusal(keys, "x", "A:1", "", false), "not in");
    /* As discovery says; or nothing, then by any key that is free. */
    ck_assert_str_eq(refusal(keys, one, "A:1", one, false), "");
    ck_assert_refused(refusal(keys, two, "A:1", one, false), "discovery has another key");
    ck_assert_refused(refusal(keys, two, "A:1", one, true), "discovery has another key");
    ck_assert_str_eq(refusal(keys, one, "A:1", "", false), "");
    ck_assert_refused(refusal(keys, one, "A:1", "", true), "for another cluster ID");
    /* What the file gives to a cluster ID counts more than what discovery says. */
    ck_assert_str_eq(refusal(keys, pinned, "P:1", pinned, false), "");
    ck_assert_str_eq(refusal(keys, pinned, "P:1", one, false), "");
    ck_assert_str_eq(refusal(keys, pinned, "P:1", "", true), "");
    ck_assert_refused(refusal(keys, pinned, "A:1", pinned, false), "for another cluster ID");
    ck_assert_refused(refusal(keys, pinned, "A:1", "", false), "for another cluster ID");
    ck_assert_refused(refusal(keys, one, "P:1", one, false), "has another key");
    ck_assert_refused(refusal(keys, one, "P:1", "", false), "has another key");
    mesh_keys_close(keys);
    remove_keys();
}
END_TEST

START_TEST(a_file_that_breaks_leaves_the_keys_in_force)
{
    char text[256];
    make_keys();
    struct slice key = slice_from_string(friend.public_key);
    struct mesh_keys *keys = mesh_keys_open(loop, peers_file, on_change, NULL);
    ck_assert(!mesh_keys_allow(keys, key)); /* no file, nobody */
    write_peers(friend.public_key);
    WAIT_FOR(changes == 1);
    ck_assert(mesh_keys_allow(keys, key));
    static const char *const BROKEN[] = {"x\n", "", "# nobody\n"};
    for (size_t i = 0; i < 3; i++) {
        write_peers(BROKEN[i]);
        run_for(250);
        ck_assert(mesh_keys_allow(keys, key));
    }
    unlink(peers_file);
    run_for(250);
    ck_assert(mesh_keys_allow(keys, key));
    ck_assert_uint_eq(changes, 1);
    /* Two keys with the same pin, then one of them again: as when a key is rolled over. */
    snprintf(text, sizeof text, "%s F:1\n%s F:1\n", friend.public_key, other.public_key);
    write_peers(text);
    WAIT_FOR(changes == 2);
    ck_assert_str_eq(refusal(keys, friend.public_key, "F:1", other.public_key, false), "");
    ck_assert_str_eq(refusal(keys, other.public_key, "F:1", friend.public_key, false), "");
    snprintf(text, sizeof text, "%s F:1\n", other.public_key);
    write_peers(text);
    WAIT_FOR(changes == 3);
    ck_assert(!mesh_keys_allow(keys, key));
    mesh_keys_close(keys);
    remove_keys();
}
END_TEST

/* --- at the ROUTER ------------------------------------------------------------------- */

static void *raw_curve_dealer(void *context, const char *identity, const struct pair *pair,
                              const char *server_key)
{
    int none = 0;
    void *socket = zmq_socket(context, ZMQ_DEALER);
    zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof none);
    zmq_setsockopt(socket, ZMQ_ROUTING_ID, identity, strlen(identity));
    if (pair) {
        zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, server_key, CURVE_KEY_ROOM);
        zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, pair->public_key, CURVE_KEY_ROOM);
        zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, pair->secret_key, CURVE_KEY_ROOM);
    }
    ck_assert_int_eq(zmq_connect(socket, node.uri), 0);
    return socket;
}

static void start_node(const char *peers)
{
    make_keys();
    write_peers(peers ? peers : friend.public_key);
    node_start_with_curve(&node, "A:1", 0, &curve);
}

static struct mesh_counters counters(void)
{
    return mesh_counters(node.mesh);
}

/* After the first frame. */
#define HANDSHAKE_OF(id)                                                                           \
    "<>|{\"clusterId\":\"" id "\",\"identity\":\"" id "\",\"isRelay\":true,\"isClient\":false,"    \
    "\"server\":\"msgserver\",\"software\":\"1\",\"game\":\"msgserver\",\"version\":\"0.0.0\"}"    \
    "|<>|" id "|1mmrp.handshake"
#define PRIVATE(id) id "~0123456789abcdef"

static bool has_received(void *socket)
{
    char text[NODE_TEXT_MAX];
    return raw_receive_now(socket, text);
}

START_TEST(nobody_gets_in_without_an_allowed_key)
{
    void *context = zmq_ctx_new();
    start_node(NULL);
    void *without = raw_curve_dealer(context, PRIVATE("B:1"), NULL, NULL);
    WAIT_FOR(counters().failed_handshakes >= 1);
    uint64_t failed = counters().failed_handshakes;
    void *misled = raw_curve_dealer(context, PRIVATE("B:1"), &friend, other.public_key);
    WAIT_FOR(counters().failed_handshakes > failed);
    ck_assert_uint_eq(counters().denied, 0);
    void *unknown = raw_curve_dealer(context, PRIVATE("B:1"), &other, own.public_key);
    WAIT_FOR(counters().denied >= 1);
    void *const sockets[] = {without, misled, unknown};
    for (size_t i = 0; i < 3; i++) {
        raw_send(sockets[i], "A:1|" HANDSHAKE_OF("B:1"));
        raw_send(sockets[i], "A:1|<>|addr|x|<>|0msgServer.send");
    }
    run_for(300);
    for (size_t i = 0; i < 3; i++) {
        ck_assert(!has_received(sockets[i]));
        zmq_close(sockets[i]);
    }
    ck_assert_uint_eq(node.envelope_count, 0);
    ck_assert_uint_eq(counters().handshakes_received + counters().peers, 0);
    zmq_ctx_term(context);
    node_stop(&node);
    remove_keys();
}
END_TEST

START_TEST(an_allowed_key_speaks_in_its_own_name_alone)
{
    char text[256], got[NODE_TEXT_MAX];
    void *context = zmq_ctx_new();
    make_keys();
    snprintf(text, sizeof text, "%s\n%s C:1\n", friend.public_key, other.public_key);
    write_peers(text);
    node_start_with_curve(&node, "A:1", 0, &curve);

    void *good = raw_curve_dealer(context, PRIVATE("B:1"), &friend, own.public_key);
    raw_send(good, "A:1|" HANDSHAKE_OF("B:1"));
    raw_receive(good, got); /* the answer */
    ck_assert_ptr_nonnull(strstr(got, "mmrp.handshake"));
    raw_send(good, "A:1|<>|addr|x|<>|0msgServer.send");
    WAIT_FOR(node.envelope_count == 1);
    ck_assert_uint_eq(counters().forged, 0);

    /* Another key under its name, as its name and beside its private one. */
    static const char *const TAKEN[] = {PRIVATE("B:1"), "B:1~fedcba9876543210", "B:1"};
    for (size_t i = 0; i < 3; i++) {
        uint64_t forged = counters().forged;
        void *thief = raw_curve_dealer(context, TAKEN[i], &other, own.public_key);
        raw_send(thief, "A:1|" HANDSHAKE_OF("B:1"));
        raw_send(thief, "A:1|<>|addr|stolen|<>|0msgServer.send");
        WAIT_FOR(counters().forged == forged + 2);
        ck_assert(!has_received(thief));
        zmq_close(thief);
    }
    /* A name that the file gives to another key; and an identity that anybody could take. */
    void *pinned = raw_curve_dealer(context, PRIVATE("C:1"), &friend, own.public_key);
    raw_send(pinned, "A:1|" HANDSHAKE_OF("C:1"));
    WAIT_FOR(counters().forged == 7);
    void *plain = raw_curve_dealer(context, "C:1", &other, own.public_key);
    raw_send(plain, "A:1|" HANDSHAKE_OF("C:1"));
    WAIT_FOR(counters().forged == 8);
    ck_assert(!has_received(pinned) && !has_received(plain));
    ck_assert_uint_eq(node.envelope_count, 1);
    ck_assert_uint_eq(counters().denied, 0);
    zmq_close(good);
    zmq_close(pinned);
    zmq_close(plain);
    zmq_ctx_term(context);
    node_stop(&node);
    remove_keys();
}
END_TEST

/* --- by our DEALER ------------------------------------------------------------------- */

static void *raw_curve_router(void *context, const struct pair *pair, const char *bind, char *uri,
                              size_t room)
{
    int none = 0, one = 1;
    void *socket = zmq_socket(context, ZMQ_ROUTER);
    zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof none);
    zmq_setsockopt(socket, ZMQ_CURVE_SERVER, &one, sizeof one);
    zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, pair->secret_key, CURVE_KEY_ROOM);
    uint64_t limit = wait_limit(); /* an earlier socket may still hold the port */
    while (zmq_bind(socket, bind) != 0)
        ck_assert(run_once(limit));
    ck_assert_int_eq(zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, uri, &room), 0);
    return socket;
}

static void announce(const char *uri, const struct pair *pair)
{
    node_announce_with_key(&node, "B:1", uri, pair ? pair->public_key : "");
}

static bool handshake_came(void *router, char text[NODE_TEXT_MAX])
{
    return raw_receive_now(router, text) && strstr(text, "mmrp.handshake");
}

/* `came`: as handshake_came() gave it; its first frame is the connection's name. */
static void answer_handshake(void *router, const char *came)
{
    char answer[NODE_TEXT_MAX];
    snprintf(answer, sizeof answer, "%.*s|%s", (int)strcspn(came, "|"), came, HANDSHAKE_OF("B:1"));
    raw_send(router, answer);
}

START_TEST(a_revoked_key_is_cut_off_at_once)
{
    char text[NODE_TEXT_MAX], uri[64], both[128];
    void *context = zmq_ctx_new();
    start_node(NULL);
    void *router = raw_curve_router(context, &friend, "tcp://127.0.0.1:*", uri, sizeof uri);
    announce(uri, &friend);
    WAIT_FOR(handshake_came(router, text));
    answer_handshake(router, text);
    WAIT_FOR(node_sees(&node, "B:1"));
    ck_assert_int_eq(send_text(&node, "B:1", "secret 1", "", ENVELOPE_SEND, 0), 0);
    raw_receive(router, text);
    ck_assert_ptr_nonnull(strstr(text, "secret 1"));

    write_peers(other.public_key);
    WAIT_FOR(!node_sees(&node, "B:1"));
    ck_assert_uint_eq(node.downs, 1);
    ck_assert_int_eq(send_text(&node, "B:1", "secret 2", "", ENVELOPE_SEND, 0), -1);
    ck_assert_int_eq(errno, EHOSTUNREACH);
    run_for(300);
    ck_assert(!has_received(router));

    /* And in again, without another word from discovery. */
    snprintf(both, sizeof both, "%s\n%s\n", other.public_key, friend.public_key);
    write_peers(both);
    WAIT_FOR(handshake_came(router, text));
    zmq_close(router);
    zmq_ctx_term(context);
    node_stop(&node);
    remove_keys();
}
END_TEST

START_TEST(we_connect_to_the_announced_key_alone)
{
    char text[NODE_TEXT_MAX], uri[64];
    void *context = zmq_ctx_new();
    start_node(NULL);
    /* Another's: no connection is tried, or it ends in the handshake. */
    void *router = raw_curve_router(context, &other, "tcp://127.0.0.1:*", uri, sizeof uri);
    announce(uri, NULL);
    run_for(200);
    announce(uri, &other);
    run_for(200);
    announce(uri, &friend);
    run_for(500);
    ck_assert(!has_received(router));
    ck_assert(!node_sees(&node, "B:1"));
    /* The host comes back with the right one. libzmq does not try again by itself. */
    zmq_close(router);
    char again[64];
    router = raw_curve_router(context, &friend, uri, again, sizeof again);
    ck_assert_str_eq(uri, again);
    WAIT_FOR(handshake_came(router, text));
    zmq_close(router);
    zmq_ctx_term(context);
    node_stop(&node);
    remove_keys();
}
END_TEST

START_TEST(without_curve_a_peer_that_has_it_is_left_alone)
{
    char uri[64];
    void *context = zmq_ctx_new();
    make_keys();
    node_start(&node, "A:1", 0);
    void *router = raw_curve_router(context, &friend, "tcp://127.0.0.1:*", uri, sizeof uri);
    announce(uri, &friend);
    run_for(300);
    ck_assert(!has_received(router));
    ck_assert(mesh_peer(node.mesh, SLICE_LITERAL("B:1")).known);
    ck_assert(!node_sees(&node, "B:1"));
    zmq_close(router);
    zmq_ctx_term(context);
    node_stop(&node);
    remove_keys();
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, zap_requests_are_judged);
    tcase_add_test(cases, keys_speak_for_their_own_cluster_id_alone);
    tcase_add_test(cases, a_file_that_breaks_leaves_the_keys_in_force);
    tcase_add_test(cases, nobody_gets_in_without_an_allowed_key);
    tcase_add_test(cases, an_allowed_key_speaks_in_its_own_name_alone);
    tcase_add_test(cases, a_revoked_key_is_cut_off_at_once);
    tcase_add_test(cases, we_connect_to_the_announced_key_alone);
    tcase_add_test(cases, without_curve_a_peer_that_has_it_is_left_alone);
}

UNIT_MAIN("mesh_curve", add_tests)
