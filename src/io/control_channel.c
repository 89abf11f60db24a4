#include "io/control_channel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/invariant.h"
#include "base/table.h"
#include "io/descriptor_reserve.h"

enum { CHANNEL_MAGIC = 0x6374726c, PACKET_ROOM = FRAME_HEADER_BYTES + CONTROL_FRAME_MAX_PAYLOAD };

struct packet {
    struct packet *prev, *next;
    struct buffer bytes;
    int fd;
};

struct control_channel {
    unsigned magic;
    struct ev_loop *loop;
    ev_io readable;
    ev_io writable;
    struct packet *waiting;
    enum control_direction receives;
    const struct control_channel_handlers *handlers;
    void *context;
    bool lost;
    bool closed;
    unsigned busy;
};

int control_channel_pair(int fds[2])
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds);
}

static void free_packet(struct control_channel *channel, struct packet *packet)
{
    DL_DELETE(channel->waiting, packet);
    if (packet->fd >= 0)
        close(packet->fd);
    buffer_free(&packet->bytes);
    free(packet);
}

static void free_waiting(struct control_channel *channel)
{
    while (channel->waiting)
        free_packet(channel, channel->waiting);
}

static void destroy(struct control_channel *channel)
{
    free_waiting(channel);
    channel->magic = 0;
    free(channel);
}

static void lose(struct control_channel *channel)
{
    if (channel->lost || channel->closed)
        return;
    channel->lost = true;
    ev_io_stop(channel->loop, &channel->readable);
    ev_io_stop(channel->loop, &channel->writable);
    free_waiting(channel);
    channel->handlers->on_lost(channel->context);
}

union descriptor_room {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
};

static int received_descriptor(struct msghdr *message)
{
    struct cmsghdr *header = CMSG_FIRSTHDR(message);
    int fd = -1;
    if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
        memcpy(&fd, CMSG_DATA(header), sizeof fd);
    return fd;
}

static void handle_packet(struct control_channel *channel, struct slice packet, int fd)
{
    struct frame frame;
    long len = frame_parse(packet, CONTROL_FRAME_MAX_PAYLOAD, &frame);
    INVARIANT(len == (long)packet.len, "a packet on a control channel is not one whole frame");
    const struct frame_rule *rule = control_frame_rule(frame.type);
    INVARIANT(rule && rule->direction == (int)channel->receives &&
                  frame.payload.len <= rule->max_payload,
              "an unknown or oversized frame on a control channel");
    channel->handlers->on_frame(channel->context, frame.type, frame.payload, fd);
}

/* ECONNRESET says that the other end left frames unread when it closed, and comes before what it
 * had sent itself: its last words follow, then the end. */
static void on_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    (void)events;
    static char room[PACKET_ROOM];
    struct control_channel *channel = watcher->data;
    CHECK_MAGIC(channel, CHANNEL_MAGIC);
    struct iovec bytes = {room, sizeof room};
    union descriptor_room descriptor;
    struct msghdr message = {.msg_iov = &bytes,
                             .msg_iovlen = 1,
                             .msg_control = descriptor.bytes,
                             .msg_controllen = sizeof descriptor.bytes};
    descriptor_reserve_open();
    ssize_t got = recvmsg(channel->readable.fd, &message, MSG_CMSG_CLOEXEC);
    int error = errno;
    descriptor_reserve_close();
    errno = error;
    channel->busy++;
    if (got > 0) {
        INVARIANT(!(message.msg_flags & (MSG_CTRUNC | MSG_TRUNC)),
                  "a descriptor or bytes were lost on a control channel: raise LimitNOFILE");
        handle_packet(channel, slice_of(room, (size_t)got), received_descriptor(&message));
    } else if (got == 0 || (errno != EAGAIN && errno != EINTR && errno != ECONNRESET)) {
        lose(channel);
    }
    if (--channel->busy == 0 && channel->closed)
        destroy(channel);
}

static int send_packet(int socket, const struct packet *packet)
{
    struct slice payload = buffer_slice(&packet->bytes);
    struct iovec bytes = {(char *)payload.data, payload.len};
    union descriptor_room descriptor = {0};
    struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1};
    if (packet->fd >= 0) {
        message.msg_control = descriptor.bytes;
        message.msg_controllen = sizeof descriptor.bytes;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &packet->fd, sizeof(int));
    }
    return sendmsg(socket, &message, MSG_NOSIGNAL) >= 0 ? 0 : -1;
}

static bool may_send_later(int error)
{
    return error == EAGAIN || error == EINTR || error == ENOBUFS || error == ENOMEM ||
           error == ETOOMANYREFS;
}

/* A send to a child that just died fails; that it died shows on the reading side. */
static void send_waiting(struct control_channel *channel)
{
    while (channel->waiting) {
        if (send_packet(channel->readable.fd, channel->waiting) != 0) {
            if (may_send_later(errno)) {
                ev_io_start(channel->loop, &channel->writable);
                return;
            }
            INVARIANT(errno == EPIPE || errno == ECONNRESET,
                      "a control channel cannot send: is net.core.wmem_default below 200 kB?");
        }
        free_packet(channel, channel->waiting);
    }
    ev_io_stop(channel->loop, &channel->writable);
}

static void on_writable(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    (void)events;
    send_waiting(watcher->data);
}

struct control_channel *control_channel_open(struct ev_loop *loop, int fd,
                                             enum control_direction receives,
                                             const struct control_channel_handlers *handlers,
                                             void *context)
{
    struct control_channel *channel = calloc(1, sizeof *channel);
    if (!channel)
        return NULL;
    channel->magic = CHANNEL_MAGIC;
    channel->loop = loop;
    channel->receives = receives;
    channel->handlers = handlers;
    channel->context = context;
    ev_io_init(&channel->readable, on_readable, fd, EV_READ);
    ev_io_init(&channel->writable, on_writable, fd, EV_WRITE);
    channel->readable.data = channel->writable.data = channel;
    ev_io_start(loop, &channel->readable);
    return channel;
}

void control_channel_close(struct control_channel *channel)
{
    if (!channel)
        return;
    CHECK_MAGIC(channel, CHANNEL_MAGIC);
    INVARIANT(!channel->closed, "a control channel was closed twice");
    ev_io_stop(channel->loop, &channel->readable);
    ev_io_stop(channel->loop, &channel->writable);
    close(channel->readable.fd);
    channel->closed = true;
    if (channel->busy == 0)
        destroy(channel);
}

int control_channel_send(struct control_channel *channel, struct buffer *frame, int fd)
{
    CHECK_MAGIC(channel, CHANNEL_MAGIC);
    if (channel->lost) {
        buffer_free(frame);
        return 0;
    }
    struct packet *packet = calloc(1, sizeof *packet);
    if (!packet)
        return -1;
    packet->fd = -1;
    if (fd >= 0) {
        packet->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (packet->fd < 0) {
            free(packet);
            return -1;
        }
    }
    packet->bytes = *frame;
    *frame = (struct buffer){0};
    DL_APPEND(channel->waiting, packet);
    send_waiting(channel);
    return 0;
}

void control_channel_flush(struct control_channel *channel, int limit_ms)
{
    uint64_t end = clock_monotonic_ms() + (uint64_t)limit_ms;
    while (channel->waiting) {
        uint64_t now = clock_monotonic_ms();
        struct pollfd writable = {.fd = channel->readable.fd, .events = POLLOUT};
        int ready = now < end ? poll(&writable, 1, (int)(end - now)) : 0;
        if (ready == 0 || (ready < 0 && errno != EINTR))
            return;
        send_waiting(channel);
    }
}
