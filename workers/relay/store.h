/* Where sessions and messages survive the relay process: the seam for engines.
 *
 * Every change of what must survive goes through here, from one place (session_registry.c), in the
 * order in which it happens. A change counts as made when end_batch() returned 0, which the relay
 * calls once per loop round, before anything that was written to a data channel in that round
 * leaves the process: so an answer "queued" is never sent for what is not stored. */
#ifndef MSGSERVER_RELAY_STORE_H
#define MSGSERVER_RELAY_STORE_H

#include "base/blob.h"

struct settings;
struct store;

/* Each returns 0, or -1 with errno; a change that failed has not happened, and its caller takes it
 * back. `address` names the session in all of them. */
struct store_engine {
    const char *name; /* as in server.store.engine */
    /* NULL with `why` filled (a sentence). */
    struct store *(*open)(const struct settings *settings, char *why, size_t why_room);
    void (*close)(struct store *store);
    /* `home`: empty for a session whose mailbox is here. */
    int (*session_created)(struct store *store, struct slice address, struct slice home,
                           uint64_t ttl_ms);
    int (*session_deleted)(struct store *store, struct slice address);
    /* The bodies got the IDs from `first_id` on; the mailbox's counter is first_id + count - 1. */
    int (*accepted)(struct store *store, struct slice address, uint64_t first_id,
                    struct blob *const *bodies, size_t count);
    /* Everything up to and with `id` is gone. */
    int (*confirmed)(struct store *store, struct slice address, uint64_t id);
    int (*end_batch)(struct store *store);
};

struct store {
    const struct store_engine *engine;
};

/* The engine of that name, or NULL. */
const struct store_engine *store_engine_find(const char *name);

extern const struct store_engine STORE_MEMORY;

#endif
