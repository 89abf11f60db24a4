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

static int memory_session_created(struct store *store, const struct stored_session *session)
{
    (void)store;
    (void)session;
    return 0;
}

static int memory_session_changed(struct store *store, const struct stored_session *session)
{
    (void)store;
    (void)session;
    return 0;
}

static int memory_session_deleted(struct store *store, uint64_t session)
{
    (void)store;
    (void)session;
    return 0;
}

static int memory_messages_added(struct store *store, uint64_t session,
                                 const struct stored_message *messages, size_t count)
{
    (void)store;
    (void)session;
    (void)messages;
    (void)count;
    return 0;
}

static int memory_message_changed(struct store *store, uint64_t session,
                                  const struct stored_message *message)
{
    (void)store;
    (void)session;
    (void)message;
    return 0;
}

static int memory_messages_removed(struct store *store, uint64_t session, uint64_t id)
{
    (void)store;
    (void)session;
    (void)id;
    return 0;
}

static int memory_broadcast_added(struct store *store, uint64_t number,
                                  const struct stored_message *message, uint64_t recipients_max)
{
    (void)store;
    (void)number;
    (void)message;
    (void)recipients_max;
    return 0;
}

static int memory_recipients_added(struct store *store, uint64_t number,
                                   const struct stored_recipient *recipients, size_t count)
{
    (void)store;
    (void)number;
    (void)recipients;
    (void)count;
    return 0;
}

static int memory_broadcast_removed(struct store *store, uint64_t number)
{
    (void)store;
    (void)number;
    return 0;
}

static int memory_key_added(struct store *store, uint64_t session, const struct stored_key *key)
{
    (void)store;
    (void)session;
    (void)key;
    return 0;
}

static int memory_key_removed(struct store *store, uint64_t session, struct slice key)
{
    (void)store;
    (void)session;
    (void)key;
    return 0;
}

static int memory_receipt_added(struct store *store, const struct stored_receipt *receipt)
{
    (void)store;
    (void)receipt;
    return 0;
}

static int memory_receipts_removed(struct store *store, uint64_t number)
{
    (void)store;
    (void)number;
    return 0;
}

static int memory_end_batch(struct store *store, struct slice totals)
{
    (void)store;
    (void)totals;
    return 0;
}

static struct store_usage memory_usage(const struct store *store)
{
    (void)store;
    return (struct store_usage){0};
}

const struct store_engine STORE_MEMORY = {
    .name = "memory",
    .open = memory_open,
    .close = memory_close,
    .recover = memory_recover,
    .session_created = memory_session_created,
    .session_changed = memory_session_changed,
    .session_deleted = memory_session_deleted,
    .messages_added = memory_messages_added,
    .message_changed = memory_message_changed,
    .messages_removed = memory_messages_removed,
    .broadcast_added = memory_broadcast_added,
    .recipients_added = memory_recipients_added,
    .broadcast_removed = memory_broadcast_removed,
    .key_added = memory_key_added,
    .key_removed = memory_key_removed,
    .receipt_added = memory_receipt_added,
    .receipts_removed = memory_receipts_removed,
    .end_batch = memory_end_batch,
    .usage = memory_usage,
};
