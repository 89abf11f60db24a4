/* Where sessions and messages survive the relay process: the seam for engines.
 *
 * Every change of what must survive goes through here, from one place (session_registry.c), in the
 * order in which it happens. A change counts as made when end_batch() returned 0, which the relay
 * calls once per loop round, before anything that was written to a data channel in that round
 * leaves the process, and before any envelope does: so an answer "queued" is never sent for what is
 * not stored. */
#ifndef MSGSERVER_STORE_STORE_H
#define MSGSERVER_STORE_STORE_H

#include "base/blob.h"

struct settings;
struct store;

/* Takes what recover() finds: each session, then its messages in the order of their IDs, which
 * follow each other and `confirmed`. Return 0, or -1 with errno to give up. */
struct stored_session {
    struct slice address;
    struct slice home;
    uint64_t ttl_ms;
    uint64_t created_ms; /* wall clock */
    uint64_t confirmed;
};
struct store_reader {
    int (*on_session)(void *context, const struct stored_session *session);
    int (*on_message)(void *context, uint64_t id, struct slice body);
    /* At the end, when there is something stored: what end_batch() was last given, and when the
     * store was last in use (wall clock). */
    int (*on_state)(void *context, struct slice totals, uint64_t alive_ms);
};

/* Each returns 0, or -1 with errno; a change that failed has not happened, and its caller takes it
 * back. `address` names the session in all of them. */
struct store_engine {
    const char *name; /* as in server.store.engine */
    /* NULL with `why` filled (a sentence). */
    struct store *(*open)(const struct settings *settings, char *why, size_t why_room);
    void (*close)(struct store *store);
    /* Once, before anything else. The sessions' keys name `cluster_id` as their home. Returns -1
     * with `why` filled. */
    int (*recover)(struct store *store, struct slice cluster_id, const struct store_reader *reader,
                   void *context, char *why, size_t why_room);
    /* `home`: empty for a session whose mailbox is here. */
    int (*session_created)(struct store *store, struct slice address, struct slice home,
                           uint64_t ttl_ms);
    int (*session_deleted)(struct store *store, struct slice address);
    /* The bodies got the IDs from `first_id` on; the mailbox's counter is first_id + count - 1. */
    int (*accepted)(struct store *store, struct slice address, uint64_t first_id,
                    struct blob *const *bodies, size_t count);
    /* Everything up to and with `id` is gone. */
    int (*confirmed)(struct store *store, struct slice address, uint64_t id);
    /* `totals`: what the relay wants back after a restart, true for this batch. */
    int (*end_batch)(struct store *store, struct slice totals);
};

struct store {
    const struct store_engine *engine;
    bool batch_is_large; /* set by the engine: end it now rather than at the round's end */
};

/* The engine of that name, or NULL. */
const struct store_engine *store_engine_find(const char *name);

extern const struct store_engine STORE_MEMORY;
extern const struct store_engine STORE_LMDB;

#endif
