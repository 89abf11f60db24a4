/* Packed envelopes between a mesh and a pretended host of ours. */
#include <errno.h>
#include <stdio.h>

#include "codecs/envelope_pack.h"
#include "mesh_fixture.h"

static struct node node;
static struct mage mage;
static char text[NODE_TEXT_MAX];

#define JSON_OF(id, more)                                                                          \
    "{\"clusterId\":\"" id "\",\"identity\":\"" id "\",\"isRelay\":true,\"isClient\":false,"       \
    "\"server\":\"msgserver\",\"game\":\"msgserver\",\"version\":\"0.0.0\"" more "}"
#define PACKS ",\"pack\":\"1\""

/* --- what the pretended host gets ---------------------------------------------------------------
 */

enum { GOT_MAX = 12000, BODY_KEPT = 24 };

static struct {
    char body[BODY_KEPT]; /* the first message */
    bool packed;
} got[GOT_MAX];
static size_t got_count, multiparts;

static void note(const struct slice *frames, size_t count, bool packed)
{
    struct envelope envelope;
    ck_assert_int_eq(envelope_parse(frames, count, &envelope), ENVELOPE_OK);
    ck_assert_uint_lt(got_count, GOT_MAX);
    struct slice body = envelope.messages[0];
    snprintf(got[got_count].body, BODY_KEPT, "%.*s", (int)(body.len < 20 ? body.len : 20),
             body.data);
    got[got_count++].packed = packed;
}

static void note_pack(struct slice pack)
{
    struct frame_list list = {0};
    int rc;
    while ((rc = envelope_pack_take(&pack, &list)) == 1)
        note(list.frames, list.count, true);
    ck_assert_int_eq(rc, 0);
    frame_list_free(&list);
}

/* One multipart, unless there is none. */
static bool receive(void)
{
    enum { FRAMES_MAX = 16 };
    static zmq_msg_t messages[FRAMES_MAX];
    struct slice frames[FRAMES_MAX];
    struct envelope envelope;
    size_t count = 0;
    bool more = true;
    for (; more; count++) {
        ck_assert_uint_lt(count, FRAMES_MAX);
        zmq_msg_init(&messages[count]);
        if (zmq_msg_recv(&messages[count], mage.router, ZMQ_DONTWAIT) < 0)
            return false;
        more = zmq_msg_more(&messages[count]);
        frames[count] = slice_of(zmq_msg_data(&messages[count]), zmq_msg_size(&messages[count]));
    }
    ck_assert_int_eq(envelope_parse(frames + 1, count - 1, &envelope), ENVELOPE_OK);
    if (envelope.type == ENVELOPE_PACK) {
        ck_assert_uint_eq(envelope.route_len, 1);
        ck_assert_slice_eq(envelope.route[0], "B:1");
        note_pack(envelope.messages[0]);
    } else if (envelope.type != ENVELOPE_HANDSHAKE) {
        note(frames + 1, count - 1, false);
    }
    multiparts += envelope.type != ENVELOPE_HANDSHAKE;
    while (count > 0)
        zmq_msg_close(&messages[--count]);
    return true;
}

static bool have_got(size_t count)
{
    while (receive())
        continue;
    return got_count >= count;
}

static void assert_numbered(size_t count)
{
    char wanted[BODY_KEPT];
    ck_assert_uint_eq(got_count, count);
    for (size_t i = 0; i < count; i++) {
        snprintf(wanted, sizeof wanted, "%zu", i);
        ck_assert_msg(strncmp(got[i].body, wanted, strlen(wanted)) == 0, "%s for %s", got[i].body,
                      wanted);
    }
}

/* --- meeting it ----------------------------------------------------------------------------------
 */

static void answer_as(const char *json)
{
    char answer[NODE_TEXT_MAX];
    const char *greeting = raw_receive(mage.router, text);
    snprintf(answer, sizeof answer, "%.*s|A:1|<>|%s|<>|B:1|1mmrp.handshake",
             (int)strcspn(greeting, "|"), greeting, json);
    raw_send(mage.router, answer);
}

/* The second connection is under an identity that only a host of ours understands. */
static void meet_as(const char *json, int receive_high_water)
{
    node_start(&node, "A:1", 0);
    mage_start(&mage, "B:1", receive_high_water);
    node_announce(&node, "B:1", mage.uri, NULL);
    answer_as(json);
    answer_as(json);
    WAIT_FOR(node_sees(&node, "B:1") && mesh_peer(node.mesh, SLICE_LITERAL("B:1")).is_msgserver);
    mage_connect(&mage, &node);
    run_for(20);
}

static void part(void)
{
    node_stop(&node);
    mage_stop(&mage);
}

static void send_numbers(size_t first, size_t count)
{
    char body[BODY_KEPT];
    for (size_t i = first; i < first + count; i++) {
        snprintf(body, sizeof body, "%zu", i);
        ck_assert_int_eq(send_text(&node, "B:1", body, "", ENVELOPE_SEND, 0), 0);
    }
}

/* --- sending -------------------------------------------------------------------------------------
 */

