#include "io/data_channel.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/invariant.h"
#include "base/log.h"

enum {
    READ_PER_ROUND = 256 << 10,
    KEPT_CAPACITY = 2 * READ_PER_ROUND, /* of an empty buffer, for the next round */
    SOON_BYTES = 64 << 10,              /* more than that does not wait */
    CHANNEL_MAGIC = 0x6461636e
};
static const double SOON_S = 0.002;

struct data_channel {
    unsigned magic;
    struct ev_loop *loop;
    ev_io readable;
    ev_io writable;
    ev_prepare round_end; /* never started: fed, see data_channel_wrote() */
    ev_timer soon;        /* for what may wait for company */
    struct buffer in;
    struct buffer out;
    enum data_direction receives;
    const struct data_channel_handlers *handlers;
    void *context;
    bool congested;
    bool deaf; /* the other end takes nothing more; what it wrote before is still read */
    bool lost;
    bool closed;   /* by the owner, while one of our callbacks runs */
    unsigned busy; /* callbacks running: the memory outlives them */
};

static void destroy(struct data_channel *channel)
{
    buffer_free(&channel->in);
    buffer_free(&channel->out);
    channel->magic = 0;
    free(channel);
}

static void leave(struct data_channel *channel)
{
    if (--channel->busy == 0 && channel->closed)
        destroy(channel);
}

static void stop_watching(struct data_channel *channel)
{
    ev_io_stop(channel->loop, &channel->readable);
    ev_io_stop(channel->loop, &channel->writable);
    ev_timer_stop(channel->loop, &channel->soon);
    ev_clear_pending(channel->loop, &channel->round_end);
}

static void lose(struct data_channel *channel)
{
    if (channel->lost || channel->closed)
        return;
    channel->lost = true;
    stop_watching(channel);
    channel->handlers->on_lost(channel->context);
}

static void consume(struct buffer *buffer, size_t len)
{
    if (len == buffer_len(buffer) && buffer->capacity <= KEPT_CAPACITY)
        buffer_clear(buffer);
    else
        buffer_consume(buffer, len);
}

static void handle_frame(struct data_channel *channel, const struct frame *frame)
{
    const struct frame_rule *rule = data_frame_rule(frame->type);
    INVARIANT(rule && rule->direction == (int)channel->receives &&
                  frame->payload.len <= rule->max_payload,
              "an unknown or oversized frame on a data channel");
    channel->handlers->on_frame(channel->context, frame->type, frame->payload);
}

static void handle_frames(struct data_channel *channel)
{
    size_t done = 0;
    while (!channel->closed) {
        struct slice rest = buffer_slice(&channel->in);
        rest = slice_of(rest.data + done, rest.len - done);
        struct frame frame;
        long len = rest.len > 0 ? frame_parse(rest, DATA_FRAME_MAX_PAYLOAD, &frame) : 0;
        INVARIANT(len >= 0, "a broken frame header on a data channel");
        if (len == 0)
            break;
        handle_frame(channel, &frame);
        done += (size_t)len;
    }
    consume(&channel->in, done);
}

static void on_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    (void)events;
    struct data_channel *channel = watcher->data;
    CHECK_MAGIC(channel, CHANNEL_MAGIC);
    char *room = buffer_reserve(&channel->in, READ_PER_ROUND);
    if (!room) {
        LOG_ERROR("channel-stalled", "why=\"no memory to read\"");
        return;
    }
    ssize_t got = recv(channel->readable.fd, room, READ_PER_ROUND, 0);
    channel->busy++;
    if (got > 0) {
        buffer_added(&channel->in, (size_t)got);
        handle_frames(channel);
    } else {
        if (buffer_len(&channel->in) == 0)
            buffer_free(&channel->in);
        if (got == 0 || (errno != EAGAIN && errno != EINTR))
            lose(channel);
    }
    leave(channel);
}

/* Returns 0, also when the socket is full, or -1 with errno. */
static int send_out(struct data_channel *channel)
{
    while (buffer_len(&channel->out) > 0) {
        struct slice rest = buffer_slice(&channel->out);
        ssize_t sent = send(channel->readable.fd, rest.data, rest.len, MSG_NOSIGNAL);
        if (sent < 0)
            return errno == EAGAIN || errno == EINTR ? 0 : -1;
        consume(&channel->out, (size_t)sent);
        if ((size_t)sent < rest.len)
            break;
    }
    return 0;
}

/* The other end is gone, but its last frames (confirmations, answers) may still wait to be read:
 * the reading side finds the end after them. */
