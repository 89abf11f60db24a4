#include "unit.h"

#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/data_channel.h"

/* One end under test, and what it told its owner. */
struct end {
    struct ev_loop *loop;
    struct data_channel *channel;
    int fd;
    struct buffer received; /* frames, as they were sent */
    size_t frames;
    unsigned lost, drained;
    size_t unsent_when_drained;
    size_t close_at; /* closes in the handler of this frame (1 is the first) */
    bool close_twice, close_when_drained;
    struct end *close_other;
};

static void close_end(struct end *end)
{
    data_channel_close(end->channel);
    end->channel = NULL;
}

static void on_frame(void *context, uint16_t type, struct slice payload)
{
    struct end *end = context;
    size_t mark;
    ck_assert_ptr_nonnull(end->channel);
    bool failed = frame_begin(&end->received, type, &mark) != 0 ||
                  buffer_append_slice(&end->received, payload) != 0;
    ck_assert_int_eq(frame_end(&end->received, mark, failed), 0);
    if (++end->frames != end->close_at)
        return;
    if (end->close_twice)
        data_channel_close(end->channel);
    close_end(end->close_other ? end->close_other : end);
}

static void on_lost(void *context)
{
    struct end *end = context;
    end->lost++;
}

static void on_lost_close(void *context)
{
    on_lost(context);
    close_end(context);
}

static void on_drained(void *context)
{
    struct end *end = context;
    end->drained++;
    end->unsent_when_drained = buffer_len(data_channel_out(end->channel));
    ck_assert(!data_channel_congested(end->channel));
    if (end->close_when_drained)
        close_end(end);
}

static const struct data_channel_handlers HANDLERS = {on_frame, on_lost, on_drained};
static const struct data_channel_handlers CLOSING = {on_frame, on_lost_close, NULL};

static void open_end(struct end *end, struct ev_loop *loop, int fd, enum data_direction receives,
                     const struct data_channel_handlers *handlers)
{
    *end = (struct end){.loop = loop, .fd = fd};
    end->channel = data_channel_open(loop, fd, receives, handlers, end);
    ck_assert_ptr_nonnull(end->channel);
}

static void free_end(struct end *end)
{
    close_end(end);
    buffer_free(&end->received);
}

static void pair(int fds[2])
{
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
}

/* The relay's end as a channel, the worker's as a bare descriptor. */
static int open_half(struct end *end, const struct data_channel_handlers *handlers)
{
    int fds[2];
    pair(fds);
    open_end(end, ev_loop_new(EVFLAG_AUTO), fds[0], WORKER_TO_RELAY, handlers);
    return fds[1];
}

static void free_half(struct end *end, int peer)
{
    free_end(end);
    ev_loop_destroy(end->loop);
    if (peer >= 0)
        close(peer);
}

static size_t unread(int fd)
{
    int bytes;
    ck_assert_int_eq(ioctl(fd, FIONREAD, &bytes), 0);
    return (size_t)bytes;
}

static void put_bytes(int fd, struct slice bytes)
{
    ck_assert_int_eq(send(fd, bytes.data, bytes.len, MSG_NOSIGNAL), (long)bytes.len);
}

static void handle_all(struct end *end)
{
    do
        ev_run(end->loop, EVRUN_NOWAIT);
    while (end->channel && unread(end->fd) > 0);
}

static struct buffer three_frames(size_t ends[3])
{
    struct buffer out = {0};
    struct frame_attach attach = {.handle = 9, .address = SLICE_LITERAL("sess/bob:abc")};
    struct frame_confirm confirm = {.handle = 9, .confirmed = SLICE_LITERAL("12345678")};
    struct frame_detach detach = {.handle = 9};
    ck_assert_int_eq(put_attach(&out, &attach), 0);
    ends[0] = buffer_len(&out);
    ck_assert_int_eq(put_confirm(&out, &confirm), 0);
    ends[1] = buffer_len(&out);
    ck_assert_int_eq(put_detach(&out, &detach), 0);
    ends[2] = buffer_len(&out);
    return out;
}

static void assert_received(const struct end *end, struct slice wanted)
{
    ck_assert(slice_equal(buffer_slice(&end->received), wanted));
}

