#include "bench/load/watch.h"

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

void watch_start(int epoll, struct watch *watch)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = watch};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, watch->fd, &event) != 0)
        err(EXIT_FAILURE, "epoll_ctl");
}

int connect_port(uint16_t port, unsigned source)
{
    struct sockaddr_in from = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl((INADDR_LOOPBACK & ~0xffU) | source)},
                       to = {.sin_family = AF_INET,
                             .sin_port = htons(port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0 || setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) != 0 ||
        bind(fd, (const struct sockaddr *)&from, sizeof from) != 0 ||
        connect(fd, (const struct sockaddr *)&to, sizeof to) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0)
        err(EXIT_FAILURE, "connecting to port %u", port);
    return fd;
}

int connect_file(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (len >= sizeof address.sun_path)
        errx(EXIT_FAILURE, "the path %s is too long", path);
    memcpy(address.sun_path, path, len);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) != 0)
        err(EXIT_FAILURE, "connecting to %s", path);
    return fd;
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

size_t read_some(int fd, void *to, size_t room, int flags)
{
    ssize_t got = recv(fd, to, room, flags);
    if (got == 0)
        errx(EXIT_FAILURE, "the server closed a connection");
    if (got < 0 && errno != EAGAIN)
        err(EXIT_FAILURE, "reading");
    return got > 0 ? (size_t)got : 0;
}
