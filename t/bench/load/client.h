/* A client: one connection that checks what it receives, and confirms it. */
#ifndef MSGSERVER_BENCH_CLIENT_H
#define MSGSERVER_BENCH_CLIENT_H

#include "bench/load/sequence.h"
#include "bench/load/target.h"
#include "bench/load/watch.h"

struct client {
    struct watch watch; /* first */
    const struct target *target;
    struct buffer rest; /* of what came, not whole yet */
    struct sequence singles, broadcasts[MESSAGE_LANES];
    uint64_t last_id;
    uint32_t number;
    uint32_t unconfirmed;
    uint64_t ordered; /* single messages that were sent to it */
};

/* What differs between transports. */
struct transport_methods {
    /* Sends the first request and takes its answer, unless that comes with the first message. */
    void (*begin)(struct client *client);
    /* Takes what is whole from the front of what came. Returns how many bytes that was. */
    size_t (*take)(struct client *client, struct slice in);
    /* NULL: the next request confirms. */
    void (*confirm)(struct client *client, uint64_t id);
};
extern const struct transport_methods transport_websocket, transport_sse, transport_long_polling;

/* Connects and begins. */
void client_open(struct client *client, const struct target *target, uint32_t number);
/* Leaves, and comes back with another connection. */
void client_reopen(struct client *client);

/* --- for transports --------------------------------------------------------------------------- */

/* {"ID":BODY,…}; the slice without what is around it. */
void client_take_pack(struct client *client, struct slice pack);
/* Bytes that came. */
void client_take_bytes(struct client *client, struct slice in);
/* Sends GET with the client's path and these header lines; it confirms what came before. */
void client_request(struct client *client, const char *header_lines);
/* Reads up to the end of a head with that status; the rest is taken as what came. */
void client_expect_head(struct client *client, const char *status);

/* --- for the load generator ------------------------------------------------------------------- */

/* In memory that all processes of the load generator share. */
struct client_settings {
    uint32_t confirm_after; /* so many messages, all up to then at once; 0: never */
    uint32_t keep;          /* the last so many stay unconfirmed */
};
extern struct client_settings *client_settings;

#endif