START_TEST(frames_may_be_cut_anywhere)
{
    struct end end;
    size_t ends[3];
    struct buffer sent = three_frames(ends);
    struct slice all = buffer_slice(&sent);
    int peer = open_half(&end, &HANDLERS);
    for (size_t cut = 0; cut <= all.len; cut++) {
        end.frames = 0;
        buffer_free(&end.received);
        put_bytes(peer, slice_of(all.data, cut));
        handle_all(&end);
        ck_assert_uint_eq(end.frames,
                          (size_t)(cut >= ends[0]) + (cut >= ends[1]) + (cut >= ends[2]));
        put_bytes(peer, slice_of(all.data + cut, all.len - cut));
        handle_all(&end);
        ck_assert_uint_eq(end.frames, 3);
        assert_received(&end, all);
    }
    buffer_free(&end.received);
    for (size_t i = 0; i < all.len; i++) {
        put_bytes(peer, slice_of(all.data + i, 1));
        handle_all(&end);
    }
    assert_received(&end, all);
    buffer_free(&sent);
    free_half(&end, peer);
}
END_TEST

/* Both ends as channels in one loop. */
struct both {
    struct end relay, worker;
};

static void open_both(struct both *both)
{
    int fds[2];
    pair(fds);
    struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
    open_end(&both->relay, loop, fds[0], WORKER_TO_RELAY, &HANDLERS);
    open_end(&both->worker, loop, fds[1], RELAY_TO_WORKER, &HANDLERS);
}

static void free_both(struct both *both)
{
    struct ev_loop *loop = both->relay.loop;
    free_end(&both->relay);
    free_end(&both->worker);
    ev_loop_destroy(loop);
}

static void run_until_frames(struct end *end, size_t frames)
{
    while (end->frames < frames)
        ev_run(end->loop, EVRUN_ONCE);
}

START_TEST(many_frames_go_both_ways_in_order)
{
    enum { FRAMES = 20000 };
    struct both both;
    struct buffer detaches = {0}, ends = {0};
    open_both(&both);
    for (uint64_t i = 1; i <= FRAMES; i++) {
        struct frame_detach detach = {.handle = i};
        struct frame_end end = {.handle = i, .reason = (uint8_t)(i % END_REASONS)};
        ck_assert_int_eq(put_detach(&detaches, &detach), 0);
        ck_assert_int_eq(put_detach(data_channel_out(both.worker.channel), &detach), 0);
        data_channel_wrote(both.worker.channel);
        ck_assert_int_eq(put_end(&ends, &end), 0);
        ck_assert_int_eq(put_end(data_channel_out(both.relay.channel), &end), 0);
        data_channel_wrote(both.relay.channel);
    }
    run_until_frames(&both.relay, FRAMES);
    run_until_frames(&both.worker, FRAMES);
    assert_received(&both.relay, buffer_slice(&detaches));
    assert_received(&both.worker, buffer_slice(&ends));
    ck_assert_uint_eq(both.relay.lost + both.worker.lost, 0);
    buffer_free(&detaches);
    buffer_free(&ends);
    free_both(&both);
}
END_TEST

START_TEST(a_frame_larger_than_the_marks_passes)
{
    enum { BODY = 3 * DATA_CHANNEL_HIGH };
    struct both both;
    struct buffer run = {0}, wanted = {0};
    char *body = malloc(BODY);
    for (size_t i = 0; i < BODY; i++)
        body[i] = (char)(i * 2654435761u >> 13);
    open_both(&both);
    ck_assert_int_eq(put_message(&run, 1, slice_of(body, BODY)), 0);
    struct frame_deliver deliver = {.handle = 5, .messages = buffer_slice(&run)};
    ck_assert_int_eq(put_deliver(&wanted, &deliver), 0);
    ck_assert_int_eq(put_deliver(data_channel_out(both.relay.channel), &deliver), 0);
    data_channel_wrote(both.relay.channel);
    ck_assert(data_channel_congested(both.relay.channel));
    run_until_frames(&both.worker, 1);
    assert_received(&both.worker, buffer_slice(&wanted));
    ck_assert_uint_eq(both.relay.drained, 1);
    free(body);
    buffer_free(&run);
    buffer_free(&wanted);
    free_both(&both);
}
END_TEST

static void put_some_end(struct end *end)
{
    struct frame_end fields = {.handle = 1, .reason = END_EXPIRED};
    ck_assert_int_eq(put_end(data_channel_out(end->channel), &fields), 0);
    data_channel_wrote(end->channel);
}

