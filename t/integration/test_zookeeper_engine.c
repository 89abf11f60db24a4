/* Discovery against a real ZooKeeper server, which zookeeper.sh starts, stops, empties and pauses.
 * Without Debian's package zookeeper, these tests are skipped. */
#include "t/unit/unit.h"

#include <ev.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/log.h"
#include "codecs/frame.h"
#include "master/discovery/discovery.h"
#include "master/discovery/zookeeper_session.h"

/* Sessions outlive any pause of a busy machine, but for those that shall expire. */
enum {
    WAIT_LIMIT_MS = 30000,
    SESSION_MS = 30000,
    SHORT_SESSION_MS = 1000,
    PAUSED_SESSION_MS = 4000
};
#define PARENT "/mage/mmrp/tcp"

static char directory[] = "/tmp/msgserver-zookeeper.XXXXXX";
static char log_path[sizeof directory + 16];
static unsigned port;

/* --- the server ------------------------------------------------------------------------------- */

static void server(const char *command, const char *argument)
{
    char line[512];
    const char *source = getenv("srcdir");
    snprintf(line, sizeof line, "exec '%s/t/integration/zookeeper.sh' %s '%s' %s",
             source ? source : ".", command, directory, argument);
    FILE *out = popen(line, "r");
    unsigned told;
    if (out && fscanf(out, "%u", &told) == 1)
        port = told;
    int status = out ? pclose(out) : -1;
    if (status != 0) {
        printf("Bail out! zookeeper.sh %s failed\n", command);
        exit(1);
    }
}

static void server_start(void)
{
    server("start", "");
}

static void server_start_empty(void)
{
    server("wipe", "");
    server("start", "");
}

static void server_stop(void)
{
    server("stop", "");
}

/* --- an observer: a session of its own, in a loop of its own ---------------------------------- */

struct observer {
    struct ev_loop *loop;
    struct zookeeper_session *session;
    zhandle_t *handle;
    bool answered;
    int result;
    struct buffer data;
    int64_t owner;
    char **names;
    int name_count;
};

static struct observer observer;

static void observer_up(void *context, zhandle_t *handle, bool fresh)
{
    (void)context, (void)fresh;
    observer.handle = handle;
}

static void observer_down(void *context)
{
    (void)context;
    observer.handle = NULL;
}

static void wake(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)timer, (void)events;
}

/* Runs a loop until `*flag` or `condition` holds; tells whether it did in time. */
static bool run_until(struct ev_loop *loop, bool (*condition)(void *), void *context,
                      uint64_t limit_ms)
{
    uint64_t end = clock_monotonic_ms() + limit_ms;
    ev_timer tick;
    ev_timer_init(&tick, wake, 0.01, 0.01);
    ev_timer_start(loop, &tick);
    bool holds;
    while (!(holds = condition(context)) && clock_monotonic_ms() < end)
        ev_run(loop, EVRUN_ONCE);
    ev_timer_stop(loop, &tick);
    return holds;
}

static bool observer_is_up(void *context)
{
    (void)context;
    return observer.handle != NULL;
}

static bool observer_has_answer(void *context)
{
    (void)context;
    return observer.answered;
}

static void observe_data(int result, const char *value, int len, const struct Stat *stat,
                         const void *context)
{
    (void)context;
    observer.answered = true;
    observer.result = result;
    buffer_free(&observer.data);
    if (result != ZOK)
        return;
    observer.owner = stat->ephemeralOwner;
    buffer_append(&observer.data, value, len > 0 ? (size_t)len : 0);
}

static void observe_names(int result, const struct String_vector *names, const void *context)
{
    (void)context;
    observer.answered = true;
    observer.result = result;
    observer.names = NULL;
    observer.name_count = 0;
    if (result != ZOK)
        return;
    observer.names = calloc((size_t)names->count + 1, sizeof *observer.names);
    for (int i = 0; i < names->count; i++)
        observer.names[observer.name_count++] = strdup(names->data[i]);
}

static void observe_created(int result, const char *path, const void *context)
{
    (void)path, (void)context;
    observer.answered = true;
    observer.result = result;
}

static void observe_done(int result, const void *context)
{
    (void)context;
    observer.answered = true;
    observer.result = result;
}

enum request { GET, LIST, CREATE, DELETE };