START_TEST(what_is_sent_in_one_round_leaves_together)
{
    meet_as(JSON_OF("B:1", PACKS), 0);
    send_numbers(0, 100);
    WAIT_FOR(have_got(100));
    assert_numbered(100);
    ck_assert_uint_eq(multiparts, 1);
    ck_assert_uint_eq(mesh_counters(node.mesh).sent, 100);
    ck_assert_uint_eq(mesh_counters(node.mesh).outbox_bytes, 0);
    part();
}
END_TEST

static const char *const OTHERS[] = {JSON_OF("B:1", ""), JSON_OF("B:1", ",\"pack\":\"0\""),
                                     JSON_OF("B:1", ",\"pack\":1")};

START_TEST(a_host_that_does_not_offer_it_gets_them_one_by_one)
{
    meet_as(OTHERS[_i], 0);
    send_numbers(0, 100);
    WAIT_FOR(have_got(100));
    assert_numbered(100);
    ck_assert_uint_eq(multiparts, 100);
    part();
}
END_TEST

START_TEST(a_younger_host_gets_the_form_that_we_know)
{
    meet_as(JSON_OF("B:1", ",\"pack\":\"2\""), 0);
    send_numbers(0, 10);
    WAIT_FOR(have_got(10));
    assert_numbered(10);
    ck_assert(got[9].packed);
    part();
}
END_TEST

/* More than the outbox takes: full packs leave in between. A large one travels alone, in its turn.
 */
START_TEST(many_and_large_ones_arrive_in_order)
{
    enum { MANY = 11000, LARGE = ENVELOPE_PACK_ALONE_BYTES };
    static char large[LARGE + 1];
    meet_as(JSON_OF("B:1", PACKS), 0);
    send_numbers(0, 500);
    memset(large, 'x', LARGE);
    memcpy(large, "500", 3);
    ck_assert_int_eq(send_text(&node, "B:1", large, "", ENVELOPE_SEND, 0), 0);
    send_numbers(501, MANY - 501);
    WAIT_FOR(have_got(MANY));
    assert_numbered(MANY);
    ck_assert(!got[500].packed);
    ck_assert(got[499].packed && got[501].packed);
    ck_assert_uint_eq(mesh_counters(node.mesh).sent, MANY);
    ck_assert_uint_eq(mesh_counters(node.mesh).outbox_full, 0);
    part();
}
END_TEST

static int fill_up(void)
{
    char body[1001];
    int sent = 0;
    memset(body, 'x', 1000);
    body[1000] = '\0';
    while (send_text(&node, "B:1", body, "A:1:9", ENVELOPE_CONNECT, ENVELOPE_TRACK_ROUTE) == 0) {
        sent++;
        if (sent % 100 == 0)
            run_once(wait_limit());
    }
    ck_assert_int_eq(errno, EAGAIN);
    return sent;
}

START_TEST(a_full_outbox_drains)
{
    meet_as(JSON_OF("B:1", PACKS), 2);
    int sent = fill_up();
    struct mesh_counters counters = mesh_counters(node.mesh);
    ck_assert_uint_eq(counters.outbox_full, 1);
    ck_assert_uint_le(counters.outbox_bytes, 16 << 20);
    ck_assert_uint_gt(counters.retried, 0);
    WAIT_FOR(have_got((size_t)sent < GOT_MAX ? (size_t)sent : GOT_MAX - 1000));
    part();
}
END_TEST

/* All that was packed and did not leave, one by one. */
START_TEST(what_was_packed_for_a_dead_host_comes_back)
{
    enum { COUNT = 200 };
    meet_as(JSON_OF("B:1", PACKS), 0);
    mesh_hold(node.mesh);
    for (int i = 0; i < COUNT; i++)
        ck_assert_int_eq(
            send_text(&node, "B:1", "sess/x", "A:1:9", ENVELOPE_CONNECT, ENVELOPE_TRACK_ROUTE), 0);
    ck_assert_uint_gt(mesh_counters(node.mesh).outbox_bytes, 0);
    zmq_close(mage.router);
    mage.router = NULL;
    WAIT_FOR(node.downs > 0);
    ck_assert_uint_eq(mesh_counters(node.mesh).lost, COUNT);
    ck_assert_uint_eq(mesh_counters(node.mesh).outbox_bytes, 0);
    ck_assert_uint_eq(node.envelope_count, COUNT);
    ck_assert_str_eq(node.envelopes[COUNT - 1],
                     "A:1:9|<>|Host unreachable|msgServer.connect|sess/x|<>|0 mmrp.sendError");
    part();
}
END_TEST

/* --- receiving -----------------------------------------------------------------------------------
 */

static void put(struct buffer *pack, const char *route, const char *body, enum envelope_type type)
{
    struct slice message = slice_from_string(body);
    struct envelope envelope = {.messages = &message, .message_count = 1, .type = type};
    fill_route(envelope.route, &envelope.route_len, route);
    ck_assert_int_eq(envelope_pack_put(pack, &envelope, 0), 0);
}

