#include "unit.h"

#include <stdio.h>

#include "base/log.h"
#include "codecs/control_frames.h"
#include "codecs/frame.h"
#include "master/discovery/peer_view.h"

#define OURS  "\"game\":\"my-game\",\"version\":\"1.0.0\""
#define GOOD  "{\"ips\":[\"10.77.0.1\"],\"data\":{" OURS ",\"clusterId\":\"a:1\",\"timestamp\":7}}"
#define OF(x) slice_from_string(x)

static const struct peer_rule ANYWHERE = {"my-game", "1.0.0", NULL, 0};

static enum announcement_verdict read_as(const char *name, const char *json, struct peer *peer)
{
    return announcement_read(OF(name), OF(json), &ANYWHERE, peer);
}

START_TEST(what_we_write_is_what_mage_writes)
{
    struct string_list ips = {(char *[]){"10.77.0.1"}, 1};
    struct announcement announcement = {&ips,          "my-game", "1.0.0", "e2dd6de0a6166a3f:15001",
                                        1795434246044, NULL};
    struct buffer out = {0};
    ck_assert_int_eq(announcement_encode(&announcement, &out), 0);
    ck_assert_slice_eq(buffer_slice(&out),
                       "{\"ips\":[\"10.77.0.1\"],\"data\":{\"game\":\"my-game\",\"version\":"
                       "\"1.0.0\",\"clusterId\":\"e2dd6de0a6166a3f:15001\",\"timestamp\":"
                       "1795434246044}}");
    struct peer peer;
    ck_assert_int_eq(
        announcement_read(OF("e2dd6de0a6166a3f:15001"), buffer_slice(&out), &ANYWHERE, &peer),
        ANNOUNCEMENT_PEER);
    ck_assert_str_eq(peer.cluster_id, "e2dd6de0a6166a3f:15001");
    ck_assert_str_eq(peer.uri, "tcp://10.77.0.1:15001");
    ck_assert_uint_eq(peer.timestamp, 1795434246044);
    buffer_free(&out);
}
END_TEST

#define KEY "dZ.H>ZW*i&Z3P-/eJJNLJvJ$!:7:n7XJID{Rurqw"

START_TEST(a_host_with_curve_adds_its_key)
{
    struct string_list ips = {(char *[]){"10.77.0.1"}, 1};
    struct announcement announcement = {&ips, "my-game", "1.0.0", "a:1", 7, KEY};
    struct buffer out = {0};
    ck_assert_int_eq(announcement_encode(&announcement, &out), 0);
    ck_assert_slice_eq(buffer_slice(&out),
                       "{\"ips\":[\"10.77.0.1\"],\"data\":{\"game\":\"my-game\",\"version\":"
                       "\"1.0.0\",\"clusterId\":\"a:1\",\"timestamp\":7,\"publicKey\":\"" KEY
                       "\"}}");
    struct peer peer;
    ck_assert_int_eq(announcement_read(OF("a:1"), buffer_slice(&out), &ANYWHERE, &peer),
                     ANNOUNCEMENT_PEER);
    ck_assert_str_eq(peer.public_key, KEY);
    ck_assert_int_eq(read_as("a:1", GOOD, &peer), ANNOUNCEMENT_PEER);
    ck_assert_str_eq(peer.public_key, "");
    ck_assert_int_eq(read_as("a:1",
                             "{\"data\":{" OURS ",\"clusterId\":\"a\",\"publicKey\":null},"
                             "\"ips\":[\"10.77.0.1\"]}",
                             &peer),
                     ANNOUNCEMENT_PEER);
    ck_assert_str_eq(peer.public_key, "");
    buffer_free(&out);
}
END_TEST

