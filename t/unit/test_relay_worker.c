/* The relay-worker binary, as the master starts it (io/child_contract.h). */
#include "unit.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "codecs/requests.h"
#include "codecs/settings.h"
#include "io/child_contract.h"
#include "io/control_channel.h"
#include "io/data_channel.h"

static struct ev_loop *loop;
static struct control_channel *control;
static struct data_channel *data;
static pid_t pid;
static char cluster_id[64];
static uint16_t mmrp_port;
static char failure[256];
static uint8_t outcome;
static bool lost;

static void on_control_frame(void *context, uint16_t type, struct slice payload, int fd)
{
    (void)context;
    ck_assert_int_eq(fd, -1);
    struct frame_ready ready;
    struct frame_failed failed;
    if (type == FRAME_READY) {
        ck_assert_int_eq(get_ready(payload, &ready), 0);
        memcpy(cluster_id, ready.cluster_id.data, ready.cluster_id.len);
        mmrp_port = ready.mmrp_port;
    } else {
        ck_assert_int_eq(get_failed(payload, &failed), 0);
        memcpy(failure, failed.why.data, failed.why.len);
    }
}

static void on_lost(void *context)
{
    (void)context;
    lost = true;
}

static const struct control_channel_handlers CONTROL_HANDLERS = {on_control_frame, on_lost};

static void start(const char *port)
{
    int ends[2];
    struct settings settings;
    struct buffer encoded = {0}, frame = {0};
    ck_assert_int_eq(control_channel_pair(ends), 0);
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        if (ends[1] == CHILD_CONTROL_FD)
            fcntl(ends[1], F_SETFD, 0);
        else
            dup2(ends[1], CHILD_CONTROL_FD);
        execl("./relay-worker", "relay-worker", (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    loop = ev_loop_new(EVFLAG_AUTO);
    control = control_channel_open(loop, ends[0], CHILD_TO_MASTER, &CONTROL_HANDLERS, NULL);
    ck_assert_int_eq(settings_init(&settings), 0);
    setting_set(&settings, setting_row_find("server.store.engine"), SLICE_LITERAL("memory"));
    if (port) {
        setting_set(&settings, setting_row_find("server.mmrp.bind.host"),
                    SLICE_LITERAL("127.0.0.1"));
        setting_set(&settings, setting_row_find("server.mmrp.bind.port"), slice_from_string(port));
    }
    ck_assert_int_eq(settings_encode(&settings, &encoded), 0);
    struct frame_start order = {.incarnation = 1, .settings = buffer_slice(&encoded)};
    ck_assert_int_eq(put_start(&frame, &order), 0);
    ck_assert_int_eq(control_channel_send(control, &frame, -1), 0);
    settings_free(&settings);
    buffer_free(&encoded);
}

static void on_timeout(struct ev_loop *running, ev_timer *timer, int events)
{
    (void)running;
    (void)timer;
    (void)events;
    ck_abort_msg("the relay worker did not answer in time");
}

#define WAIT_UNTIL(condition)                                                                      \
    do {                                                                                           \
        ev_timer limit_;                                                                           \
        ev_timer_init(&limit_, on_timeout, 20.0, 0.0);                                             \
        ev_timer_start(loop, &limit_);                                                             \
        while (!(condition))                                                                       \
            ev_run(loop, EVRUN_ONCE);                                                              \
        ev_timer_stop(loop, &limit_);                                                              \
    } while (0)

/* The exit status. */
static int finish(void)
{
    int status;
    WAIT_UNTIL(lost);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status));
    control_channel_close(control);
    ev_loop_destroy(loop);
    return WEXITSTATUS(status);
}

static void stop(void)
{
    struct buffer frame = {0};
    struct frame_stop order = {.limit_ms = CHILD_STOP_LIMIT_MS};
    put_stop(&frame, &order);
    ck_assert_int_eq(control_channel_send(control, &frame, -1), 0);
}