/* Asks until there is an answer: a connection may be lost in between. */
static int ask(enum request request, const char *path, const char *data, int len)
{
    do {
        ck_assert(run_until(observer.loop, observer_is_up, NULL, WAIT_LIMIT_MS));
        observer.answered = false;
        int result = ZOK;
        if (request == GET)
            result = zoo_aget(observer.handle, path, 0, observe_data, NULL);
        else if (request == LIST)
            result = zoo_aget_children(observer.handle, path, 0, observe_names, NULL);
        else if (request == CREATE)
            result = zoo_acreate(observer.handle, path, data, len, &ZOO_OPEN_ACL_UNSAFE, 0,
                                 observe_created, NULL);
        else
            result = zoo_adelete(observer.handle, path, -1, observe_done, NULL);
        zookeeper_session_flush(observer.session);
        ck_assert_int_eq(result, ZOK);
        ck_assert(run_until(observer.loop, observer_has_answer, NULL, WAIT_LIMIT_MS));
    } while (zookeeper_is_away(observer.result));
    return observer.result;
}

static const char *path_of(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, PARENT "/%s", name);
    return path;
}

static bool node_exists(void *name)
{
    return ask(GET, path_of(name), NULL, 0) == ZOK;
}

static bool node_is_gone(void *name)
{
    return !node_exists(name);
}

static void put_node(const char *name, const char *data)
{
    ck_assert_int_eq(ask(CREATE, path_of(name), data, data ? (int)strlen(data) : -1), ZOK);
}

static void delete_all_nodes(void)
{
    if (ask(LIST, PARENT, NULL, 0) != ZOK)
        return;
    for (int i = 0; i < observer.name_count; i++) {
        ask(DELETE, path_of(observer.names[i]), NULL, 0);
        free(observer.names[i]);
    }
    free(observer.names);
}

/* --- hosts: discovery as the master uses it --------------------------------------------------- */

struct host {
    struct settings settings;
    char id[64];
    struct discovery *discovery;
    char peers[2048]; /* "id=uri id=uri " */
    unsigned changes;
    unsigned foreigners; /* hosts of other games and versions, told of without address */
    bool withdrawn;
    const char *wanted;
};

static struct ev_loop *loop;

static void on_peers(void *context, struct slice run)
{
    struct host *host = context;
    struct frame_reader reader = reader_of(run);
    size_t len = 0;
    host->changes++;
    host->foreigners = 0;
    host->peers[0] = '\0';
    while (reader_left(&reader) > 0) {
        struct slice id = get_slice(&reader), uri = get_slice(&reader);
        get_slice(&reader); /* its public key */
        if (uri.len == 0)
            host->foreigners++;
        else
            len += (size_t)snprintf(host->peers + len, sizeof host->peers - len, "%.*s=%.*s ",
                                    (int)id.len, id.data, (int)uri.len, uri.data);
    }
    ck_assert_int_eq(reader_finish(&reader), 0);
    ck_assert(slice_equal(discovery_peers(host->discovery), run));
}

static void on_withdrawn(void *context)
{
    struct host *host = context;
    ck_assert(!host->withdrawn);
    host->withdrawn = true;
}

static const struct discovery_handlers HANDLERS = {on_peers, on_withdrawn};

static void set(struct host *host, const char *key, const char *value)
{
    ck_assert_int_eq(setting_set(&host->settings, setting_row_find(key), slice_from_string(value)),
                     0);
}

static void host_configure(struct host *host, const char *id, const char *ip,
                           const char *server_host)
{
    char hosts[128];
    memset(host, 0, sizeof *host);
    ck_assert_int_eq(settings_init(&host->settings), 0);
    snprintf(hosts, sizeof hosts, "%s:%u", server_host, port);
    snprintf(host->id, sizeof host->id, "%s", id);
    set(host, "server.serviceName", "my-game");
    set(host, "server.serviceVersion", "1.0.0");
    set(host, "server.mmrp.advertise", ip);
    set(host, "server.serviceDiscovery.engine", "zookeeper");
    set(host, "server.serviceDiscovery.options.hosts", hosts);
    host->settings.zookeeper_session_timeout = SESSION_MS;
}

static void host_run(struct host *host)
{
    host->discovery =
        discovery_start(loop, &host->settings, slice_from_string(host->id), &HANDLERS, host);
    ck_assert_ptr_nonnull(host->discovery);
    discovery_announce(host->discovery);
    discovery_announce(host->discovery);
}