START_TEST(a_round_is_one_send)
{
    struct end end;
    int peer = open_half(&end, &HANDLERS);
    for (int i = 0; i < 100; i++)
        put_some_end(&end);
    size_t total = buffer_len(data_channel_out(end.channel));
    ck_assert_uint_eq(unread(peer), 0);
    ev_run(end.loop, EVRUN_NOWAIT);
    ck_assert_uint_eq(unread(peer), total);
    ck_assert_uint_eq(buffer_len(data_channel_out(end.channel)), 0);
    ck_assert_uint_eq(end.drained, 0);
    free_half(&end, peer);
}
END_TEST

static void put_until_congested(struct end *end)
{
    static char body[60000];
    struct frame_deliver deliver = {.handle = 1, .messages = slice_of(body, sizeof body)};
    while (!data_channel_congested(end->channel)) {
        ck_assert_uint_le(buffer_len(data_channel_out(end->channel)), DATA_CHANNEL_HIGH);
        ck_assert_int_eq(put_deliver(data_channel_out(end->channel), &deliver), 0);
        data_channel_wrote(end->channel);
    }
}

/* Reads what is there from a bare end. Returns how much. */
static size_t swallow(int fd)
{
    static char bytes[64 << 10];
    size_t total = 0;
    ssize_t got;
    while ((got = recv(fd, bytes, sizeof bytes, 0)) > 0)
        total += (size_t)got;
    return total;
}

START_TEST(what_may_wait_goes_with_what_is_due_or_by_itself)
{
    struct end end;
    size_t ends[3];
    struct buffer frames = three_frames(ends);
    int peer = open_half(&end, &HANDLERS);
    buffer_append_slice(data_channel_out(end.channel), slice_of(buffer_bytes(&frames), ends[0]));
    data_channel_wrote_for_later(end.channel);
    ev_run(end.loop, EVRUN_NOWAIT);
    ck_assert_uint_eq(unread(peer), 0);
    buffer_append_slice(data_channel_out(end.channel),
                        slice_of(buffer_bytes(&frames) + ends[0], ends[1] - ends[0]));
    data_channel_wrote(end.channel);
    ev_run(end.loop, EVRUN_NOWAIT);
    ck_assert_uint_eq(unread(peer), ends[1]);
    buffer_append_slice(data_channel_out(end.channel),
                        slice_of(buffer_bytes(&frames) + ends[1], ends[2] - ends[1]));
    data_channel_wrote_for_later(end.channel);
    while (unread(peer) < ends[2])
        ev_run(end.loop, EVRUN_ONCE);
    buffer_free(&frames);
    free_half(&end, peer);
}
END_TEST

START_TEST(marks_tell_when_to_stop_and_go_on)
{
    struct end end;
    int peer = open_half(&end, &HANDLERS);
    for (unsigned turn = 1; turn <= 2; turn++) {
        put_until_congested(&end);
        const size_t total = buffer_len(data_channel_out(end.channel));
        ck_assert_uint_gt(total, DATA_CHANNEL_HIGH);
        for (int i = 0; i < 3; i++)
            ev_run(end.loop, EVRUN_NOWAIT);
        ck_assert(data_channel_congested(end.channel));
        ck_assert_uint_eq(end.drained, turn - 1);

        size_t got = 0;
        while (end.drained < turn) {
            got += swallow(peer);
            ev_run(end.loop, EVRUN_NOWAIT);
        }
        ck_assert_uint_le(end.unsent_when_drained, DATA_CHANNEL_LOW);
        ck_assert(!data_channel_congested(end.channel));
        while (got < total) {
            got += swallow(peer);
            ev_run(end.loop, EVRUN_NOWAIT);
        }
        ck_assert_uint_eq(got, total);
        ck_assert_uint_eq(end.drained, turn);
    }
    free_half(&end, peer);
}
END_TEST

START_TEST(frames_still_go_out_while_congested)
{
    struct both both;
    open_both(&both);
    put_until_congested(&both.relay);
    put_some_end(&both.relay);
    ck_assert(data_channel_congested(both.relay.channel));
    while (both.worker.frames == 0 || buffer_len(data_channel_out(both.relay.channel)) > 0 ||
           unread(both.worker.fd) > 0)
        ev_run(both.relay.loop, EVRUN_ONCE);
    struct slice all = buffer_slice(&both.worker.received);
    struct frame frame = {0};
    for (long len; (len = frame_parse(all, DATA_FRAME_MAX_PAYLOAD, &frame)) > 0;)
        all = slice_of(all.data + len, all.len - (size_t)len);
    ck_assert_int_eq(frame.type, FRAME_END);
    free_both(&both);
}
END_TEST

