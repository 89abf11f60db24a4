#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "io/control_channel.h"

enum { FDS_ROOM = 256 };

/* One end under test, and what it told its owner. */
struct end {
    struct ev_loop *loop;
    struct control_channel *channel;
    struct buffer received; /* frames, as they were sent */
    size_t frames;
    int fds[FDS_ROOM];
    size_t fd_count;
    unsigned lost;
    size_t close_at; /* closes in the handler of this frame (1 is the first) */
    bool close_twice, close_when_lost;
};

static void close_end(struct end *end)
{
    control_channel_close(end->channel);
    end->channel = NULL;
}

static void on_frame(void *context, uint16_t type, struct slice payload, int fd)
{
    struct end *end = context;
    size_t mark;
    bool failed = frame_begin(&end->received, type, &mark) != 0 ||
                  buffer_append_slice(&end->received, payload) != 0;
    ck_assert_int_eq(frame_end(&end->received, mark, failed), 0);
    if (fd >= 0) {
        ck_assert_uint_lt(end->fd_count, FDS_ROOM);
        ck_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        end->fds[end->fd_count++] = fd;
    }
    if (++end->frames != end->close_at)
        return;
    if (end->close_twice)
        control_channel_close(end->channel);
    close_end(end);
}

static void on_lost(void *context)
{
    struct end *end = context;
    end->lost++;
    if (end->close_when_lost)
        close_end(end);
}

static const struct control_channel_handlers HANDLERS = {on_frame, on_lost};

static void open_end(struct end *end, struct ev_loop *loop, int fd, enum control_direction receives)
{
    *end = (struct end){.loop = loop};
    end->channel = control_channel_open(loop, fd, receives, &HANDLERS, end);
    ck_assert_ptr_nonnull(end->channel);
}

static void free_end(struct end *end)
{
    close_end(end);
    for (size_t i = 0; i < end->fd_count; i++)
        close(end->fds[i]);
    buffer_free(&end->received);
}

/* Master and child in one loop. */
struct both {
    struct end master, child;
    struct ev_loop *loop;
};

static void open_both(struct both *both)
{
    int fds[2];
    ck_assert_int_eq(control_channel_pair(fds), 0);
    both->loop = ev_loop_new(EVFLAG_AUTO);
    open_end(&both->master, both->loop, fds[0], CHILD_TO_MASTER);
    open_end(&both->child, both->loop, fds[1], MASTER_TO_CHILD);
}

static void free_both(struct both *both)
{
    free_end(&both->master);
    free_end(&both->child);
    ev_loop_destroy(both->loop);
}

/* The master's end as a channel, the child's as a bare descriptor. */
static int open_half(struct end *end)
{
    int fds[2];
    ck_assert_int_eq(control_channel_pair(fds), 0);
    open_end(end, ev_loop_new(EVFLAG_AUTO), fds[0], CHILD_TO_MASTER);
    return fds[1];
}

static void free_half(struct end *end, int peer)
{
    free_end(end);
    ev_loop_destroy(end->loop);
    if (peer >= 0)
        close(peer);
}

static void run_until_frames(struct end *end, size_t frames)
{
    while (end->frames < frames)
        ev_run(end->loop, EVRUN_ONCE);
}

static void run_until_lost(struct end *end)
{
    while (end->lost == 0)
        ev_run(end->loop, EVRUN_ONCE);
}

/* Sends the frame and remembers it in `sent`. */
static void send_frame(struct end *end, struct buffer *frame, int fd, struct buffer *sent)
{
    if (sent)
        ck_assert_int_eq(buffer_append_slice(sent, buffer_slice(frame)), 0);
    ck_assert_int_eq(control_channel_send(end->channel, frame, fd), 0);
    ck_assert_uint_eq(buffer_len(frame), 0);
}

static void send_stop(struct end *end, uint32_t limit_ms, int fd, struct buffer *sent)
{
    struct buffer frame = {0};
    ck_assert_int_eq(put_stop(&frame, &(struct frame_stop){.limit_ms = limit_ms}), 0);
    send_frame(end, &frame, fd, sent);
}

static void assert_received(const struct end *end, const struct buffer *wanted)
{
    ck_assert(slice_equal(buffer_slice(&end->received), buffer_slice(wanted)));
}

static size_t open_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    size_t count = 0;
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

