/* A registry whose store writes down what it is told, and fails on demand. */
#ifndef MSGSERVER_REGISTRY_FIXTURE_H
#define MSGSERVER_REGISTRY_FIXTURE_H

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "unit.h"
#include "workers/relay/session_messages.h"

static struct buffer told;
static bool failing, refusing_receipts, refusing_changes;
static uint64_t store_size, store_used;

static int tell(const char *format, ...) __attribute__((format(printf, 1, 2)));

static inline int tell(const char *format, ...)
{
    char line[256];
    va_list arguments;
    if (failing) {
        errno = ENOSPC;
        return -1;
    }
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    return buffer_append_string(&told, line);
}

static inline int created(struct store *store, const struct stored_session *session)
{
    (void)store;
    return tell("created %lu %.*s\n", session->number, (int)session->address.len,
                session->address.data);
}

static inline int changed(struct store *store, const struct stored_session *session)
{
    (void)store;
    const struct stored_counts *counts = &session->counts;
    return tell("counts %lu confirmed=%lu gap=%lu dropped=%lu replaced=%lu overflowed=%lu\n",
                session->number, counts->confirmed, counts->gap, counts->dropped, counts->replaced,
                counts->overflowed);
}

static inline int deleted(struct store *store, uint64_t session)
{
    (void)store;
    return tell("deleted %lu\n", session);
}

static inline int added(struct store *store, uint64_t session,
                        const struct stored_message *messages, size_t count)
{
    (void)store;
    return tell("added %lu %lu+%zu\n", session, messages[0].id, count);
}

static inline int message_changed(struct store *store, uint64_t session,
                                  const struct stored_message *message)
{
    (void)store;
    errno = ENOSPC;
    return refusing_changes ? -1
                            : tell("message %lu %lu %s\n", session, message->id,
                                   message->dropped ? "dropped" : "replaced");
}

static inline int removed(struct store *store, uint64_t session, uint64_t id)
{
    (void)store;
    return tell("removed %lu up to %lu\n", session, id);
}

static inline int broadcast_added(struct store *store, uint64_t number,
                                  const struct stored_message *message, uint64_t recipients_max)
{
    (void)store;
    return tell("broadcast %lu %.*s for %lu\n", number, (int)message->body.len, message->body.data,
                recipients_max);
}

static inline int recipients_added(struct store *store, uint64_t number,
                                   const struct stored_recipient *recipients, size_t count)
{
    (void)store;
    return tell("broadcast %lu: %zu from %lu %lu on\n", number, count, recipients->session,
                recipients->id);
}

static inline int broadcast_removed(struct store *store, uint64_t number)
{
    (void)store;
    return tell("broadcast %lu removed\n", number);
}

static inline int key_added(struct store *store, uint64_t session, const struct stored_key *key)
{
    (void)store;
    return tell("key %lu %.*s\n", session, (int)key->key.len, key->key.data);
}

static inline int key_removed(struct store *store, uint64_t session, struct slice key)
{
    (void)store;
    return tell("key %lu %.*s removed\n", session, (int)key.len, key.data);
}

static inline int receipt_added(struct store *store, const struct stored_receipt *receipt)
{
    (void)store;
    errno = ENOSPC;
    return refusing_receipts ? -1 : tell("receipt %lu\n", receipt->number);
}

static inline int receipts_removed(struct store *store, uint64_t number)
{
    (void)store;
    return tell("receipts up to %lu removed\n", number);
}

static inline struct store_usage usage(const struct store *store)
{
    (void)store;
    return (struct store_usage){.used_bytes = store_used, .size_bytes = store_size};
}

static const struct store_engine RECORDING = {
    .name = "recording",
    .session_created = created,
    .session_changed = changed,
    .session_deleted = deleted,
    .messages_added = added,
    .message_changed = message_changed,
    .messages_removed = removed,
    .broadcast_added = broadcast_added,
    .recipients_added = recipients_added,
    .broadcast_removed = broadcast_removed,
    .key_added = key_added,
    .key_removed = key_removed,
    .receipt_added = receipt_added,
    .receipts_removed = receipts_removed,
    .usage = usage,
};

static struct settings settings;
static struct session_registry registry;
static struct host_budget budget;
static struct metrics metrics;
static struct store store = {.engine = &RECORDING};
static unsigned expired, stored;

static void on_expired(void *context, struct session *session)
{
    (void)context;
    expired++;
    session_end(&registry, session, SESSION_EXPIRED);
}

static void on_stored(void *context)
{
    (void)context;
    ck_assert_msg(!registry.broadcast || registry.broadcast->count == 0,
                  "a batch may be ended while the store lacks recipients");
    stored++;
}

static void start(void)
{
    ck_assert_int_eq(settings_init(&settings), 0);
    budget = (struct host_budget){.limit = 1 << 20};
    metrics = (struct metrics){0};
    failing = false;
    expired = stored = 0;
    store_used = 0;
    registry_init(&registry, &settings, &store, &budget, &metrics, 0);
    registry.on_expired = on_expired;
    registry.on_stored = on_stored;
}

static void stop(void)
{
    registry_free(&registry);
    ck_assert_uint_eq(budget.used, 0);
    settings_free(&settings);
    buffer_free(&told);
}

static inline struct session *create(const char *actor, const char *secret, uint64_t ttl_ms,
                                     uint64_t now)
{
    struct session *session = NULL;
    struct session_order order = {
        .actor = slice_from_string(actor), .secret = slice_from_string(secret), .ttl_ms = ttl_ms};
    ck_assert_int_eq(session_create(&registry, &order, now, &session), OUTCOME_QUEUED);
    return session;
}

static inline enum outcome accept_with(struct session *session, const char *text,
                                       struct message_order order, struct acceptance *acceptance)
{
    struct blob *body = message_body_new(&registry, slice_from_string(text));
    if (!body)
        return OUTCOME_OVER_LIMIT;
    order.bodies = &body;
    order.count = 1;
    enum outcome outcome = session_accept(&registry, session, &order, acceptance);
    budget_release_body(&budget, body);
    return outcome;
}

static inline enum outcome accept_one(struct session *session, uint64_t *id)
{
    struct acceptance acceptance;
    enum outcome outcome = accept_with(session, "[]", (struct message_order){0}, &acceptance);
    *id = acceptance.first_id;
    return outcome;
}

/* Compares what the store was told, and empties it. */
#define expect_told(text)                                                                          \
    do {                                                                                           \
        ck_assert_slice_eq(buffer_slice(&told), text);                                             \
        buffer_free(&told);                                                                        \
    } while (0)

static inline void check_figures(void)
{
    ck_assert_uint_eq(metrics.values[METRIC_ACCEPTED], metrics_accounted_for(&metrics));
}

#endif
