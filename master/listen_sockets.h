/* How the sockets behind listeners.h are made. All return a listening, non-blocking descriptor, or
 * -1 with errno and, when not empty, `hint`: what the operator can do about it. */
#ifndef MSGSERVER_MASTER_LISTEN_SOCKETS_H
#define MSGSERVER_MASTER_LISTEN_SOCKETS_H

#include <sys/socket.h>
#include <sys/types.h>

enum { LISTEN_HINT_ROOM = 256 };

struct tcp_address {
    struct sockaddr_storage storage;
    socklen_t len;
};

/* `host` is an address or a name, an IPv6 address without brackets. Returns 0 or -1 as above. */
int tcp_resolve(const char *host, const char *port, struct tcp_address *address,
                char hint[LISTEN_HINT_ROOM]);
/* The first socket of an address: fails with EADDRINUSE if anybody else listens there, also another
 * msgserver. Fills in the port when it was 0. Later sockets of ours may share the address. */
int listen_tcp_first(struct tcp_address *address, char hint[LISTEN_HINT_ROOM]);
int listen_tcp_further(const struct tcp_address *address, char hint[LISTEN_HINT_ROOM]);

/* Makes the directories above `path`, removes a socket file that nobody listens on, and gives the
 * new one `mode`. */
int listen_unix(const char *path, mode_t mode, char hint[LISTEN_HINT_ROOM]);

#endif