START_TEST(frames_go_both_ways_in_order)
{
    struct both both;
    struct buffer frame = {0}, to_child = {0}, to_master = {0};
    open_both(&both);
    struct frame_start start = {.slot = 1, .incarnation = 7, .settings = SLICE_LITERAL("abc")};
    struct frame_ready ready = {.cluster_id = SLICE_LITERAL("e2dd6de0a6166a3f:15001"),
                                .mmrp_port = 15001};
    struct frame_failed failed = {.why = SLICE_LITERAL("no memory")};
    ck_assert_int_eq(put_start(&frame, &start), 0);
    send_frame(&both.master, &frame, -1, &to_child);
    send_stop(&both.master, 1500, -1, &to_child);
    ck_assert_int_eq(put_ready(&frame, &ready), 0);
    send_frame(&both.child, &frame, -1, &to_master);
    ck_assert_int_eq(put_failed(&frame, &failed), 0);
    send_frame(&both.child, &frame, -1, &to_master);
    run_until_frames(&both.child, 2);
    run_until_frames(&both.master, 2);
    assert_received(&both.child, &to_child);
    assert_received(&both.master, &to_master);
    ck_assert_uint_eq(both.child.fd_count + both.master.fd_count, 0);
    buffer_free(&to_child);
    buffer_free(&to_master);
    free_both(&both);
}
END_TEST

START_TEST(the_largest_frame_passes)
{
    static char settings[CONTROL_FRAME_MAX_PAYLOAD - 14];
    struct both both;
    struct buffer frame = {0}, sent = {0};
    memset(settings, 's', sizeof settings);
    open_both(&both);
    struct frame_start start = {.settings = slice_of(settings, sizeof settings)};
    ck_assert_int_eq(put_start(&frame, &start), 0);
    ck_assert_uint_eq(buffer_len(&frame), FRAME_HEADER_BYTES + CONTROL_FRAME_MAX_PAYLOAD);
    send_frame(&both.master, &frame, -1, &sent);
    run_until_frames(&both.child, 1);
    assert_received(&both.child, &sent);
    buffer_free(&sent);
    free_both(&both);
}
END_TEST

static void send_listener(struct end *end, int fd, struct buffer *sent)
{
    struct buffer frame = {0};
    struct frame_listener listener = {.slot = 1, .name = SLICE_LITERAL("client")};
    ck_assert_int_eq(put_listener(&frame, &listener), 0);
    send_frame(end, &frame, fd, sent);
}

static void assert_pipe_carries(int write_end, int read_end, char byte)
{
    char got = 0;
    ck_assert_int_eq(write(write_end, &byte, 1), 1);
    ck_assert_int_eq(read(read_end, &got, 1), 1);
    ck_assert_int_eq(got, byte);
}

START_TEST(descriptors_are_passed)
{
    struct both both;
    int ends[2];
    const size_t before = open_descriptors();
    open_both(&both);
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    send_listener(&both.master, ends[1], NULL);
    send_stop(&both.master, 1, -1, NULL);
    run_until_frames(&both.child, 2);
    ck_assert_uint_eq(both.child.fd_count, 1);
    assert_pipe_carries(both.child.fds[0], ends[0], 'a');
    assert_pipe_carries(ends[1], ends[0], 'b');
    close(ends[0]);
    close(ends[1]);
    free_both(&both);
    ck_assert_uint_eq(open_descriptors(), before);
}
END_TEST

/* The peer reads nothing until all is sent: far more packets than the socket holds. */
START_TEST(packets_wait_with_their_descriptors)
{
    enum { PACKETS = 3000, PIPES = 100 };
    struct both both;
    struct buffer sent = {0};
    int readers[PIPES];
    const size_t before = open_descriptors();
    open_both(&both);
    for (unsigned i = 0; i < PACKETS; i++) {
        if (i % (PACKETS / PIPES) > 0) {
            send_stop(&both.master, i, -1, &sent);
            continue;
        }
        int ends[2];
        ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
        readers[i / (PACKETS / PIPES)] = ends[0];
        send_listener(&both.master, ends[1], &sent);
        close(ends[1]);
    }
    run_until_frames(&both.child, PACKETS);
    assert_received(&both.child, &sent);
    ck_assert_uint_eq(both.child.fd_count, PIPES);
    for (int i = 0; i < PIPES; i++) {
        assert_pipe_carries(both.child.fds[i], readers[i], (char)i);
        close(readers[i]);
    }
    buffer_free(&sent);
    free_both(&both);
    ck_assert_uint_eq(open_descriptors(), before);
}
END_TEST

/* Sends until some packets must wait. Returns how many were sent. */
static unsigned fill(struct end *end, int fd)
{
    const size_t before = open_descriptors();
    unsigned sent = 0;
    while (open_descriptors() == before)
        send_stop(end, sent++, fd, NULL);
    return sent;
}

START_TEST(closing_frees_what_waits)
{
    struct end end;
    const size_t before = open_descriptors();
    int peer = open_half(&end);
    fill(&end, STDIN_FILENO);
    free_half(&end, peer);
    ck_assert_uint_eq(open_descriptors(), before);
}
END_TEST