static void host_start(struct host *host, const char *id, const char *ip)
{
    host_configure(host, id, ip, "127.0.0.1");
    host_run(host);
}

static bool host_is_withdrawn(void *context)
{
    return ((struct host *)context)->withdrawn;
}

static void host_stop(struct host *host)
{
    discovery_withdraw(host->discovery);
    ck_assert(run_until(loop, host_is_withdrawn, host, 3000));
    discovery_stop(host->discovery);
    settings_free(&host->settings);
}

static bool peers_are_wanted(void *context)
{
    const struct host *host = context;
    return strcmp(host->peers, host->wanted) == 0;
}

static bool has_two_foreigners(void *context)
{
    return ((struct host *)context)->foreigners == 2;
}

static void wait_for_peers(struct host *host, const char *wanted)
{
    host->wanted = wanted;
    ck_assert_msg(run_until(loop, peers_are_wanted, host, WAIT_LIMIT_MS),
                  "%s has peers \"%s\" instead of \"%s\"", host->id, host->peers, wanted);
}

static void wait_for_node(const char *name)
{
    ck_assert(run_until(loop, node_exists, (void *)name, WAIT_LIMIT_MS));
}

static unsigned lines_with(const char *text)
{
    char line[4096];
    unsigned count = 0;
    FILE *file = fopen(log_path, "r");
    while (file && fgets(line, sizeof line, file))
        count += strstr(line, text) != NULL;
    if (file)
        fclose(file);
    return count;
}

struct log_wait {
    const char *text;
    unsigned count;
};

static bool is_logged(void *context)
{
    const struct log_wait *wait = context;
    return lines_with(wait->text) >= wait->count;
}

static void wait_for_log(const char *text, unsigned count)
{
    struct log_wait wait = {text, count};
    ck_assert_msg(run_until(loop, is_logged, &wait, WAIT_LIMIT_MS), "no %u lines \"%s\"", count,
                  text);
}

static const struct zookeeper_session_handlers OBSERVER_HANDLERS = {observer_up, observer_down};

static void setup(void)
{
    char hosts[64];
    server_start();
    snprintf(hosts, sizeof hosts, "127.0.0.1:%u", port);
    loop = ev_loop_new(EVFLAG_AUTO);
    observer.loop = ev_loop_new(EVFLAG_AUTO);
    observer.session =
        zookeeper_session_open(observer.loop, hosts, SESSION_MS, &OBSERVER_HANDLERS, NULL);
    ck_assert_ptr_nonnull(observer.session);
    delete_all_nodes();
    /* What the engine logs is looked at; the observer's lines are in it too until here. */
    ck_assert_ptr_nonnull(freopen(log_path, "w", stderr));
    setvbuf(stderr, NULL, _IONBF, 0);
}

static void teardown(void)
{
    zookeeper_session_close(observer.session);
    buffer_free(&observer.data);
    ev_loop_destroy(observer.loop);
    ev_loop_destroy(loop);
}

/* --- scenarios -------------------------------------------------------------------------------- */

START_TEST(a_host_announces_itself_as_mage_does)
{
    struct host a;
    uint64_t before = clock_wall_ms();
    host_start(&a, "e2dd6de0a6166a3f:15001", "10.77.0.1");
    uint64_t after = clock_wall_ms();
    wait_for_node(a.id);
    static const char HEAD[] = "{\"ips\":[\"10.77.0.1\"],\"data\":{\"game\":\"my-game\","
                               "\"version\":\"1.0.0\",\"clusterId\":\"e2dd6de0a6166a3f:15001\","
                               "\"timestamp\":";
    struct slice data = buffer_slice(&observer.data);
    ck_assert(slice_starts_with(data, HEAD));
    unsigned long long timestamp;
    char end[3] = "";
    buffer_append(&observer.data, "", 1);
    ck_assert_int_eq(
        sscanf(buffer_bytes(&observer.data) + sizeof HEAD - 1, "%llu%2s", &timestamp, end), 2);
    ck_assert(timestamp >= before && timestamp <= after);
    ck_assert_str_eq(end, "}}");
    ck_assert_int_ne(observer.owner, 0);
    wait_for_log("event=announced", 1);

    host_stop(&a);
    ck_assert(node_is_gone((void *)"e2dd6de0a6166a3f:15001"));
    ck_assert_uint_eq(lines_with("event=announced"), 1);
    ck_assert_uint_eq(lines_with("event=zookeeper-away"), 0);
}
END_TEST