START_TEST(several_addresses_and_odd_names_are_written)
{
    struct string_list ips = {(char *[]){"10.77.0.1", "10.77.0.2"}, 2};
    struct announcement announcement = {&ips, "a\"b/\u00e9", "", "x:1", 0, NULL};
    struct buffer out = {0};
    ck_assert_int_eq(announcement_encode(&announcement, &out), 0);
    ck_assert_slice_eq(
        buffer_slice(&out),
        "{\"ips\":[\"10.77.0.1\",\"10.77.0.2\"],\"data\":{\"game\":\"a\\\"b/\u00e9\","
        "\"version\":\"\",\"clusterId\":\"x:1\",\"timestamp\":0}}");
    announcement.game = "\xff";
    ck_assert_int_eq(announcement_encode(&announcement, &out), -1);
    buffer_free(&out);
}
END_TEST

START_TEST(the_identity_is_in_the_data_and_the_port_in_the_name)
{
    struct peer peer;
    ck_assert_int_eq(read_as("some:thing:80", GOOD, &peer), ANNOUNCEMENT_PEER);
    ck_assert_str_eq(peer.cluster_id, "a:1");
    ck_assert_str_eq(peer.uri, "tcp://10.77.0.1:80");
    ck_assert_int_eq(read_as(":65535", GOOD, &peer), ANNOUNCEMENT_PEER);
    ck_assert_int_eq(read_as("a:1",
                             "{\"data\":{" OURS ",\"clusterId\":\"b\",\"more\":[]},\"ips\":"
                             "[\"fe80::1\",\"1.2.3.4\"]}",
                             &peer),
                     ANNOUNCEMENT_PEER);
    ck_assert_str_eq(peer.uri, "tcp://1.2.3.4:1");
    ck_assert_uint_eq(peer.timestamp, 0);
}
END_TEST

START_TEST(other_games_and_versions_are_ignored)
{
    struct peer peer;
    static const char *const OTHERS[] = {
        "{\"ips\":[],\"data\":{\"game\":\"your-game\",\"version\":\"1.0.0\"}}",
        "{\"ips\":[],\"data\":{\"game\":\"my-game\",\"version\":\"1.0.1\"}}",
        "{\"ips\":[],\"data\":{\"game\":\"My-game\",\"version\":\"1.0.0\"}}",
        "{\"ips\":[],\"data\":{\"game\":\"\",\"version\":\"\"}}"};
    for (size_t i = 0; i < sizeof OTHERS / sizeof *OTHERS; i++)
        ck_assert_int_eq(read_as("a:1", OTHERS[i], &peer), ANNOUNCEMENT_OTHER_CLUSTER);
}
END_TEST