START_TEST(a_waiting_packet_must_have_its_descriptor)
{
    struct end end;
    struct buffer frame = {0};
    int peer = open_half(&end);
    fill(&end, STDIN_FILENO);
    struct rlimit limit = {0, 0};
    int lowest = dup(STDIN_FILENO);
    close(lowest);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = (rlim_t)lowest;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert_int_eq(put_stop(&frame, &(struct frame_stop){.limit_ms = 1}), 0);
    errno = 0;
    ck_assert_int_eq(control_channel_send(end.channel, &frame, STDIN_FILENO), -1);
    ck_assert_int_eq(errno, EMFILE);
    ck_assert_uint_gt(buffer_len(&frame), 0);
    ck_assert_int_eq(control_channel_send(end.channel, &frame, -1), 0);
    buffer_free(&frame);
    limit.rlim_cur = limit.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    free_half(&end, peer);
}
END_TEST

START_TEST(the_end_comes_after_the_last_packet)
{
    struct both both;
    struct buffer frame = {0}, sent = {0};
    open_both(&both);
    struct frame_failed failed = {.why = SLICE_LITERAL("the port is taken")};
    ck_assert_int_eq(put_failed(&frame, &failed), 0);
    send_frame(&both.child, &frame, -1, &sent);
    close_end(&both.child);
    run_until_lost(&both.master);
    assert_received(&both.master, &sent);
    send_stop(&both.master, 1, -1, NULL);
    ev_run(both.loop, EVRUN_NOWAIT);
    ck_assert_uint_eq(both.master.lost, 1);
    buffer_free(&sent);
    free_both(&both);
}
END_TEST

/* A child that exits with packets unread resets the connection; what it said before counts. */
START_TEST(last_words_are_read_from_a_child_that_did_not_read)
{
    struct both both;
    struct buffer frame = {0}, sent = {0};
    open_both(&both);
    send_stop(&both.master, 1, -1, NULL);
    struct frame_failed failed = {.why = SLICE_LITERAL("the port is taken")};
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(put_failed(&frame, &failed), 0);
        send_frame(&both.child, &frame, -1, &sent);
    }
    close_end(&both.child);
    ck_assert_uint_eq(both.child.frames, 0);
    run_until_lost(&both.master);
    assert_received(&both.master, &sent);
    ck_assert_uint_eq(both.master.lost, 1);
    buffer_free(&sent);
    free_both(&both);
}
END_TEST

START_TEST(sending_to_a_dead_child_is_no_error)
{
    struct end end;
    const size_t before = open_descriptors();
    int peer = open_half(&end);
    const size_t with_end = open_descriptors() - 1;
    close(peer);
    send_stop(&end, 1, STDIN_FILENO, NULL);
    run_until_lost(&end);
    for (int i = 0; i < 100; i++)
        send_stop(&end, 1, STDIN_FILENO, NULL);
    ck_assert_uint_eq(open_descriptors(), with_end);
    control_channel_flush(end.channel, 10000);
    free_half(&end, -1);
    ck_assert_uint_eq(open_descriptors(), before);
}
END_TEST

START_TEST(a_child_that_dies_while_packets_wait_is_noticed)
{
    struct end end;
    int peer = open_half(&end);
    fill(&end, STDIN_FILENO);
    close(peer);
    run_until_lost(&end);
    ck_assert_uint_eq(end.lost, 1);
    free_half(&end, -1);
}
END_TEST

START_TEST(handlers_may_close)
{
    struct both both;
    open_both(&both);
    both.child.close_at = 2;
    both.master.close_when_lost = true;
    for (uint32_t i = 0; i < 3; i++)
        send_stop(&both.master, i, -1, NULL);
    run_until_lost(&both.master);
    ck_assert_uint_eq(both.child.frames, 2);
    ck_assert_uint_eq(both.child.lost, 0);
    ck_assert_ptr_null(both.child.channel);
    ck_assert_ptr_null(both.master.channel);
    free_both(&both);
    control_channel_close(NULL);
}
END_TEST

START_TEST(flushing_waits_no_longer_than_allowed)
{
    struct end end;
    int peer = open_half(&end);
    control_channel_flush(end.channel, 60000);
    fill(&end, STDIN_FILENO);
    uint64_t start = clock_monotonic_ms();
    control_channel_flush(end.channel, 20);
    ck_assert_uint_ge(clock_monotonic_ms() - start, 20);
    free_half(&end, peer);
}
END_TEST

/* Reads `packets` packets, then says so by its exit status. */
static pid_t start_reader(int fd, unsigned packets)
{
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid > 0)
        return pid;
    char bytes[64];
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    while (packets > 0 && poll(&readable, 1, 10000) > 0 && recv(fd, bytes, sizeof bytes, 0) > 0)
        packets--;
    _exit(packets == 0 ? 0 : 1);
}

