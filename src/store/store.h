/* Where sessions and messages survive the relay process: the seam for engines.
 *
 * Every change of what must survive goes through here, in the order in which it happens. A change
 * counts as made when end_batch() returned 0, which the relay calls once per loop round, before
 * anything that was written to a data channel in that round leaves the process, and before any
 * envelope does: so an answer "queued" is never sent for what is not stored.
 *
 * Times are milliseconds of clock_steady_ms(): the wall clock, but without jumps while a process
 * lives. */
#ifndef MSGSERVER_STORE_STORE_H
#define MSGSERVER_STORE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

struct settings;
struct store;

enum {
    STORED_KEY_MAX = 128,        /* an idempotency key, a replace key or a receipt's tag */
    STORED_RECEIPT_MAX = 1024,   /* the contents of a receipt */
    STORED_RECIPIENTS_MAX = 254, /* told at once: as many as fill a page */
};

/* Where a mailbox's run of IDs stands. The waiting ones are confirmed + 1 … last ID; of these the
 * first `gap` were dropped (their bodies are gone, and clients are still owed the IDs). Each of the
 * others has a record, also when its message was dropped, or is a recipient of a broadcast. */
struct stored_counts {
    uint64_t confirmed; /* every ID up to this one is settled: the client has it */
    uint64_t gap;
    uint64_t dropped; /* in the mailbox's whole life, for whatever reason, replaced ones included */
    uint64_t replaced;   /* of these, those whose ID another message took over */
    uint64_t overflowed; /* of `dropped`, those for want of room: the client is told this number */
};

struct stored_session {
    uint64_t number; /* names it in all other calls; chosen by the caller, unique in the store */
    struct slice address;
    struct slice home; /* empty for a session whose mailbox is here */
    uint64_t ttl_ms;
    uint64_t created_ms;
    struct stored_counts counts;
};

struct stored_message {
    uint64_t id;
    uint64_t broadcast; /* only from recover(): the number of the one that this is; 0: none */
    struct slice body;
    bool dropped; /* a placeholder: the ID is owed, everything below is empty */
    uint64_t made_ms;
    uint64_t expires_ms;      /* 0: never */
    struct slice replace_key; /* empty: none; as `receipt` */
    struct slice receipt;
};

/* One of the mailboxes that a broadcast is in, under an ID of its own. */
struct stored_recipient {
    uint64_t session;
    uint64_t id;
};

/* An idempotency key that a sender used for a session. */
struct stored_key {
    struct slice key;
    uint64_t used_ms;
    uint64_t first_id; /* its messages got this ID and those after it */
    uint32_t count;
    uint64_t digest; /* of what was sent under the key */
};

/* A receipt: opaque to the store. Numbers ascend by one. */
struct stored_receipt {
    uint64_t number;
    struct slice contents;
};

/* Takes what recover() finds: broadcasts and receipts by number; each session, then its messages in
 * the order of their IDs (counts.confirmed + counts.gap + 1 and those after it), then its keys.
 * Return 0, or -1 with errno to give up. */
struct store_reader {
    /* Also when it waits in no mailbox any more; its ID is 0. */
    int (*on_broadcast)(void *context, uint64_t number, const struct stored_message *message);
    int (*on_receipt)(void *context, const struct stored_receipt *receipt);
    int (*on_session)(void *context, const struct stored_session *session);
    int (*on_message)(void *context, const struct stored_message *message);
    int (*on_key)(void *context, const struct stored_key *key);
    /* At the end, when there is something stored: what end_batch() was last given, and when the
     * store was last in use. */
    int (*on_state)(void *context, struct slice totals, uint64_t alive_ms);
};

struct store_usage {
    uint64_t used_bytes; /* after the last batch; 0 for an engine without a file, as size_bytes */
    uint64_t size_bytes;
};

/* Each returns 0, or -1 with errno; a change that failed has not happened, and its caller takes it
 * back. ENOSPC: the store is full for what adds data (session_created, messages_added,
 * broadcast_added, message_changed to a live message, or to a placeholder where a broadcast was);
 * what frees or settles data has room kept for it. */
struct store_engine {
    const char *name; /* as in server.store.engine */
    /* NULL with `why` filled (a sentence). */
    struct store *(*open)(const struct settings *settings, char *why, size_t why_room);
    void (*close)(struct store *store);
    /* Once, before anything else. The sessions' keys name `cluster_id` as their home. Returns -1
     * with `why` filled. */
    int (*recover)(struct store *store, struct slice cluster_id, const struct store_reader *reader,
                   void *context, char *why, size_t why_room);

    /* A number that a recipient of a stored broadcast names is never given to another session. */
    int (*session_created)(struct store *store, const struct stored_session *session);
    /* Only `counts` may differ from what session_created() was given, and of them `confirmed`,
     * `confirmed` + `gap` and the others never get less. */
    int (*session_changed)(struct store *store, const struct stored_session *session);
    /* With its messages and keys. */
    int (*session_deleted)(struct store *store, uint64_t session);

    /* IDs follow each other, and the highest that was added before. */
    int (*messages_added)(struct store *store, uint64_t session,
                          const struct stored_message *messages, size_t count);
    /* Puts another message, or a placeholder, under an ID that has a record or is a broadcast's. */
    int (*message_changed)(struct store *store, uint64_t session,
                           const struct stored_message *message);
    /* The lowest IDs, up to and with `id`, are gone; session_changed() says in the same batch why.
     */
    int (*messages_removed)(struct store *store, uint64_t session, uint64_t id);

    /* A message that takes no options, for `recipients_max` mailboxes at most. Numbers ascend. */
    int (*broadcast_added)(struct store *store, uint64_t number,
                           const struct stored_message *message, uint64_t recipients_max);
    /* Of the broadcast that was added last: up to STORED_RECIPIENTS_MAX more mailboxes that have
     * it, as messages_added() would say for each. Room for them was kept. Each counts until its
     * session is deleted, the session's counts say that its ID is settled, or message_changed()
     * puts something else there. */
    int (*recipients_added)(struct store *store, uint64_t number,
                            const struct stored_recipient *recipients, size_t count);
    /* With its recipients: none of them counts any more. */
    int (*broadcast_removed)(struct store *store, uint64_t number);

    int (*key_added)(struct store *store, uint64_t session, const struct stored_key *key);
    int (*key_removed)(struct store *store, uint64_t session, struct slice key);

    int (*receipt_added)(struct store *store, const struct stored_receipt *receipt);
    /* Those up to and with `number`. */
    int (*receipts_removed)(struct store *store, uint64_t number);

    /* `totals`: what the relay wants back after a restart, true for this batch. */
    int (*end_batch)(struct store *store, struct slice totals);
    struct store_usage (*usage)(const struct store *store);
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
