/* Stands in for relay-worker and client-worker in tests of the master. How it behaves is the value
 * of FAKE_RELAY or FAKE_WORKER (by the name it is started with), else of FAKE_CHILD:
 *   ready    READY at once; exits when told to stop or when the master is gone (the default)
 *   silent   never READY
 *   crash    exits with status 1 after START
 *   fail     says FAILED and exits
 *   deaf     READY, but ignores STOP
 *   once     the first time "ready"; "crash" when the file FAKE_ONCE exists already
 * Each line of the file FAKE_LOG is one frame that it got. Accepted connections are told the slot
 * whose socket they came by and the process that accepted, and are closed. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "codecs/control_frames.h"
#include "codecs/settings.h"
#include "io/child_contract.h"

enum { ROOM = 256 << 10, LISTENERS = 16, FAKE_MMRP_PORT = 15001 };

static bool is_relay;
static uint32_t own_slot;
static const char *behaviour = "ready";
static struct pollfd polled[1 + LISTENERS] = {{.fd = CHILD_CONTROL_FD, .events = POLLIN}};
static uint32_t owners[1 + LISTENERS];
static nfds_t polled_count = 1;

__attribute__((format(printf, 1, 2))) static void note(const char *format, ...)
{
    const char *path = getenv("FAKE_LOG");
    int fd = path ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (fd < 0)
        return;
    char line[512];
    int len = snprintf(line, sizeof line, "%s pid=%d ", is_relay ? "relay" : "worker", getpid());
    va_list arguments;
    va_start(arguments, format);
    len += vsnprintf(line + len, sizeof line - (size_t)len - 1, format, arguments);
    va_end(arguments);
    line[len++] = '\n';
    if (write(fd, line, (size_t)len) < 0)
        _exit(2);
    close(fd);
}

static void send_frame(struct buffer *frame)
{
    if (send(CHILD_CONTROL_FD, buffer_bytes(frame), buffer_len(frame), MSG_NOSIGNAL) < 0)
        _exit(2);
    buffer_free(frame);
}

static void say_ready(struct slice cluster_host, uint16_t port)
{
    char id[128];
    struct frame_ready ready = {0};
    struct buffer frame = {0};
    if (is_relay) {
        snprintf(id, sizeof id, "%.*s:%u", (int)cluster_host.len, cluster_host.data, port);
        ready = (struct frame_ready){.cluster_id = slice_from_string(id), .mmrp_port = port};
    }
    put_ready(&frame, &ready);
    send_frame(&frame);
}

static void say_failed(void)
{
    struct buffer frame = {0};
    struct frame_failed failed = {.why = SLICE_LITERAL("the fake was told to fail")};
    put_failed(&frame, &failed);
    send_frame(&frame);
    exit(EXIT_UNAVAILABLE);
}

static bool happened_before(void)
{
    const char *path = getenv("FAKE_ONCE");
    int fd = path ? open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600) : -1;
    if (fd >= 0)
        close(fd);
    return fd < 0;
}

static void on_start(struct slice payload)
{
    struct frame_start start;
    struct settings settings;
    if (get_start(payload, &start) != 0 || settings_decode(start.settings, &settings) != 0)
        _exit(2);
    own_slot = start.slot;
    note("start slot=%u incarnation=%u mmrp_port=%u", start.slot, start.incarnation,
         start.mmrp_port);
    if (strcmp(behaviour, "crash") == 0 || (strcmp(behaviour, "once") == 0 && happened_before()))
        exit(1);
    if (strcmp(behaviour, "fail") == 0)
        say_failed();
    if (strcmp(behaviour, "silent") != 0)
        say_ready(slice_from_string(settings.cluster_host),
                  start.mmrp_port ? start.mmrp_port : FAKE_MMRP_PORT);
    settings_free(&settings);
}

static void on_listener(struct slice payload, int fd)
{
    struct frame_listener listener;
    if (get_listener(payload, &listener) != 0 || fd < 0 || polled_count > LISTENERS)
        _exit(2);
    note("listener slot=%u kind=%u name=%.*s", listener.slot, listener.kind, (int)listener.name.len,
         listener.name.data);
    owners[polled_count] = listener.slot;
    polled[polled_count++] = (struct pollfd){.fd = fd, .events = POLLIN};
}

static void on_revoke(struct slice payload)
{
    struct frame_listener_revoke revoke;
    if (get_listener_revoke(payload, &revoke) != 0)
        _exit(2);
    note("revoke slot=%u", revoke.slot);
    for (nfds_t i = 1; i < polled_count; i++) {
        if (owners[i] != revoke.slot)
            continue;
        close(polled[i].fd);
        polled[i].fd = -1;
    }
}

static void on_link(struct slice payload, int fd)
{
    struct frame_link link;
    if (get_link(payload, &link) != 0 || fd < 0)
        _exit(2);
    note("link slot=%u incarnation=%u", link.slot, link.incarnation);
    close(fd);
}

static void on_stop(void)
{
    note("stop");
    if (strcmp(behaviour, "deaf") != 0)
        exit(EXIT_OK);
}

static void on_frame(uint16_t type, struct slice payload, int fd)
{
    switch (type) {
    case FRAME_START:
        on_start(payload);
        break;
    case FRAME_LISTENER:
        on_listener(payload, fd);
        break;
    case FRAME_LISTENER_REVOKE:
        on_revoke(payload);
        break;
    case FRAME_LINK:
        on_link(payload, fd);
        break;
    case FRAME_PEERS:
        note("peers bytes=%zu", payload.len);
        break;
    case FRAME_STOP:
        on_stop();
        break;
    default:
        _exit(2);
    }
}

static void read_control(void)
{
    static char room[ROOM];
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } descriptor;
    struct iovec bytes = {room, sizeof room};
    struct msghdr message = {.msg_iov = &bytes,
                             .msg_iovlen = 1,
                             .msg_control = descriptor.bytes,
                             .msg_controllen = sizeof descriptor.bytes};
    ssize_t got = recvmsg(CHILD_CONTROL_FD, &message, MSG_CMSG_CLOEXEC);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0)
        exit(EXIT_OK);
    int fd = -1;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header && header->cmsg_type == SCM_RIGHTS)
        memcpy(&fd, CMSG_DATA(header), sizeof fd);
    struct frame frame;
    if (frame_parse(slice_of(room, (size_t)got), CONTROL_FRAME_MAX_PAYLOAD, &frame) != got)
        _exit(2);
    on_frame(frame.type, frame.payload, fd);
}

static void answer(nfds_t index)
{
    int fd = accept4(polled[index].fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    dprintf(fd, "slot=%u by=%u\n", owners[index], own_slot);
    close(fd);
}

/* The contract says that nothing but 0 to 3 is inherited. */
static void check_descriptors(void)
{
    for (int fd = CHILD_CONTROL_FD + 1; fd < 256; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            note("inherited fd=%d", fd);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        puts("fake-child 1.0");
        return EXIT_OK;
    }
    is_relay = strstr(argv[0], "relay-worker") != NULL;
    const char *value = getenv(is_relay ? "FAKE_RELAY" : "FAKE_WORKER");
    if (!value)
        value = getenv("FAKE_CHILD");
    if (value)
        behaviour = value;
    check_descriptors();
    for (;;) {
        if (poll(polled, polled_count, -1) < 0)
            continue;
        for (nfds_t i = 1; i < polled_count; i++)
            if (polled[i].fd >= 0 && polled[i].revents)
                answer(i);
        if (polled[0].revents)
            read_control();
    }
}