START_TEST(hosts_see_each_other_come_and_go)
{
    struct host a, b, c;
    host_start(&a, "a:1", "10.77.0.1");
    host_start(&b, "b:2", "10.77.0.2");
    wait_for_peers(&a, "b:2=tcp://10.77.0.2:2 ");
    wait_for_peers(&b, "a:1=tcp://10.77.0.1:1 ");
    host_start(&c, "c:3", "10.77.0.3");
    wait_for_peers(&c, "a:1=tcp://10.77.0.1:1 b:2=tcp://10.77.0.2:2 ");
    wait_for_peers(&a, "b:2=tcp://10.77.0.2:2 c:3=tcp://10.77.0.3:3 ");
    host_stop(&b);
    wait_for_peers(&a, "c:3=tcp://10.77.0.3:3 ");
    host_stop(&c);
    wait_for_peers(&a, "");
    host_stop(&a);
}
END_TEST

START_TEST(other_clusters_and_broken_nodes_are_ignored)
{
    struct host a, other_game, other_version;
    host_configure(&other_game, "g:1", "10.77.0.2", "127.0.0.1");
    set(&other_game, "server.serviceName", "your-game");
    host_run(&other_game);
    host_configure(&other_version, "v:1", "10.77.0.3", "127.0.0.1");
    set(&other_version, "server.serviceVersion", "1.0.1");
    host_run(&other_version);
    wait_for_node("g:1");
    wait_for_node("v:1");
    put_node("garbage:1", "not JSON");
    put_node("null:1", "null");
    put_node("empty:1", "");
    put_node("nothing:1", NULL);
    put_node("no-port", "{}");
    put_node("ips:1", "{\"ips\":[1],\"data\":{\"game\":\"my-game\",\"version\":\"1.0.0\","
                      "\"clusterId\":\"x\",\"timestamp\":1}}");
    char *huge = malloc(200001);
    memset(huge, '[', 200000);
    huge[200000] = '\0';
    put_node("huge:1", huge);
    free(huge);
    put_node("real:9", "{\"ips\":[\"10.77.0.9\"],\"data\":{\"game\":\"my-game\",\"version\":"
                       "\"1.0.0\",\"clusterId\":\"real:9\",\"timestamp\":1}}");
    host_start(&a, "a:1", "10.77.0.1");
    wait_for_peers(&a, "real:9=tcp://10.77.0.9:9 ");
    ck_assert(run_until(loop, has_two_foreigners, &a, WAIT_LIMIT_MS));
    wait_for_node("a:1");
    wait_for_log("event=peer-ignored node=\"null:1\"", 3); /* one per host */
    wait_for_log("event=peer-ignored node=\"huge:1\"", 3);
    ck_assert_uint_eq(lines_with("event=peer-ignored node=\"null:1\""), 3);
    ck_assert_str_eq(other_game.peers, "");
    ck_assert_str_eq(other_version.peers, "");
    host_stop(&other_game);
    host_stop(&other_version);
    host_stop(&a);
}
END_TEST

START_TEST(a_node_that_comes_back_with_other_data_is_read_again)
{
    struct host a;
    static const char OLD[] = "{\"ips\":[\"10.77.0.8\"],\"data\":{\"game\":\"my-game\",\"version\":"
                              "\"1.0.0\",\"clusterId\":\"x:5\",\"timestamp\":1}}";
    static const char NEW[] = "{\"ips\":[\"10.77.0.9\"],\"data\":{\"game\":\"my-game\",\"version\":"
                              "\"1.0.0\",\"clusterId\":\"x:5\",\"timestamp\":2}}";
    host_start(&a, "a:1", "10.77.0.1");
    wait_for_node("a:1");
    put_node("x:5", OLD);
    wait_for_peers(&a, "x:5=tcp://10.77.0.8:5 ");
    /* The loop of `a` does not run in between: it sees the children as they were. */
    ck_assert_int_eq(ask(DELETE, path_of("x:5"), NULL, 0), ZOK);
    put_node("x:5", NEW);
    wait_for_peers(&a, "x:5=tcp://10.77.0.9:5 ");
    host_stop(&a);
}
END_TEST

