/* What the load generator's loop waits for. */
#ifndef MSGSERVER_BENCH_WATCH_H
#define MSGSERVER_BENCH_WATCH_H

#include <stddef.h>

#include "base/buffer.h"

struct watch {
    int fd;
    void (*on_readable)(struct watch *watch);
};

/* All of these end the program when they fail: a measurement with failures is none. */
void watch_start(int epoll, struct watch *watch);
/* Sockets block when written to, never for long: the server reads. */
void write_all(int fd, const void *bytes, size_t len);
/* What is there to be read, `room` bytes at most; returns how many. */
size_t read_some(int fd, struct buffer *in, size_t room, int flags);

#endif