static const struct {
    enum announcement_verdict verdict;
    const char *name, *json;
} BROKEN[] = {
    {ANNOUNCEMENT_NO_PORT, "a", GOOD},
    {ANNOUNCEMENT_NO_PORT, "", GOOD},
    {ANNOUNCEMENT_NO_PORT, "a:", GOOD},
    {ANNOUNCEMENT_NO_PORT, "a:0", GOOD},
    {ANNOUNCEMENT_NO_PORT, "a:65536", GOOD},
    {ANNOUNCEMENT_NO_PORT, "a:99999999999999999999", GOOD},
    {ANNOUNCEMENT_NO_PORT, "a:80x", GOOD},
    {ANNOUNCEMENT_NO_PORT, "a:-1", GOOD},
    {ANNOUNCEMENT_NO_PORT, "a:80:x", GOOD},
    {ANNOUNCEMENT_NOT_JSON, "a:1", ""},
    {ANNOUNCEMENT_NOT_JSON, "a:1", "10.77.0.1"},
    {ANNOUNCEMENT_NOT_JSON, "a:1", "undefined"},
    {ANNOUNCEMENT_NOT_JSON, "a:1", "{\"ips\":"},
    {ANNOUNCEMENT_NOT_JSON, "a:1", GOOD "x"},
    {ANNOUNCEMENT_NOT_JSON, "a:1", "\xff\xfe{}"},
    {ANNOUNCEMENT_NOT_JSON, "a:1", "{\"ips\":[\"\xc3\"]}"},
    {ANNOUNCEMENT_NOT_JSON, "a:1", "{'ips':[]}"},
    {ANNOUNCEMENT_NOT_OBJECT, "a:1", "null"},
    {ANNOUNCEMENT_NOT_OBJECT, "a:1", "true"},
    {ANNOUNCEMENT_NOT_OBJECT, "a:1", "12"},
    {ANNOUNCEMENT_NOT_OBJECT, "a:1", "\"text\""},
    {ANNOUNCEMENT_NOT_OBJECT, "a:1", "[]"},
    {ANNOUNCEMENT_NO_DATA, "a:1", "{}"},
    {ANNOUNCEMENT_NO_DATA, "a:1", "{\"ips\":[],\"data\":null}"},
    {ANNOUNCEMENT_NO_DATA, "a:1", "{\"ips\":[],\"data\":[]}"},
    {ANNOUNCEMENT_NO_DATA, "a:1", "{\"ips\":[],\"data\":\"x\"}"},
    {ANNOUNCEMENT_NO_GAME, "a:1", "{\"ips\":[],\"data\":{}}"},
    {ANNOUNCEMENT_NO_GAME, "a:1", "{\"ips\":[],\"data\":{\"game\":null,\"version\":\"1.0.0\"}}"},
    {ANNOUNCEMENT_NO_GAME, "a:1", "{\"ips\":[],\"data\":{\"game\":1,\"version\":\"1.0.0\"}}"},
    {ANNOUNCEMENT_NO_VERSION, "a:1", "{\"ips\":[],\"data\":{\"game\":\"my-game\"}}"},
    {ANNOUNCEMENT_NO_VERSION, "a:1", "{\"data\":{\"game\":\"my-game\",\"version\":1}}"},
    {ANNOUNCEMENT_NO_CLUSTER_ID, "a:1", "{\"data\":{" OURS "}}"},
    {ANNOUNCEMENT_NO_CLUSTER_ID, "a:1", "{\"data\":{" OURS ",\"clusterId\":7}}"},
    {ANNOUNCEMENT_NO_CLUSTER_ID, "a:1", "{\"data\":{" OURS ",\"clusterId\":\"\"}}"},
    {ANNOUNCEMENT_NO_CLUSTER_ID, "a:1", "{\"data\":{" OURS ",\"clusterId\":\"a b\"}}"},
    {ANNOUNCEMENT_NO_CLUSTER_ID, "a:1", "{\"data\":{" OURS ",\"clusterId\":\"\u00e9\"}}"},
    {ANNOUNCEMENT_NO_PUBLIC_KEY, "a:1",
     "{\"data\":{" OURS ",\"clusterId\":\"a\",\"publicKey\":7}}"},
    {ANNOUNCEMENT_NO_PUBLIC_KEY, "a:1",
     "{\"data\":{" OURS ",\"clusterId\":\"a\",\"publicKey\":\"" KEY "0\"}}"},
    {ANNOUNCEMENT_NO_PUBLIC_KEY, "a:1",
     "{\"data\":{" OURS ",\"clusterId\":\"a\",\"publicKey\":\"\"}}"},
    {ANNOUNCEMENT_NO_TIMESTAMP, "a:1",
     "{\"data\":{" OURS ",\"clusterId\":\"a\",\"timestamp\":null}}"},
    {ANNOUNCEMENT_NO_TIMESTAMP, "a:1",
     "{\"data\":{" OURS ",\"clusterId\":\"a\",\"timestamp\":\"1\"}}"},
    {ANNOUNCEMENT_NO_TIMESTAMP, "a:1",
     "{\"data\":{" OURS ",\"clusterId\":\"a\",\"timestamp\":-1}}"},
    {ANNOUNCEMENT_NO_TIMESTAMP, "a:1",
     "{\"data\":{" OURS ",\"clusterId\":\"a\",\"timestamp\":1e99}}"},
    {ANNOUNCEMENT_NO_IPS, "a:1", "{\"data\":{" OURS ",\"clusterId\":\"a\"}}"},
    {ANNOUNCEMENT_NO_IPS, "a:1", "{\"ips\":null,\"data\":{" OURS ",\"clusterId\":\"a\"}}"},
    {ANNOUNCEMENT_NO_IPS, "a:1", "{\"ips\":\"1.2.3.4\",\"data\":{" OURS ",\"clusterId\":\"a\"}}"},
    {ANNOUNCEMENT_NO_IPS, "a:1",
     "{\"ips\":{\"0\":\"1.2.3.4\"},\"data\":{" OURS ",\"clusterId\":\"a\"}}"},
    {ANNOUNCEMENT_NO_IPS, "a:1", "{\"ips\":[16909060],\"data\":{" OURS ",\"clusterId\":\"a\"}}"},
    {ANNOUNCEMENT_NO_IPS, "a:1",
     "{\"ips\":[\"1.2.3.4\",null],\"data\":{" OURS ",\"clusterId\":\"a\"}}"},
    {ANNOUNCEMENT_NO_ADDRESS, "a:1", "{\"ips\":[],\"data\":{" OURS ",\"clusterId\":\"a\"}}"},
    {ANNOUNCEMENT_NO_ADDRESS, "a:1", "{\"ips\":[\"\"],\"data\":{" OURS ",\"clusterId\":\"a\"}}"},
    {ANNOUNCEMENT_NO_ADDRESS, "a:1",
     "{\"ips\":[\"fe80::1\",\"host\"],\"data\":{" OURS ",\"clusterId\":\"a\"}}"},
    {ANNOUNCEMENT_NO_ADDRESS, "a:1",
     "{\"ips\":[\"1.2.3.4/8\",\"01.2.3.4\"],\"data\":{" OURS ",\"clusterId\":\"a\"}}"},
};

