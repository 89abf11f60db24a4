/* A backend: one connection that publishes. Over HTTP, one request at a time. */
#ifndef MSGSERVER_BENCH_PUBLISHER_H
#define MSGSERVER_BENCH_PUBLISHER_H

#include "bench/load/target.h"
#include "bench/load/watch.h"

struct publisher {
    struct watch watch; /* first */
    const struct target *target;
    int epoll;
    struct buffer in, out;
    bool is_busy; /* a request waits for its answer */
    uint32_t asked;
};

/* Its answers come through `epoll`. */
void publisher_open(struct publisher *publisher, const struct target *target, int epoll);
void publisher_close(struct publisher *publisher);

/* What is published leaves with publisher_flush(). */
void publisher_broadcast(struct publisher *publisher, const struct message *message);
void publisher_order(struct publisher *publisher, const struct order *orders, uint32_t count);
void publisher_flush(struct publisher *publisher);

#endif
