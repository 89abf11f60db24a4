#include <poll.h>
#include <time.h>

#include "mesh_fixture.h"
#include "workers/relay/mesh/multipart.h"
#include "workers/relay/mesh/zmq_watcher.h"

enum { BURST = 500 };

/* A pair of sockets in this process: what one sends is at the other before the call returns. */
struct line {
    void *near; /* watched */
    void *far;
    struct zmq_watcher watcher;
    struct multipart in;
    unsigned per_call; /* messages that one on_ready() takes */
    unsigned calls;
    unsigned received;
    int events; /* of the last call */
    struct line *to_end;
};

static void *context;
static struct line a, b;

static void on_ready(void *at, int events)
{
    struct line *line = at;
    line->calls++;
    line->events = events;
    for (unsigned i = 0; i < line->per_call && multipart_receive(&line->in, line->near) == 1; i++)
        line->received++;
    if (line->to_end) {
        zmq_watcher_stop(&line->to_end->watcher);
        memset(&line->to_end->watcher, 0xa5, sizeof line->to_end->watcher);
    }
}

static void *pair(int high_water)
{
    int none = 0;
    void *socket = zmq_socket(context, ZMQ_PAIR);
    ck_assert_ptr_nonnull(socket);
    zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof none);
    zmq_setsockopt(socket, ZMQ_SNDHWM, &high_water, sizeof high_water);
    zmq_setsockopt(socket, ZMQ_RCVHWM, &high_water, sizeof high_water);
    return socket;
}

static void line_open(struct line *line, const char *name, unsigned per_call)
{
    if (!loop)
        loop = ev_loop_new(EVFLAG_AUTO);
    if (!context)
        context = zmq_ctx_new();
    *line = (struct line){.near = pair(BURST), .far = pair(BURST), .per_call = per_call};
    ck_assert_int_eq(zmq_bind(line->near, name), 0);
    ck_assert_int_eq(zmq_connect(line->far, name), 0);
    ck_assert_int_eq(zmq_watcher_start(&line->watcher, loop, line->near, on_ready, line), 0);
    run_for(5);
    ck_assert_uint_eq(line->calls, 0);
}

static void line_close(struct line *line)
{
    zmq_watcher_stop(&line->watcher);
    multipart_clear(&line->in);
    free(line->in.frames);
    zmq_close(line->near);
    zmq_close(line->far);
}

static void end(void)
{
    ck_assert_int_eq(ev_run(loop, EVRUN_NOWAIT), 0); /* no watcher is left */
    zmq_ctx_term(context);
    ev_loop_destroy(loop);
}

static bool fires(const struct line *line)
{
    int fd = -1;
    size_t len = sizeof fd;
    ck_assert_int_eq(zmq_getsockopt(line->near, ZMQ_FD, &fd, &len), 0);
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    return poll(&poll_fd, 1, 0) == 1;
}

/* Longer than libzmq leaves commands alone to spare time (about 1 ms). */
static void let_libzmq_look_again(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
}

static void far_sends(struct line *line, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        ck_assert_int_eq(zmq_send(line->far, "x", 1, 0), 1);
}

static enum multipart_sent near_sends(struct line *line)
{
    struct slice body = SLICE_LITERAL("y");
    struct envelope envelope = {.route = {SLICE_LITERAL("A")},
                                .route_len = 1,
                                .messages = &body,
                                .message_count = 1,
                                .type = ENVELOPE_SEND,
                                .type_name = slice_from_string(envelope_type_name(ENVELOPE_SEND))};
    struct multipart *multipart = multipart_from_envelope(&envelope);
    ck_assert_ptr_nonnull(multipart);
    enum multipart_sent sent = multipart_send(multipart, line->near);
    multipart_free(multipart);
    return sent;
}

START_TEST(a_burst_is_seen_to_its_end)
{
    line_open(&a, "inproc://a", 1);
    far_sends(&a, BURST);
    WAIT_FOR(a.received == BURST);
    ck_assert_uint_ge(a.calls, BURST); /* a bounded batch each */
    line_close(&a);
    end();
}
END_TEST

START_TEST(an_edge_that_a_send_swallowed_is_not_missed)
{
    line_open(&a, "inproc://a", 10);
    far_sends(&a, 3);
    ck_assert(fires(&a));
    let_libzmq_look_again();
    ck_assert_int_eq(near_sends(&a), MULTIPART_SENT);
    ck_assert(!fires(&a));
    WAIT_FOR(a.received == 3);
    line_close(&a);
    end();
}
END_TEST

