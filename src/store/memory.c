/* The engine that keeps nothing beside the mailboxes: what is in memory is all there is. */
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>

static struct store *memory_open(const struct settings *settings, char *why, size_t why_room)
{
    (void)settings;
    struct store *store = calloc(1, sizeof *store);
    if (!store) {
        snprintf(why, why_room, "there is no memory for the store");
        return NULL;
    }
    store->engine = &STORE_MEMORY;
    return store;
}

static void memory_close(struct store *store)
{
    free(store);
}

static int memory_recover(struct store *store, struct slice cluster_id,
                          const struct store_reader *reader, void *context, char *why,
                          size_t why_room)
{
    (void)store;
    (void)cluster_id;
    (void)reader;
    (void)context;
    (void)why;
    (void)why_room;
    return 0;
}

static int memory_session_created(struct store *store, struct slice address, struct slice home,
                                  uint64_t ttl_ms)
{
    (void)store;
    (void)address;
    (void)home;
    (void)ttl_ms;
    return 0;
}

static int memory_session_deleted(struct store *store, struct slice address)
{
    (void)store;
    (void)address;
    return 0;
}

static int memory_accepted(struct store *store, struct slice address, uint64_t first_id,
                           struct blob *const *bodies, size_t count)
{
    (void)store;
    (void)address;
    (void)first_id;
    (void)bodies;
    (void)count;
    return 0;
}

static int memory_confirmed(struct store *store, struct slice address, uint64_t id)
{
    (void)store;
    (void)address;
    (void)id;
    return 0;
}

static int memory_end_batch(struct store *store, struct slice totals)
{
    (void)store;
    (void)totals;
    return 0;
}

const struct store_engine STORE_MEMORY = {
    .name = "memory",
    .open = memory_open,
    .close = memory_close,
    .recover = memory_recover,
    .session_created = memory_session_created,
    .session_deleted = memory_session_deleted,
    .accepted = memory_accepted,
    .confirmed = memory_confirmed,
    .end_batch = memory_end_batch,
};
