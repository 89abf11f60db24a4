#include "workers/client/acceptor.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/table.h"

enum {
    BATCH = 64,           /* connections per socket and loop round */
    PAUSE_MS = 100,       /* after descriptors or memory ran out */
    PEER_LOST_MS = 60000, /* unacknowledged bytes: the peer is gone (TCP_USER_TIMEOUT) */
    LOG_EVERY_MS = 10000
};

struct listening_socket {
    ev_io readable;
    enum listener_kind kind;
    uint32_t slot;
    bool is_unix;
    struct acceptor *acceptor;
    struct listening_socket *prev, *next;
};

struct acceptor {
    struct ev_loop *loop;
    struct listening_socket *sockets;
    ev_timer pause;
    int spare_fd; /* given up to accept and close a connection when there is no other; -1: lost */
    struct log_limit exhausted;
    acceptor_handler handler;
    void *context;
};

static int open_spare(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void on_pause_over(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)events;
    struct acceptor *acceptor = watcher->data;
    struct listening_socket *socket;
    DL_FOREACH(acceptor->sockets, socket)
        ev_io_start(loop, &socket->readable);
}

/* Without descriptors a queued connection would keep the socket readable and the client waiting:
 * one is told so, by closing it, and the others get a moment in which descriptors may be freed. */
static void relieve(struct acceptor *acceptor, const struct listening_socket *from, int why)
{
    uint64_t suppressed;
    if (log_limit_pass(&acceptor->exhausted, LOG_EVERY_MS, &suppressed))
        LOG_WARNING("accept-paused", "why=\"%s\" suppressed=%llu hint=\"%s\"", strerror(why),
                    (unsigned long long)suppressed,
                    why == EMFILE ? "raise LimitNOFILE, or lower server.limits.connections"
                                  : "the host is short of descriptors or memory");
    if (acceptor->spare_fd >= 0) {
        close(acceptor->spare_fd);
        int fd = accept4(from->readable.fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            close(fd);
    }
    acceptor->spare_fd = open_spare();
    struct listening_socket *socket;
    DL_FOREACH(acceptor->sockets, socket)
        ev_io_stop(acceptor->loop, &socket->readable);
    ev_timer_set(&acceptor->pause, PAUSE_MS / 1000., 0.);
    ev_timer_start(acceptor->loop, &acceptor->pause);
}

static bool is_transient(int error)
{
    return error == EINTR || error == ECONNABORTED || error == EPROTO || error == ENETDOWN ||
           error == EHOSTUNREACH || error == ENETUNREACH;
}

static void on_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    (void)events;
    struct listening_socket *socket = watcher->data;
    struct acceptor *acceptor = socket->acceptor;
    for (int i = 0; i < BATCH; i++) {
        int fd = accept4(socket->readable.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && is_transient(errno))
            continue;
        if (fd < 0) {
            if (errno != EAGAIN)
                relieve(acceptor, socket, errno);
            return;
        }
        struct accepted accepted = {fd, socket->kind, socket->is_unix};
        acceptor->handler(acceptor->context, &accepted);
    }
}

struct acceptor *acceptor_new(struct ev_loop *loop, acceptor_handler handler, void *context)
{
    struct acceptor *acceptor = calloc(1, sizeof *acceptor);
    if (!acceptor)
        return NULL;
    acceptor->spare_fd = open_spare();
    if (acceptor->spare_fd < 0) {
        free(acceptor);
        return NULL;
    }
    acceptor->loop = loop;
    acceptor->handler = handler;
    acceptor->context = context;
    ev_timer_init(&acceptor->pause, on_pause_over, 0., 0.);
    acceptor->pause.data = acceptor;
    return acceptor;
}

static void remove_socket(struct acceptor *acceptor, struct listening_socket *socket)
{
    DL_DELETE(acceptor->sockets, socket);
    ev_io_stop(acceptor->loop, &socket->readable);
    close(socket->readable.fd);
    free(socket);
}

void acceptor_free(struct acceptor *acceptor)
{
    if (!acceptor)
        return;
    while (acceptor->sockets)
        remove_socket(acceptor, acceptor->sockets);
    ev_timer_stop(acceptor->loop, &acceptor->pause);
    if (acceptor->spare_fd >= 0)
        close(acceptor->spare_fd);
    free(acceptor);
}

/* Accepted sockets inherit these on Linux, which saves a system call or two per connection. */
static void set_inherited_options(int fd)
{
    const int on = 1, lost_ms = PEER_LOST_MS;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &lost_ms, sizeof lost_ms) != 0)
        LOG_WARNING("socket-option-refused", "why=\"%s\"", strerror(errno));
}

int acceptor_add(struct acceptor *acceptor, int fd, enum listener_kind kind, uint32_t slot)
{
    struct listening_socket *socket = calloc(1, sizeof *socket);
    if (!socket) {
        close(fd);
        return -1;
    }
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof address;
    socket->is_unix =
        getsockname(fd, (struct sockaddr *)&address, &len) == 0 && address.ss_family == AF_UNIX;
    if (!socket->is_unix)
        set_inherited_options(fd);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    socket->kind = kind;
    socket->slot = slot;
    socket->acceptor = acceptor;
    ev_io_init(&socket->readable, on_readable, fd, EV_READ);
    socket->readable.data = socket;
    DL_APPEND(acceptor->sockets, socket);
    if (!ev_is_active(&acceptor->pause))
        ev_io_start(acceptor->loop, &socket->readable);
    return 0;
}

void acceptor_revoke(struct acceptor *acceptor, uint32_t slot)
{
    struct listening_socket *socket, *next;
    DL_FOREACH_SAFE(acceptor->sockets, socket, next) {
        if (socket->slot == slot)
            remove_socket(acceptor, socket);
    }
}