static void on_data_frame(void *context, uint16_t type, struct slice payload)
{
    (void)context;
    struct frame_reply reply;
    struct frame_session session;
    ck_assert_int_eq(type, FRAME_REPLY);
    ck_assert_int_eq(get_reply(payload, &reply), 0);
    ck_assert_int_eq(get_session(reply.payload, &session), 0);
    ck_assert_slice_eq(session.home, cluster_id);
    outcome = session.outcome;
}

static void on_data_lost(void *context)
{
    (void)context;
}

static const struct data_channel_handlers DATA_HANDLERS = {on_data_frame, on_data_lost, NULL};

static void link_worker(uint32_t incarnation)
{
    int ends[2];
    struct buffer frame = {0};
    struct frame_link order = {.slot = 1, .incarnation = incarnation};
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    put_link(&frame, &order);
    ck_assert_int_eq(control_channel_send(control, &frame, ends[1]), 0);
    close(ends[1]);
    data = data_channel_open(loop, ends[0], RELAY_TO_WORKER, &DATA_HANDLERS, NULL);
}

static void create_session(const char *actor)
{
    struct buffer payload = {0};
    struct frame_create_session create = {.actor = slice_from_string(actor)};
    put_create_session_fields(&payload, &create);
    struct frame_request request = {
        .request = 1, .operation = FRAME_CREATE_SESSION, .payload = buffer_slice(&payload)};
    outcome = UINT8_MAX;
    put_request(data_channel_out(data), &request);
    data_channel_wrote(data);
    buffer_free(&payload);
    WAIT_UNTIL(outcome != UINT8_MAX);
}

START_TEST(a_relay_gets_ready_serves_and_stops)
{
    start(NULL);
    WAIT_UNTIL(cluster_id[0]);
    ck_assert_uint_eq(mmrp_port, 0);
    link_worker(5);
    create_session("bob");
    ck_assert_uint_eq(outcome, OUTCOME_QUEUED);
    /* The whole process tree is signalled; only the master decides. */
    kill(pid, SIGTERM);
    kill(pid, SIGINT);
    kill(pid, SIGHUP);
    data_channel_close(data);
    link_worker(6);
    create_session("ann");
    ck_assert_uint_eq(outcome, OUTCOME_QUEUED);
    stop();
    ck_assert_int_eq(finish(), EXIT_OK);
    data_channel_close(data);
}
END_TEST

START_TEST(a_mesh_has_a_port_and_ends_in_time)
{
    start("*");
    WAIT_UNTIL(cluster_id[0]);
    ck_assert_uint_gt(mmrp_port, 0);
    uint64_t before = clock_monotonic_ms();
    stop();
    ck_assert_int_eq(finish(), EXIT_OK);
    ck_assert_uint_lt(clock_monotonic_ms() - before, CHILD_STOP_LIMIT_MS);
}
END_TEST

START_TEST(a_port_that_is_taken_is_told)
{
    int taken = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof address;
    char port[8];
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(bind(taken, (struct sockaddr *)&address, len), 0);
    ck_assert_int_eq(listen(taken, 1), 0);
    ck_assert_int_eq(getsockname(taken, (struct sockaddr *)&address, &len), 0);
    snprintf(port, sizeof port, "%u", ntohs(address.sin_port));
    start(port);
    ck_assert_int_eq(finish(), EXIT_UNAVAILABLE);
    ck_assert_msg(strstr(failure, port) != NULL, "%s", failure);
    close(taken);
}
END_TEST

START_TEST(without_its_master_a_relay_ends)
{
    int status;
    start(NULL);
    WAIT_UNTIL(cluster_id[0]);
    control_channel_close(control);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_OK);
    ev_loop_destroy(loop);
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, a_relay_gets_ready_serves_and_stops);
    tcase_add_test(cases, a_mesh_has_a_port_and_ends_in_time);
    tcase_add_test(cases, a_port_that_is_taken_is_told);
    tcase_add_test(cases, without_its_master_a_relay_ends);
}

UNIT_MAIN("relay_worker", add_tests)