START_TEST(flushing_sends_what_waits)
{
    struct end end;
    int peer = open_half(&end), status;
    unsigned packets = fill(&end, STDIN_FILENO);
    const size_t waiting = open_descriptors();
    pid_t reader = start_reader(peer, packets);
    control_channel_flush(end.channel, 30000);
    ck_assert_uint_lt(open_descriptors(), waiting);
    ck_assert_int_eq(waitpid(reader, &status, 0), reader);
    ck_assert_int_eq(status, 0);
    free_half(&end, peer);
}
END_TEST

/* --- bugs of our own end the process --- */

static void receive_raw(struct slice packet)
{
    struct end end;
    int peer = open_half(&end);
    ck_assert_int_eq(send(peer, packet.data, packet.len, 0), (long)packet.len);
    run_until_frames(&end, 1);
}

START_TEST(an_unknown_type_aborts)
{
    receive_raw(slice_of("\0\0\0\0\x63\0\0\0", 8));
}
END_TEST

START_TEST(a_packet_with_half_a_frame_aborts)
{
    receive_raw(slice_of("\0\0\0\0\7\0", 6));
}
END_TEST

START_TEST(a_packet_with_two_frames_aborts)
{
    struct buffer out = {0};
    put_failed(&out, &(struct frame_failed){0});
    put_failed(&out, &(struct frame_failed){0});
    receive_raw(buffer_slice(&out));
}
END_TEST

START_TEST(a_frame_of_the_other_direction_aborts)
{
    struct buffer out = {0};
    put_stop(&out, &(struct frame_stop){0});
    receive_raw(buffer_slice(&out));
}
END_TEST

START_TEST(an_oversized_frame_aborts)
{
    static char why[CONTROL_FRAME_SMALL];
    struct buffer out = {0};
    put_failed(&out, &(struct frame_failed){.why = slice_of(why, sizeof why)});
    receive_raw(buffer_slice(&out));
}
END_TEST

START_TEST(a_frame_that_is_no_packet_aborts)
{
    static char settings[4 << 20];
    struct end end;
    struct buffer frame = {0};
    open_half(&end);
    put_start(&frame, &(struct frame_start){.settings = slice_of(settings, sizeof settings)});
    control_channel_send(end.channel, &frame, -1);
}
END_TEST

START_TEST(a_descriptor_lost_at_the_limit_aborts)
{
    struct both both;
    open_both(&both);
    send_listener(&both.master, STDIN_FILENO, NULL);
    struct rlimit limit = {3, 3};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    run_until_frames(&both.child, 1);
}
END_TEST

START_TEST(closing_twice_aborts)
{
    struct both both;
    open_both(&both);
    both.child.close_at = 1;
    both.child.close_twice = true;
    send_stop(&both.master, 1, -1, NULL);
    run_until_frames(&both.child, 1);
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, frames_go_both_ways_in_order);
    tcase_add_test(cases, the_largest_frame_passes);
    tcase_add_test(cases, descriptors_are_passed);
    tcase_add_test(cases, packets_wait_with_their_descriptors);
    tcase_add_test(cases, closing_frees_what_waits);
    tcase_add_test(cases, a_waiting_packet_must_have_its_descriptor);
    tcase_add_test(cases, the_end_comes_after_the_last_packet);
    tcase_add_test(cases, last_words_are_read_from_a_child_that_did_not_read);
    tcase_add_test(cases, sending_to_a_dead_child_is_no_error);
    tcase_add_test(cases, a_child_that_dies_while_packets_wait_is_noticed);
    tcase_add_test(cases, handlers_may_close);
    tcase_add_test(cases, flushing_waits_no_longer_than_allowed);
    tcase_add_test(cases, flushing_sends_what_waits);
    tcase_add_test_raise_signal(cases, an_unknown_type_aborts, SIGABRT);
    tcase_add_test_raise_signal(cases, a_packet_with_half_a_frame_aborts, SIGABRT);
    tcase_add_test_raise_signal(cases, a_packet_with_two_frames_aborts, SIGABRT);
    tcase_add_test_raise_signal(cases, a_frame_of_the_other_direction_aborts, SIGABRT);
    tcase_add_test_raise_signal(cases, an_oversized_frame_aborts, SIGABRT);
    tcase_add_test_raise_signal(cases, a_frame_that_is_no_packet_aborts, SIGABRT);
    tcase_add_test_raise_signal(cases, a_descriptor_lost_at_the_limit_aborts, SIGABRT);
    tcase_add_test_raise_signal(cases, closing_twice_aborts, SIGABRT);
}

UNIT_MAIN("control_channel", add_tests)
