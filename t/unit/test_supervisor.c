#include "fake_children.h"

#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>

#include "codecs/settings.h"
#include "master/supervisor.h"

static struct supervisor *supervisor;
static struct settings settings;
static struct listeners clients, backends;
static char relay_id[128];
static uint16_t relay_port;
static int relays;
static bool serving, stopped;
static char start_failure[512];
static size_t workers_ready;
static bool relay_ready;

static void on_relay(void *context, struct slice cluster_id, uint16_t mmrp_port)
{
    (void)context;
    snprintf(relay_id, sizeof relay_id, "%.*s", (int)cluster_id.len, cluster_id.data);
    relay_port = mmrp_port;
    relays++;
}

static void on_serving(void *context)
{
    (void)context;
    serving = true;
}

static void on_start_failed(void *context, const char *why)
{
    (void)context;
    ck_assert_str_eq(start_failure, "");
    snprintf(start_failure, sizeof start_failure, "%s", why);
    supervisor_stop(supervisor);
}

static void on_change(void *context, size_t ready, bool relay)
{
    (void)context;
    workers_ready = ready;
    relay_ready = relay;
}

static void on_stopped(void *context)
{
    (void)context;
    ck_assert(!stopped);
    stopped = true;
}

static const struct supervisor_handlers HANDLERS = {on_relay, on_serving, on_start_failed,
                                                    on_change, on_stopped};

static bool is_serving(void)
{
    return serving;
}

static bool is_stopped(void)
{
    return stopped;
}

static bool has_second_relay(void)
{
    return relays == 2 && relay_ready;
}

static bool has_second_worker_1(void)
{
    return workers_ready == 2 && fake_log_count("worker", "start slot=1 ") == 2;
}

static bool start_has_failed(void)
{
    return start_failure[0] != '\0';
}

static void setup(void)
{
    char why[LISTENERS_WHY_ROOM], endpoint[128];
    fake_children_setup();
    ck_assert_int_eq(settings_init(&settings), 0);
    snprintf(endpoint, sizeof endpoint, "unix:%s/backend.sock", fake_directory);
    ck_assert_int_eq(listeners_open(&clients, LISTENER_CLIENT, "http://127.0.0.1:0", 2, why), 0);
    ck_assert_int_eq(listeners_open(&backends, LISTENER_BACKEND, endpoint, 2, why), 0);
}

static void start(const char *relay, const char *worker)
{
    setenv("FAKE_RELAY", relay, 1);
    setenv("FAKE_WORKER", worker, 1);
    struct supervisor_plan plan = {.settings = &settings,
                                   .libexec_directory = fake_directory,
                                   .workers = 2,
                                   .listeners = {&clients, &backends}};
    supervisor = supervisor_start(EV_DEFAULT, &plan, &HANDLERS, NULL);
    ck_assert_ptr_nonnull(supervisor);
}

static void teardown(void)
{
    supervisor_stop(supervisor);
    run_until(is_stopped);
    supervisor_free(supervisor);
    listeners_close(&clients);
    listeners_close(&backends);
    settings_free(&settings);
    fake_children_teardown();
}

/* The process that the last log line with `text` speaks of. */
static pid_t pid_of(const char *text)
{
    char line[512];
    long pid = 0;
    FILE *file = fopen(fake_log, "re");
    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof line, file))
        if (strstr(line, text))
            pid = strtol(strstr(line, "pid=") + 4, NULL, 10);
    fclose(file);
    ck_assert_int_gt(pid, 0);
    return (pid_t)pid;
}

START_TEST(all_children_get_what_the_contract_says)
{
    start("ready", "ready");
    run_until(is_serving);
    ck_assert_str_eq(relay_id, "0000000000000000:15001");
    run_until_logged("relay", "start slot=0 ", 1);
    run_until_logged("relay", "link slot=1 ", 1);
    run_until_logged("relay", "link slot=2 ", 1);
    run_until_logged("worker", "link slot=1 ", 1);
    run_until_logged("worker", "listener slot=1 kind=0 name=http://127.0.0.1:", 1);
    run_until_logged("worker", "listener slot=2 kind=1 name=unix:/tmp/", 1);
    ck_assert_int_eq(fake_log_count("inherited", ""), 0);
    supervisor_stop(supervisor);
    supervisor_stop(supervisor);
    run_until(is_stopped);
    ck_assert_int_eq(fake_log_count("stop", ""), 3);
}
END_TEST

START_TEST(a_new_relay_gets_its_port_links_and_peers)
{
    start("ready", "ready");
    run_until(is_serving);
    supervisor_set_peers(supervisor, SLICE_LITERAL("abc"));
    run_until_logged("relay", "peers bytes=7", 1);
    run_until_logged("worker", "link slot=2 ", 1);
    kill(pid_of("relay"), SIGKILL);
    run_until(has_second_relay);
    run_until_logged("relay", "peers bytes=7", 2);
    supervisor_set_peers(supervisor, SLICE_EMPTY);
    run_until_logged("relay", "peers bytes=4", 1);
    run_until_logged("relay", "mmrp_port=15001", 1);
    run_until_logged("relay", "link slot=2 ", 2);
    run_until_logged("worker", "link slot=2 ", 2);
    run_until_logged("worker", "start ", 2);
}
END_TEST

START_TEST(a_new_worker_gets_its_sockets_and_a_link)
{
    start("ready", "ready");
    run_until(is_serving);
    run_until_logged("worker", "listener slot=1 ", 2);
    run_until_logged("relay", "link slot=1 ", 1);
    kill(pid_of("start slot=1 "), SIGKILL);
    run_until(has_second_worker_1);
    run_until_logged("worker", "listener slot=1 ", 4);
    run_until_logged("relay", "link slot=1 ", 2);
    run_until_logged("relay", "link slot=2 ", 1);
}
END_TEST

START_TEST(failure_at_start_is_final)
{
    start("fail", "ready");
    run_until(start_has_failed);
    ck_assert_str_eq(start_failure, "relay-worker: the fake was told to fail");
    run_until(is_stopped);
    ck_assert(!serving);
}
END_TEST

START_TEST(a_worker_that_dies_at_start_is_final_too)
{
    start("ready", "once"); /* the second of them dies */
    run_until(start_has_failed);
    ck_assert_ptr_nonnull(strstr(start_failure, "exited with status 1"));
    run_until(is_stopped);
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, all_children_get_what_the_contract_says);
    tcase_add_test(cases, a_new_relay_gets_its_port_links_and_peers);
    tcase_add_test(cases, a_new_worker_gets_its_sockets_and_a_link);
    tcase_add_test(cases, failure_at_start_is_final);
    tcase_add_test(cases, a_worker_that_dies_at_start_is_final_too);
}

UNIT_MAIN("supervisor", add_tests)