static void drop_unsent(struct data_channel *channel)
{
    channel->deaf = true;
    buffer_free(&channel->out);
}

static void flush(struct data_channel *channel)
{
    channel->busy++;
    ev_timer_stop(channel->loop, &channel->soon);
    bool sound = send_out(channel) == 0;
    if (!sound && (errno == EPIPE || errno == ECONNRESET)) {
        sound = true;
        drop_unsent(channel);
    }
    size_t left = buffer_len(&channel->out);
    if (left > DATA_CHANNEL_HIGH)
        channel->congested = true;
    if (sound && left > 0)
        ev_io_start(channel->loop, &channel->writable);
    else
        ev_io_stop(channel->loop, &channel->writable);
    if (!sound) {
        lose(channel);
    } else if (channel->congested && !channel->deaf && left <= DATA_CHANNEL_LOW) {
        channel->congested = false;
        if (channel->handlers->on_drained)
            channel->handlers->on_drained(channel->context);
    }
    leave(channel);
}

static void on_writable(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    (void)events;
    flush(watcher->data);
}

static void on_round_end(struct ev_loop *loop, ev_prepare *watcher, int events)
{
    (void)loop;
    (void)events;
    flush(watcher->data);
}

static void on_soon(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    flush(watcher->data);
}

struct data_channel *data_channel_open(struct ev_loop *loop, int fd, enum data_direction receives,
                                       const struct data_channel_handlers *handlers, void *context)
{
    struct data_channel *channel = calloc(1, sizeof *channel);
    if (!channel)
        return NULL;
    channel->magic = CHANNEL_MAGIC;
    channel->loop = loop;
    channel->receives = receives;
    channel->handlers = handlers;
    channel->context = context;
    ev_io_init(&channel->readable, on_readable, fd, EV_READ);
    ev_io_init(&channel->writable, on_writable, fd, EV_WRITE);
    ev_prepare_init(&channel->round_end, on_round_end);
    ev_timer_init(&channel->soon, on_soon, SOON_S, 0.);
    /* Nothing leaves before all that happened in the round was handled, nor before what its owner
     * does at the round's end, one priority above. */
    ev_set_priority(&channel->writable, EV_MINPRI);
    ev_set_priority(&channel->round_end, EV_MINPRI);
    ev_set_priority(&channel->soon, EV_MINPRI);
    channel->readable.data = channel->writable.data = channel->round_end.data = channel;
    channel->soon.data = channel;
    ev_io_start(loop, &channel->readable);
    return channel;
}

void data_channel_close(struct data_channel *channel)
{
    if (!channel)
        return;
    CHECK_MAGIC(channel, CHANNEL_MAGIC);
    INVARIANT(!channel->closed, "a data channel was closed twice");
    stop_watching(channel);
    close(channel->readable.fd);
    channel->closed = true;
    if (channel->busy == 0)
        destroy(channel);
}

struct buffer *data_channel_out(struct data_channel *channel)
{
    CHECK_MAGIC(channel, CHANNEL_MAGIC);
    return &channel->out;
}

void data_channel_wrote(struct data_channel *channel)
{
    if (channel->lost || channel->deaf) {
        buffer_free(&channel->out);
        return;
    }
    if (buffer_len(&channel->out) > DATA_CHANNEL_HIGH)
        channel->congested = true;
    /* An event of the lowest priority, fed by hand, comes after everything else that is due in this
     * round; a prepare watcher started by another prepare watcher would wait for the next. */
    if (!channel->closed && !ev_is_active(&channel->writable))
        ev_feed_event(channel->loop, &channel->round_end, EV_PREPARE);
}

void data_channel_wrote_for_later(struct data_channel *channel)
{
    if (channel->lost || channel->deaf || channel->closed ||
        buffer_len(&channel->out) > SOON_BYTES) {
        data_channel_wrote(channel);
        return;
    }
    /* Whatever is due before takes it along. */
    if (!ev_is_active(&channel->soon) && !ev_is_active(&channel->writable) &&
        !ev_is_pending(&channel->round_end)) {
        ev_timer_set(&channel->soon, SOON_S, 0.);
        ev_timer_start(channel->loop, &channel->soon);
    }
}

void data_channel_free_room(struct data_channel *channel)
{
    CHECK_MAGIC(channel, CHANNEL_MAGIC);
    if (buffer_len(&channel->in) == 0 && channel->busy == 0)
        buffer_free(&channel->in);
    if (buffer_len(&channel->out) == 0)
        buffer_free(&channel->out);
}

bool data_channel_congested(const struct data_channel *channel)
{
    return channel->congested;
}