START_TEST(an_old_node_of_ours_is_replaced_and_a_deleted_one_comes_back)
{
    struct host a;
    put_node("placeholder:1", "");
    put_node("a:1", "of an earlier process");
    host_start(&a, "a:1", "10.77.0.1");
    wait_for_log("event=announced", 1);
    ck_assert(node_exists((void *)"a:1"));
    ck_assert(slice_starts_with(buffer_slice(&observer.data), "{\"ips\":[\"10.77.0.1\"]"));
    ck_assert_int_ne(observer.owner, 0);
    ck_assert_int_eq(ask(DELETE, path_of("a:1"), NULL, 0), ZOK);
    wait_for_node("a:1");
    host_stop(&a);
}
END_TEST

START_TEST(a_server_that_comes_back_empty_gets_the_node_again)
{
    struct host a, b;
    host_start(&a, "a:1", "10.77.0.1");
    host_start(&b, "b:2", "10.77.0.2");
    wait_for_peers(&a, "b:2=tcp://10.77.0.2:2 ");
    wait_for_peers(&b, "a:1=tcp://10.77.0.1:1 ");
    /* So that its transactions are well ahead of those of an empty server. */
    for (int i = 0; i < 50; i++)
        put_node("more:1", ""), ask(DELETE, path_of("more:1"), NULL, 0);
    wait_for_peers(&a, "b:2=tcp://10.77.0.2:2 ");
    unsigned changes = a.changes;

    server_stop();
    wait_for_log("event=zookeeper-away", 2);
    ck_assert_uint_eq(a.changes, changes);
    ck_assert_str_eq(a.peers, "b:2=tcp://10.77.0.2:2 ");

    server_start_empty();
    wait_for_node("a:1");
    wait_for_node("b:2");
    wait_for_peers(&a, "b:2=tcp://10.77.0.2:2 ");
    wait_for_peers(&b, "a:1=tcp://10.77.0.1:1 ");
    wait_for_log("event=zookeeper-back", 2);
    host_stop(&a);
    host_stop(&b);
}
END_TEST

START_TEST(a_server_that_comes_back_with_its_data_changes_nothing)
{
    struct host a, b;
    host_start(&a, "a:1", "10.77.0.1");
    host_start(&b, "b:2", "10.77.0.2");
    wait_for_peers(&a, "b:2=tcp://10.77.0.2:2 ");
    wait_for_peers(&b, "a:1=tcp://10.77.0.1:1 ");
    wait_for_node("a:1");
    int64_t owner = observer.owner;
    unsigned changes = a.changes;
    server_stop();
    wait_for_log("event=zookeeper-away", 2);
    server_start();
    wait_for_log("event=zookeeper-back", 2);
    wait_for_node("a:1");
    ck_assert_int_eq(observer.owner, owner);
    ck_assert_uint_eq(a.changes, changes);
    host_stop(&a);
    host_stop(&b);
}
END_TEST

START_TEST(an_expired_session_registers_anew)
{
    struct host a;
    host_configure(&a, "a:1", "10.77.0.1", "127.0.0.1");
    a.settings.zookeeper_session_timeout = SHORT_SESSION_MS;
    host_run(&a);
    put_node("real:9", "{\"ips\":[\"10.77.0.9\"],\"data\":{\"game\":\"my-game\",\"version\":"
                       "\"1.0.0\",\"clusterId\":\"real:9\",\"timestamp\":1}}");
    wait_for_peers(&a, "real:9=tcp://10.77.0.9:9 ");
    wait_for_node("a:1");
    int64_t owner = observer.owner;
    unsigned changes = a.changes;
    /* The loop of `a` stands still, so the server gives its session up. */
    ck_assert(run_until(observer.loop, node_is_gone, (void *)"a:1", WAIT_LIMIT_MS));
    wait_for_node("a:1");
    ck_assert_int_ne(observer.owner, owner);
    /* Watches are there again, and known peers were not dropped meanwhile. */
    ck_assert_uint_eq(a.changes, changes);
    ck_assert_int_eq(ask(DELETE, path_of("real:9"), NULL, 0), ZOK);
    wait_for_peers(&a, "");
    host_stop(&a);
}
END_TEST

START_TEST(a_server_that_is_not_there_yet_is_waited_for)
{
    struct host a;
    server_stop();
    log_set_levels(~0u);
    host_start(&a, "a:1", "10.77.0.1");
    wait_for_log("event=zookeeper-client", 3); /* the client complains at each attempt, we do not */
    ck_assert_uint_eq(lines_with("event=zookeeper-away"), 1);
    server_start_empty();
    wait_for_log("event=zookeeper-back", 1);
    wait_for_node("a:1");
    host_stop(&a);
}
END_TEST