START_TEST(the_end_comes_after_the_last_frame)
{
    struct end end;
    size_t ends[3];
    struct buffer sent = three_frames(ends);
    int peer = open_half(&end, &HANDLERS);
    put_bytes(peer, buffer_slice(&sent));
    put_bytes(peer, slice_of(buffer_bytes(&sent), 5));
    close(peer);
    while (end.lost == 0)
        ev_run(end.loop, EVRUN_ONCE);
    assert_received(&end, buffer_slice(&sent));
    ev_run(end.loop, EVRUN_NOWAIT);
    ck_assert_uint_eq(end.lost, 1);
    buffer_free(&sent);
    free_half(&end, -1);
}
END_TEST

/* The peer wrote its last words and went away; what we wrote to it cannot be sent. */
START_TEST(last_words_are_read_although_nothing_can_be_sent)
{
    enum { FRAMES = 20000 };
    struct end end;
    struct buffer words = {0};
    struct frame_detach detach = {.handle = 1};
    int peer = open_half(&end, &HANDLERS);
    put_until_congested(&end);
    ev_run(end.loop, EVRUN_NOWAIT);
    for (int i = 0; i < FRAMES; i++)
        ck_assert_int_eq(put_detach(&words, &detach), 0);
    ssize_t sent = send(peer, buffer_bytes(&words), buffer_len(&words), MSG_NOSIGNAL);
    ck_assert_int_gt(sent, 64 << 10);
    close(peer);
    while (end.lost == 0)
        ev_run(end.loop, EVRUN_ONCE);
    ck_assert_uint_eq(end.frames, (size_t)sent / (buffer_len(&words) / FRAMES));
    ck_assert_uint_eq(end.lost, 1);
    ck_assert_uint_eq(end.drained, 0);
    buffer_free(&words);
    free_half(&end, -1);
}
END_TEST

START_TEST(what_is_put_after_the_end_is_dropped)
{
    struct end end;
    int peer = open_half(&end, &HANDLERS);
    close(peer);
    while (end.lost == 0)
        ev_run(end.loop, EVRUN_ONCE);
    for (int i = 0; i < 1000; i++) {
        put_some_end(&end);
        ck_assert_uint_eq(buffer_len(data_channel_out(end.channel)), 0);
    }
    ev_run(end.loop, EVRUN_NOWAIT);
    ck_assert_uint_eq(end.lost, 1);
    free_half(&end, -1);
}
END_TEST

START_TEST(a_handler_may_close_its_channel)
{
    size_t ends[3];
    struct buffer sent = three_frames(ends);
    for (size_t at = 1; at <= 3; at++) {
        struct end end;
        int peer = open_half(&end, &HANDLERS);
        end.close_at = at;
        put_some_end(&end);
        put_bytes(peer, buffer_slice(&sent));
        ev_run(end.loop, EVRUN_NOWAIT);
        ev_run(end.loop, EVRUN_NOWAIT);
        ck_assert_ptr_null(end.channel);
        assert_received(&end, slice_of(buffer_bytes(&sent), ends[at - 1]));
        swallow(peer);
        char byte;
        ck_assert_int_eq(recv(peer, &byte, 1, 0), 0);
        ck_assert_uint_eq(end.lost, 0);
        free_half(&end, peer);
    }
    buffer_free(&sent);
}
END_TEST

START_TEST(a_handler_may_close_another_channel_that_is_due)
{
    struct both both;
    open_both(&both);
    struct frame_detach detach = {.handle = 1};
    ck_assert_int_eq(put_detach(data_channel_out(both.worker.channel), &detach), 0);
    data_channel_wrote(both.worker.channel);
    put_some_end(&both.relay);
    both.relay.close_at = both.worker.close_at = 1;
    both.relay.close_other = &both.worker;
    both.worker.close_other = &both.relay;
    while (both.relay.channel && both.worker.channel)
        ev_run(both.relay.loop, EVRUN_ONCE);
    ck_assert_uint_eq(both.relay.frames + both.worker.frames, 1);
    free_both(&both);
}
END_TEST

