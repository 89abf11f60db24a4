/* A client: one connection that checks what it receives, and confirms it. */
#ifndef MSGSERVER_BENCH_CLIENT_H
#define MSGSERVER_BENCH_CLIENT_H

#include "bench/load/sequence.h"
#include "bench/load/target.h"
#include "bench/load/watch.h"

struct client {
    struct watch watch; /* first */
    const struct target *target;
    struct buffer rest; /* of what came, not a whole frame yet */
    struct sequence singles, broadcasts[MESSAGE_LANES];
    uint64_t last_id;
    uint32_t number;
    uint32_t unconfirmed;
    uint64_t ordered; /* single messages that were sent to it */
};

/* Connects, and returns when the server has answered. */
void client_open(struct client *client, const struct target *target, uint32_t number);

/* After how many messages clients confirm, all up to then at once; 0: never. */
extern uint32_t client_confirm_after;

/* Called for each message, when it came once and in order. */
extern void (*client_received)(const struct message *message);

#endif