START_TEST(broken_nodes_get_their_fault)
{
    struct peer peer;
    enum announcement_verdict verdict = read_as(BROKEN[_i].name, BROKEN[_i].json, &peer);
    ck_assert_msg(verdict == BROKEN[_i].verdict, "%s under \"%s\": got %d, wanted %d",
                  BROKEN[_i].json, BROKEN[_i].name, verdict, BROKEN[_i].verdict);
    ck_assert_ptr_nonnull(announcement_fault(verdict));
}
END_TEST

START_TEST(size_and_depth_are_bounded)
{
    struct peer peer;
    struct buffer huge = {0};
    for (size_t i = 0; i < ANNOUNCEMENT_MAX_BYTES; i++)
        buffer_append(&huge, "[", 1);
    ck_assert_int_eq(announcement_read(OF("a:1"), buffer_slice(&huge), &ANYWHERE, &peer),
                     ANNOUNCEMENT_NOT_JSON);
    buffer_append(&huge, "[", 1);
    ck_assert_int_eq(announcement_read(OF("a:1"), buffer_slice(&huge), &ANYWHERE, &peer),
                     ANNOUNCEMENT_TOO_LARGE);
    buffer_free(&huge);

    char name[ANNOUNCEMENT_MAX_NAME + 2];
    memset(name, 'n', sizeof name);
    memcpy(name + sizeof name - 3, ":1", 3);
    ck_assert_int_eq(read_as(name, GOOD, &peer), ANNOUNCEMENT_NO_PORT);
    ck_assert_int_eq(read_as(name + 1, GOOD, &peer), ANNOUNCEMENT_PEER);

    char id[PEER_ID_ROOM + 128];
    snprintf(id, sizeof id, "{\"ips\":[\"1.2.3.4\"],\"data\":{" OURS ",\"clusterId\":\"%0*d\"}}",
             PEER_ID_ROOM, 1);
    ck_assert_int_eq(read_as("a:1", id, &peer), ANNOUNCEMENT_NO_CLUSTER_ID);
    snprintf(id, sizeof id, "{\"ips\":[\"1.2.3.4\"],\"data\":{" OURS ",\"clusterId\":\"%0*d\"}}",
             PEER_ID_ROOM - 1, 1);
    ck_assert_int_eq(read_as("a:1", id, &peer), ANNOUNCEMENT_PEER);
}
END_TEST