START_TEST(on_lost_may_close)
{
    struct end end;
    int peer = open_half(&end, &CLOSING);
    close(peer);
    while (end.lost == 0)
        ev_run(end.loop, EVRUN_ONCE);
    ck_assert_ptr_null(end.channel);
    free_half(&end, -1);
}
END_TEST

START_TEST(on_drained_may_close)
{
    struct end end;
    int peer = open_half(&end, &HANDLERS);
    end.close_when_drained = true;
    put_until_congested(&end);
    while (end.drained == 0) {
        ev_run(end.loop, EVRUN_NOWAIT);
        swallow(peer);
    }
    ck_assert_ptr_null(end.channel);
    free_half(&end, peer);
}
END_TEST

START_TEST(on_drained_may_be_left_out)
{
    struct end end;
    int peer = open_half(&end, &CLOSING);
    put_until_congested(&end);
    while (data_channel_congested(end.channel)) {
        ev_run(end.loop, EVRUN_NOWAIT);
        swallow(peer);
    }
    free_half(&end, peer);
    data_channel_close(NULL);
}
END_TEST

/* --- bugs of our own end the process --- */

static void receive_raw(struct slice bytes)
{
    struct end end;
    int peer = open_half(&end, &HANDLERS);
    put_bytes(peer, bytes);
    handle_all(&end);
}

START_TEST(an_unknown_type_aborts)
{
    receive_raw(slice_of("\0\0\0\0\x63\0\0\0", 8));
}
END_TEST

START_TEST(type_zero_aborts)
{
    receive_raw(slice_of("\0\0\0\0\0\0\0\0", 8));
}
END_TEST

START_TEST(a_broken_header_aborts)
{
    receive_raw(slice_of("\0\0\0\0\1\0\1\0", 8));
}
END_TEST

START_TEST(a_frame_of_the_other_direction_aborts)
{
    struct buffer out = {0};
    struct frame_end end = {.handle = 1};
    put_end(&out, &end);
    receive_raw(buffer_slice(&out));
}
END_TEST

START_TEST(an_oversized_frame_aborts)
{
    static char address[DATA_FRAME_SMALL];
    struct buffer out = {0};
    struct frame_attach attach = {.address = slice_of(address, sizeof address)};
    put_attach(&out, &attach);
    receive_raw(buffer_slice(&out));
}
END_TEST

START_TEST(closing_twice_aborts)
{
    struct end end;
    size_t ends[3];
    struct buffer sent = three_frames(ends);
    int peer = open_half(&end, &HANDLERS);
    end.close_at = 1;
    end.close_twice = true;
    put_bytes(peer, buffer_slice(&sent));
    handle_all(&end);
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, frames_may_be_cut_anywhere);
    tcase_add_test(cases, many_frames_go_both_ways_in_order);
    tcase_add_test(cases, a_frame_larger_than_the_marks_passes);
    tcase_add_test(cases, a_round_is_one_send);
    tcase_add_test(cases, what_may_wait_goes_with_what_is_due_or_by_itself);
    tcase_add_test(cases, marks_tell_when_to_stop_and_go_on);
    tcase_add_test(cases, frames_still_go_out_while_congested);
    tcase_add_test(cases, the_end_comes_after_the_last_frame);
    tcase_add_test(cases, last_words_are_read_although_nothing_can_be_sent);
    tcase_add_test(cases, what_is_put_after_the_end_is_dropped);
    tcase_add_test(cases, a_handler_may_close_its_channel);
    tcase_add_test(cases, a_handler_may_close_another_channel_that_is_due);
    tcase_add_test(cases, on_lost_may_close);
    tcase_add_test(cases, on_drained_may_close);
    tcase_add_test(cases, on_drained_may_be_left_out);
    tcase_add_test_raise_signal(cases, an_unknown_type_aborts, SIGABRT);
    tcase_add_test_raise_signal(cases, type_zero_aborts, SIGABRT);
    tcase_add_test_raise_signal(cases, a_broken_header_aborts, SIGABRT);
    tcase_add_test_raise_signal(cases, a_frame_of_the_other_direction_aborts, SIGABRT);
    tcase_add_test_raise_signal(cases, an_oversized_frame_aborts, SIGABRT);
    tcase_add_test_raise_signal(cases, closing_twice_aborts, SIGABRT);
}

UNIT_MAIN("data_channel", add_tests)
