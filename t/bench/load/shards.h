/* The processes that hold the clients, when these are too many for the descriptors of one. */
#ifndef MSGSERVER_BENCH_SHARDS_H
#define MSGSERVER_BENCH_SHARDS_H

#include "bench/load/client.h"

enum { SHARDS_MAX = 64, CLIENTS_PER_SHARD = 16000 };

/* Whether that many clients need more than one process. */
bool shards_are_needed(uint32_t clients);

/* Forks processes that open all clients (in shared memory) and take what comes. Returns when all
 * are connected; afterwards `epoll` wakes up whenever something arrived. A process that ends takes
 * this one with it. */
void shards_start(struct client *clients, const struct target *target, int epoll);

/* Ends them, if there are any. */
void shards_stop(void);

/* Their processor time so far. */
double shards_cpu_seconds(void);

/* Opens clients of this process. */
void shards_open_clients(struct client *clients, uint32_t from, uint32_t to,
                         const struct target *target, int epoll);

/* Waits for events, up to `wait_us` or a second, and takes them. */
void shards_wait(int epoll, uint64_t wait_us);

#endif