START_TEST(the_first_address_in_our_networks_is_taken)
{
    struct netmask networks[2];
    struct peer_rule rule = {"my-game", "1.0.0", networks, 2};
    struct peer peer;
    ck_assert_int_eq(netmask_parse(SLICE_LITERAL("192.168.2"), &networks[0], NULL), 0);
    ck_assert_int_eq(netmask_parse(SLICE_LITERAL("10.9/16"), &networks[1], NULL), 0);
    struct slice json = SLICE_LITERAL("{\"ips\":[\"172.16.0.9\",\"10.9.1.1\",\"192.168.2.5\"],"
                                      "\"data\":{" OURS ",\"clusterId\":\"a\"}}");
    ck_assert_int_eq(announcement_read(OF("a:5"), json, &rule, &peer), ANNOUNCEMENT_PEER);
    ck_assert_str_eq(peer.uri, "tcp://10.9.1.1:5");
    rule.network_count = 1;
    ck_assert_int_eq(announcement_read(OF("a:5"), json, &rule, &peer), ANNOUNCEMENT_PEER);
    ck_assert_str_eq(peer.uri, "tcp://192.168.2.5:5");
    ck_assert_int_eq(announcement_read(OF("a:5"), OF(GOOD), &rule, &peer), ANNOUNCEMENT_NO_ADDRESS);
}
END_TEST

/* --- the view --------------------------------------------------------------------------------- */

static struct settings settings;
static struct peer_view *view;

static void setup(void)
{
    ck_assert_int_eq(settings_init(&settings), 0);
    view = peer_view_new(&settings, SLICE_LITERAL("own:1"));
    ck_assert_ptr_nonnull(view);
    log_set_levels(0);
}

static void teardown(void)
{
    peer_view_free(view);
    settings_free(&settings);
}

static void put_node(const char *name, const char *ip, const char *cluster_id, unsigned timestamp)
{
    char json[512];
    snprintf(json, sizeof json,
             "{\"ips\":[\"%s\"],\"data\":{\"game\":\"msgserver\",\"version\":\"0.0.0\","
             "\"clusterId\":\"%s\",\"timestamp\":%u}}",
             ip, cluster_id, timestamp);
    ck_assert_int_eq(peer_view_put(view, name, OF(json)), 0);
}

/* "id=uri id=uri+key " */
static void assert_view(const char *wanted)
{
    struct buffer run = {0}, text = {0};
    ck_assert_int_eq(peer_view_run(view, &run), 0);
    struct frame_reader reader = reader_of(buffer_slice(&run));
    while (reader_left(&reader) > 0) {
        struct slice id = get_slice(&reader), uri = get_slice(&reader), key = get_slice(&reader);
        buffer_printf(&text, "%.*s=%.*s%s%.*s ", (int)id.len, id.data, (int)uri.len, uri.data,
                      key.len ? "+" : "", (int)key.len, key.len ? key.data : "");
    }
    ck_assert_int_eq(reader_finish(&reader), 0);
    ck_assert_slice_eq(buffer_slice(&text), wanted);
    buffer_free(&run);
    buffer_free(&text);
}

START_TEST(peers_come_in_order_without_ourselves)
{
    assert_view("");
    put_node("b:2", "1.1.1.2", "b:2", 1);
    put_node("a:1", "1.1.1.1", "a:1", 1);
    put_node("own:1", "1.1.1.9", "own:1", 1);
    assert_view("a:1=tcp://1.1.1.1:1 b:2=tcp://1.1.1.2:2 ");
    peer_view_drop(view, "a:1");
    peer_view_drop(view, "never-seen");
    assert_view("b:2=tcp://1.1.1.2:2 ");
    put_node("b:2", "1.1.1.3", "b:2", 2);
    assert_view("b:2=tcp://1.1.1.3:2 ");
    ck_assert_int_eq(peer_view_put(view, "b:2", SLICE_LITERAL("null")), 0);
    ck_assert_int_eq(peer_view_put(view, "b:2", SLICE_LITERAL("null")), 0);
    assert_view("");
}
END_TEST