START_TEST(an_edge_that_a_receive_swallowed_is_not_missed)
{
    line_open(&a, "inproc://a", 10);
    far_sends(&a, 3);
    let_libzmq_look_again();
    zmq_watcher_used(a.near);
    ck_assert_int_eq(multipart_receive(&a.in, a.near), 1);
    ck_assert(!fires(&a));
    WAIT_FOR(a.received == 2);
    line_close(&a);
    end();
}
END_TEST

static void send_before_blocking(struct ev_loop *at, ev_prepare *prepare, int events)
{
    (void)events;
    ev_prepare_stop(at, prepare);
    far_sends(&a, 3);
    let_libzmq_look_again();
    ck_assert_int_eq(near_sends(&a), MULTIPART_SENT);
    ck_assert(!fires(&a));
}

/* Whichever of the prepare watchers comes first. */
START_TEST(an_edge_that_is_swallowed_just_before_blocking_is_not_missed)
{
    ev_prepare before;
    ev_prepare_init(&before, send_before_blocking);
    ev_set_priority(&before, _i ? EV_MAXPRI : EV_MINPRI);
    line_open(&a, "inproc://a", 10);
    line_open(&b, "inproc://b", 10);
    ev_prepare_start(loop, &before);
    WAIT_FOR(a.received == 3);
    line_close(&a);
    ck_assert_uint_eq(b.calls, 0);
    line_close(&b);
    end();
}
END_TEST

START_TEST(what_is_ready_and_was_not_wanted_is_told_when_it_is)
{
    line_open(&a, "inproc://a", 10);
    run_for(5);
    ck_assert_uint_eq(a.calls, 0);
    zmq_watcher_want(&a.watcher, ZMQ_POLLIN | ZMQ_POLLOUT);
    WAIT_FOR(a.calls > 0);
    ck_assert_int_eq(a.events, ZMQ_POLLOUT);
    zmq_watcher_want(&a.watcher, ZMQ_POLLIN);
    unsigned calls = a.calls;
    run_for(5);
    ck_assert_uint_eq(a.calls, calls);
    line_close(&a);
    end();
}
END_TEST

START_TEST(room_at_a_full_socket_is_told)
{
    line_open(&a, "inproc://a", 10);
    while (near_sends(&a) == MULTIPART_SENT)
        continue;
    zmq_watcher_want(&a.watcher, ZMQ_POLLIN | ZMQ_POLLOUT);
    run_for(5);
    ck_assert_uint_eq(a.calls, 0);
    while (multipart_receive(&a.in, a.far) == 1)
        continue;
    WAIT_FOR(a.calls > 0);
    ck_assert_int_eq(a.events, ZMQ_POLLOUT);
    line_close(&a);
    end();
}
END_TEST

START_TEST(one_that_is_ready_may_end_itself_or_another)
{
    line_open(&a, "inproc://a", 10);
    line_open(&b, "inproc://b", 10);
    a.to_end = _i ? &a : &b;
    far_sends(&a, 1);
    far_sends(&b, 1);
    WAIT_FOR(a.received == 1);
    run_for(5);
    if (_i)
        ck_assert_uint_eq(b.received, 1);
    struct line *ended = a.to_end;
    memset(&ended->watcher, 0, sizeof ended->watcher);
    line_close(&a);
    line_close(&b);
    end();
}
END_TEST

/* The descriptors alone wake the loop: it turns about as often as its timer fires. */
START_TEST(sockets_that_are_quiet_cost_no_turns)
{
    line_open(&a, "inproc://a", 10);
    line_open(&b, "inproc://b", 10);
    far_sends(&a, 1);
    WAIT_FOR(a.received == 1);
    run_for(5);
    unsigned turns = ev_iteration(loop), calls = a.calls;
    for (int i = 0; i < 20; i++)
        run_once(UINT64_MAX);
    ck_assert_uint_le(ev_iteration(loop) - turns, 20);
    ck_assert_uint_eq(a.calls, calls);
    ck_assert_uint_eq(b.calls, 0);
    line_close(&a);
    line_close(&b);
    end();
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, a_burst_is_seen_to_its_end);
    tcase_add_test(cases, an_edge_that_a_send_swallowed_is_not_missed);
    tcase_add_test(cases, an_edge_that_a_receive_swallowed_is_not_missed);
    tcase_add_loop_test(cases, an_edge_that_is_swallowed_just_before_blocking_is_not_missed, 0, 2);
    tcase_add_test(cases, what_is_ready_and_was_not_wanted_is_told_when_it_is);
    tcase_add_test(cases, room_at_a_full_socket_is_told);
    tcase_add_loop_test(cases, one_that_is_ready_may_end_itself_or_another, 0, 2);
    tcase_add_test(cases, sockets_that_are_quiet_cost_no_turns);
}

UNIT_MAIN("zmq_watcher", add_tests)
