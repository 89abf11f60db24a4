#include "bench/watch.h"

#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

void watch_start(int epoll, struct watch *watch)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = watch};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, watch->fd, &event) != 0)
        err(EXIT_FAILURE, "epoll_ctl");
}

void write_all(int fd, const void *bytes, size_t len)
{
    const char *at = bytes;
    while (len > 0) {
        ssize_t sent = send(fd, at, len, MSG_NOSIGNAL);
        if (sent < 0)
            err(EXIT_FAILURE, "the server takes no more");
        at += sent;
        len -= (size_t)sent;
    }
}

size_t read_some(int fd, struct buffer *in, size_t room, int flags)
{
    char *to = buffer_reserve(in, room);
    if (!to)
        err(EXIT_FAILURE, "reading");
    ssize_t got = recv(fd, to, room, flags);
    if (got == 0)
        errx(EXIT_FAILURE, "the server closed a connection");
    if (got < 0 && errno != EAGAIN)
        err(EXIT_FAILURE, "reading");
    if (got > 0)
        buffer_added(in, (size_t)got);
    return got > 0 ? (size_t)got : 0;
}
