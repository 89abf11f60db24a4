/* What the load generator's loop waits for, and sockets that end the program when they fail: a
 * measurement with failures is none. */
#ifndef MSGSERVER_BENCH_WATCH_H
#define MSGSERVER_BENCH_WATCH_H

#include <stddef.h>

#include "base/buffer.h"

struct watch {
    int fd;
    void (*on_readable)(struct watch *watch);
};

/* on_readable is called when there is more than before, and has to take it all. */
void watch_start(int epoll, struct watch *watch);

/* Connects to a port of 127.0.0.1, from 127.0.0.`source`. */
int connect_port(uint16_t port, unsigned source);
int connect_file(const char *path);

/* Sockets block when written to, never for long: the server reads. */
void write_all(int fd, const void *bytes, size_t len);
/* What is there to be read; returns how much, up to `room`. `flags` are those of recv(). */
size_t read_some(int fd, void *to, size_t room, int flags);

#endif