START_TEST(the_newest_of_equal_uris_and_of_equal_ids_wins)
{
    put_node("old:7", "1.1.1.1", "old:7", 10);
    put_node("new:7", "1.1.1.1", "new:7", 20);
    put_node("x-1:8", "1.1.1.2", "twice:8", 30);
    put_node("x-2:9", "1.1.1.2", "twice:8", 40);
    assert_view("new:7=tcp://1.1.1.1:7 twice:8=tcp://1.1.1.2:9 ");
    peer_view_drop(view, "new:7");
    assert_view("old:7=tcp://1.1.1.1:7 twice:8=tcp://1.1.1.2:9 ");
}
END_TEST

START_TEST(hosts_of_another_version_follow_without_address)
{
    static const char OTHER[] =
        "{\"ips\":[\"1.1.1.3\"],\"data\":{\"game\":\"msgserver\",\"version\":\"9\"}}";
    put_node("b:2", "1.1.1.2", "b:2", 1);
    ck_assert_int_eq(peer_view_put(view, "a:1", OF(OTHER)), 0);
    ck_assert_int_eq(peer_view_put(view, "own:1", OF(OTHER)), 0);
    ck_assert_int_eq(peer_view_put(view, "no id:1", OF(OTHER)), 0);
    assert_view("b:2=tcp://1.1.1.2:2 a:1= ");
    /* Upgraded in place: one name and address, another version. */
    ck_assert_int_eq(peer_view_put(view, "b:2", OF(OTHER)), 0);
    assert_view("b:2= a:1= ");
}
END_TEST

START_TEST(the_run_fits_its_frame)
{
    for (unsigned i = 0; i < 4000; i++) {
        char name[64], ip[32];
        snprintf(name, sizeof name, "0123456789abcdef%04u:15001", i);
        snprintf(ip, sizeof ip, "10.1.%u.%u", i / 250, i % 250);
        put_node(name, ip, name, 1);
    }
    struct buffer run = {0}, frame = {0};
    ck_assert_int_eq(peer_view_run(view, &run), 0);
    ck_assert_uint_gt(buffer_len(&run), CONTROL_FRAME_MAX_PAYLOAD - 100);
    struct frame_peers peers = {buffer_slice(&run)};
    ck_assert_int_eq(put_peers(&frame, &peers), 0);
    ck_assert_uint_le(buffer_len(&frame), CONTROL_FRAME_MAX_PAYLOAD + FRAME_HEADER_BYTES);
    buffer_free(&run);
    buffer_free(&frame);
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, what_we_write_is_what_mage_writes);
    tcase_add_test(cases, a_host_with_curve_adds_its_key);
    tcase_add_test(cases, several_addresses_and_odd_names_are_written);
    tcase_add_test(cases, the_identity_is_in_the_data_and_the_port_in_the_name);
    tcase_add_test(cases, other_games_and_versions_are_ignored);
    tcase_add_loop_test(cases, broken_nodes_get_their_fault, 0, sizeof BROKEN / sizeof *BROKEN);
    tcase_add_test(cases, size_and_depth_are_bounded);
    tcase_add_test(cases, the_first_address_in_our_networks_is_taken);
    tcase_add_test(cases, peers_come_in_order_without_ourselves);
    tcase_add_test(cases, the_newest_of_equal_uris_and_of_equal_ids_wins);
    tcase_add_test(cases, hosts_of_another_version_follow_without_address);
    tcase_add_test(cases, the_run_fits_its_frame);
}

UNIT_MAIN("announcement", add_tests)