static void send_bytes(const char *route, struct slice bytes)
{
    static const char META[] = "\0msgserver.pack";
    zmq_send(mage.dealer, route, strlen(route), ZMQ_SNDMORE);
    zmq_send(mage.dealer, "", 0, ZMQ_SNDMORE);
    zmq_send(mage.dealer, bytes.data, bytes.len, ZMQ_SNDMORE);
    zmq_send(mage.dealer, META, sizeof META - 1, 0);
}

static void send_pack(struct buffer *pack)
{
    send_bytes("A:1", buffer_slice(pack));
    buffer_free(pack);
}

START_TEST(a_pack_is_read_one_by_one)
{
    struct buffer pack = {0};
    meet_as(JSON_OF("B:1", PACKS), 0);
    put(&pack, "", "1", ENVELOPE_SEND);
    put(&pack, "A:1:7", "2", ENVELOPE_MESSAGEPACK);
    put(&pack, "A:1", "3", ENVELOPE_CONFIRM);
    put(&pack, "C:1", "4", ENVELOPE_SEND); /* for nobody */
    put(&pack, "", "5", ENVELOPE_SEND);
    send_pack(&pack);
    WAIT_FOR(node.envelope_count == 4);
    ck_assert_str_eq(node.envelopes[0], "<>|1|<>|0 msgServer.send");
    ck_assert_str_eq(node.envelopes[1], "A:1:7|<>|2|<>|0 msgServer.messagepack");
    ck_assert_str_eq(node.envelopes[2], "<>|3|<>|0 msgServer.confirm");
    ck_assert_str_eq(node.envelopes[3], "<>|5|<>|0 msgServer.send");
    ck_assert_uint_eq(mesh_counters(node.mesh).unroutable, 1);
    ck_assert_uint_eq(mesh_counters(node.mesh).malformed, 0);
    part();
}
END_TEST

/* Each is counted once; what stands before it counts, and what comes after it in another pack. */
START_TEST(mistakes_in_packs_are_counted)
{
    struct buffer pack = {0};
    static char large[ENVELOPE_PACK_BYTES_MAX + 1];
    meet_as(JSON_OF("B:1", PACKS), 0);
    put(&pack, "", "1", ENVELOPE_SEND);
    ck_assert_int_eq(buffer_append(&pack, "\1\1x", 3), 0); /* a frame, but no envelope */
    put(&pack, "", "2", ENVELOPE_SEND);
    put(&pack, "", "{}", ENVELOPE_HANDSHAKE);
    put(&pack, "", "nested", ENVELOPE_PACK);
    put(&pack, "", "3", ENVELOPE_SEND);
    ck_assert_int_eq(buffer_append(&pack, "\2\377", 2), 0); /* cut */
    send_pack(&pack);
    WAIT_FOR(node.envelope_count == 3 && mesh_counters(node.mesh).malformed == 4);
    send_bytes("C:1", SLICE_LITERAL("\1\1x"));
    send_bytes("A:1", SLICE_EMPTY);
    send_bytes("A:1", slice_of(large, sizeof large));
    WAIT_FOR(mesh_counters(node.mesh).malformed == 7);
    put(&pack, "", "4", ENVELOPE_SEND);
    send_pack(&pack);
    WAIT_FOR(node.envelope_count == 4);
    ck_assert_str_eq(node.envelopes[3], "<>|4|<>|0 msgServer.send");
    part();
}
END_TEST

START_TEST(too_many_in_a_pack_are_cut_off)
{
    struct buffer pack = {0};
    meet_as(JSON_OF("B:1", PACKS), 0);
    for (int i = 0; i < ENVELOPE_PACK_COUNT_MAX + 10; i++)
        put(&pack, "", "1", ENVELOPE_SEND);
    send_pack(&pack);
    WAIT_FOR(mesh_counters(node.mesh).malformed == 1);
    ck_assert_uint_eq(node.envelope_count, ENVELOPE_PACK_COUNT_MAX);
    part();
}
END_TEST

/* --- two of ours ---------------------------------------------------------------------------------
 */

START_TEST(last_words_leave)
{
    static struct node nodes[2];
    nodes_join(nodes, 2);
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(send_text(&nodes[0], "B:1", "farewell", "", ENVELOPE_SEND, 0), 0);
    node_stop(&nodes[0]);
    WAIT_FOR(nodes[1].envelope_count == 10);
    node_stop(&nodes[1]);
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, what_is_sent_in_one_round_leaves_together);
    tcase_add_loop_test(cases, a_host_that_does_not_offer_it_gets_them_one_by_one, 0,
                        sizeof OTHERS / sizeof *OTHERS);
    tcase_add_test(cases, a_younger_host_gets_the_form_that_we_know);
    tcase_add_test(cases, many_and_large_ones_arrive_in_order);
    tcase_add_test(cases, a_full_outbox_drains);
    tcase_add_test(cases, what_was_packed_for_a_dead_host_comes_back);
    tcase_add_test(cases, a_pack_is_read_one_by_one);
    tcase_add_test(cases, mistakes_in_packs_are_counted);
    tcase_add_test(cases, too_many_in_a_pack_are_cut_off);
    tcase_add_test(cases, last_words_leave);
}

UNIT_MAIN("mesh_packs", add_tests)