START_TEST(a_server_that_does_not_answer_holds_no_stop_up)
{
    struct host a;
    host_configure(&a, "a:1", "10.77.0.1", "127.0.0.1");
    a.settings.zookeeper_session_timeout = PAUSED_SESSION_MS;
    host_run(&a);
    wait_for_log("event=announced", 1);
    server("pause", "");
    uint64_t begin = clock_monotonic_ms();
    /* As in a callback, where the master calls it; the loop stood still during the pause command.
     */
    ev_now_update(loop);
    host_stop(&a);
    uint64_t took = clock_monotonic_ms() - begin;
    server("resume", "");
    ck_assert_uint_ge(took + 1, DISCOVERY_WITHDRAW_LIMIT_MS); /* begin and end are cut to ms */
    ck_assert_uint_lt(took, PAUSED_SESSION_MS);
    ck_assert(run_until(observer.loop, node_is_gone, (void *)"a:1", WAIT_LIMIT_MS));
}
END_TEST

START_TEST(host_names_are_looked_up_beside_the_loop)
{
    struct host a, b;
    host_configure(&a, "a:1", "10.77.0.1", "localhost");
    host_run(&a);
    wait_for_node("a:1");
    host_configure(&b, "b:2", "10.77.0.2", "no-such-host.invalid");
    host_run(&b);
    wait_for_log("why=\"no address is known for these hosts\"", 1);
    host_stop(&b);
    host_stop(&a);
}
END_TEST

START_TEST(single_has_no_peers_and_withdraws_at_once)
{
    struct host a;
    host_configure(&a, "a:1", "10.77.0.1", "127.0.0.1");
    set(&a, "server.serviceDiscovery.engine", "single");
    host_run(&a);
    ck_assert_uint_eq(discovery_peers(a.discovery).len, 0);
    discovery_withdraw(a.discovery);
    ev_run(loop, EVRUN_NOWAIT);
    ck_assert(a.withdrawn);
    discovery_stop(a.discovery);
    ck_assert_uint_eq(a.changes, 0);
    ck_assert_ptr_null(discovery_start(loop, &a.settings, SLICE_LITERAL("no-port"), &HANDLERS, &a));
    settings_free(&a.settings);
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_set_timeout(cases, 120);
    tcase_add_test(cases, a_host_announces_itself_as_mage_does);
    tcase_add_test(cases, hosts_see_each_other_come_and_go);
    tcase_add_test(cases, other_clusters_and_broken_nodes_are_ignored);
    tcase_add_test(cases, a_node_that_comes_back_with_other_data_is_read_again);
    tcase_add_test(cases, an_old_node_of_ours_is_replaced_and_a_deleted_one_comes_back);
    tcase_add_test(cases, a_server_that_comes_back_empty_gets_the_node_again);
    tcase_add_test(cases, a_server_that_comes_back_with_its_data_changes_nothing);
    tcase_add_test(cases, an_expired_session_registers_anew);
    tcase_add_test(cases, a_server_that_is_not_there_yet_is_waited_for);
    tcase_add_test(cases, a_server_that_does_not_answer_holds_no_stop_up);
    tcase_add_test(cases, host_names_are_looked_up_beside_the_loop);
    tcase_add_test(cases, single_has_no_peers_and_withdraws_at_once);
}

int main(void)
{
    if (access("/usr/share/java/zookeeper.jar", R_OK) != 0) {
        printf("1..0 # SKIP zookeeper is not installed\n");
        return EXIT_SUCCESS;
    }
    signal(SIGPIPE, SIG_IGN);
    if (!mkdtemp(directory))
        return EXIT_FAILURE;
    snprintf(log_path, sizeof log_path, "%s/engine.log", directory);
    char number[16];
    snprintf(number, sizeof number, "%d", (int)getpid());
    setenv("OWNER_PID", number, 1);
    snprintf(number, sizeof number, "%d", SESSION_MS);
    setenv("MAX_SESSION_MS", number, 1);
    server_start();
    int result = unit_run("zookeeper_engine", add_tests);
    server_stop();
    char line[128];
    snprintf(line, sizeof line, "rm -rf '%s'", directory);
    return system(line) == 0 ? result : EXIT_FAILURE;
}
