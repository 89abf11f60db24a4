#include "master/listen_sockets.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "master/listeners.h"

int tcp_resolve(const char *host, const char *port, struct tcp_address *address,
                char hint[LISTEN_HINT_ROOM])
{
    struct addrinfo wanted = {.ai_family = AF_UNSPEC,
                              .ai_socktype = SOCK_STREAM,
                              .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int failure = getaddrinfo(host, port, &wanted, &found);
    if (failure != 0) {
        snprintf(hint, LISTEN_HINT_ROOM, "%s: give an address of this host, or * for all",
                 failure == EAI_SYSTEM ? strerror(errno) : gai_strerror(failure));
        errno = EADDRNOTAVAIL;
        return -1;
    }
    *address = (struct tcp_address){.len = found->ai_addrlen};
    memcpy(&address->storage, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return 0;
}

static int set_flag(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value);
}

static int bind_and_listen(int fd, const struct tcp_address *address)
{
    /* [::] serves IPv4 too, whatever net.ipv6.bindv6only says. */
    if (address->storage.ss_family == AF_INET6 && set_flag(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0) != 0)
        return -1;
    if (bind(fd, (const struct sockaddr *)&address->storage, address->len) != 0)
        return -1;
    return listen(fd, LISTEN_BACKLOG);
}

static void explain(int error, const struct tcp_address *address, char hint[LISTEN_HINT_ROOM])
{
    const char *text = "";
    if (error == EADDRINUSE)
        text = "another program or another msgserver listens there: stop it, or choose another "
               "port";
    else if (error == EACCES)
        text = "ports below 1024 need CAP_NET_BIND_SERVICE: choose another port, or grant it";
    else if (error == EADDRNOTAVAIL)
        text = "no interface of this host has this address: choose another, or * for all";
    else if (error == EAFNOSUPPORT && address->storage.ss_family == AF_INET6)
        text = "IPv6 is off on this host: choose an IPv4 address";
    snprintf(hint, LISTEN_HINT_ROOM, "%s", text);
}

static int make_socket(const struct tcp_address *address, bool alone, char hint[LISTEN_HINT_ROOM])
{
    int fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && set_flag(fd, SOL_SOCKET, SO_REUSEADDR, 1) == 0 &&
        (alone || set_flag(fd, SOL_SOCKET, SO_REUSEPORT, 1) == 0) &&
        bind_and_listen(fd, address) == 0)
        return fd;
    int error = errno;
    explain(error, address, hint);
    if (fd >= 0)
        close(fd);
    errno = error;
    return -1;
}

/* SO_REUSEPORT is set only once the socket listens: two servers of one user would otherwise share
 * the port without either noticing. */
int listen_tcp_first(struct tcp_address *address, char hint[LISTEN_HINT_ROOM])
{
    int fd = make_socket(address, true, hint);
    if (fd < 0)
        return -1;
    if (set_flag(fd, SOL_SOCKET, SO_REUSEPORT, 1) == 0 &&
        getsockname(fd, (struct sockaddr *)&address->storage, &address->len) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

int listen_tcp_further(const struct tcp_address *address, char hint[LISTEN_HINT_ROOM])
{
    return make_socket(address, false, hint);
}
