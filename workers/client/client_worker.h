/* What all parts of a client worker share: its loop, settings, relay link and connections. */
#ifndef MSGSERVER_CLIENT_CLIENT_WORKER_H
#define MSGSERVER_CLIENT_CLIENT_WORKER_H

#include <ev.h>
#include <stdbool.h>

#include "base/log.h"
#include "base/slab.h"
#include "codecs/control_frames.h"
#include "codecs/settings.h"
#include "io/memory_trim.h"
#include "workers/client/acceptor.h"
#include "workers/client/deadlines.h"
#include "workers/client/relay_link.h"
#include "workers/client/session_refusals.h"

struct connection;

enum {
    READ_PER_ROUND = 16 << 10,       /* bytes per connection */
    FLUSHED_PER_ROUND = 1024,        /* connections: some 7 ms, and what comes meanwhile joins in */
    LONG_POLL_HEARTBEAT_MAX = 45000, /* ms; SDKs and proxies cut at 50 s (client fact) */
    CLOSE_LIMIT_MS = 2000,           /* for the other side to close too */
    RECEIPTS_PACE_MS = 200,          /* between two questions for new receipts */
    LOG_REFUSED_EVERY_MS = 10000,
    REFUSED_CONNECTIONS_AT_ONCE = 64, /* over the limit: answered 503 rather than just closed */
};

struct client_worker {
    struct ev_loop *loop;
    struct settings settings;
    struct relay_link *relay;
    struct acceptor *acceptor;
    struct deadlines deadlines;
    struct memory_trim memory_trim;
    struct session_refusals refusals;
    struct slab connection_slab;
    struct connection *connections;
    size_t client_connections; /* counted against server.limits.connections */
    struct log_limit refused_log;
    /* Connections with something to send or to be freed, until the end of the loop round or, when
     * they are many, of one of the next. */
    struct connection *dirty, *last_dirty;
    ev_prepare round_end; /* never started: fed, so that it comes after the round's other events */
    ev_timer next_round;  /* for those that are left */
    bool stopping;
    /* Called once, from the loop, when the worker stops and its last connection is gone. */
    void (*on_stopped)(struct client_worker *worker);
    char scratch[READ_PER_ROUND]; /* what was read last: no connection keeps a read buffer */
};

/* Takes what `settings` holds, also on failure. Returns NULL with errno ENOMEM or EMFILE. */
struct client_worker *client_worker_new(struct ev_loop *loop, uint32_t incarnation,
                                        struct settings *settings);
/* Closes everything, at once. NULL is accepted. */
void client_worker_free(struct client_worker *worker);

/* Stops accepting, tells every client (204, close frame 1001, end of stream), and calls
 * `on_stopped` when the last connection is gone. Repeated calls change nothing. */
void client_worker_stop(struct client_worker *worker,
                        void (*on_stopped)(struct client_worker *worker));

#endif
