/* How a broadcast enters mailboxes. All that it takes in the store is one record of its body, and
 * lists of the mailboxes that have it, which are told by the page; so the mailboxes are ahead of
 * the store by up to that many, but never when a batch may be ended. */
#include <errno.h>

#include "base/buffer.h"
#include "base/invariant.h"
#include "workers/relay/message_settling.h"
#include "workers/relay/session_messages.h"

int broadcast_begin(struct session_registry *registry, struct broadcast *broadcast,
                    struct blob *body, uint64_t mailboxes)
{
    struct store *store = registry->store;
    const struct stored_message message = {.body = blob_slice(body), .made_ms = body->made_ms};
    uint64_t number = registry->last_broadcast + 1;
    if (store->engine->broadcast_added(store, number, &message, mailboxes) != 0)
        return -1;
    registry->last_broadcast = body->broadcast = number;
    broadcast->body = body;
    broadcast->count = 0;
    registry->broadcast = broadcast;
    registry->on_stored(registry->context);
    return 0;
}

void broadcast_store(struct session_registry *registry)
{
    struct broadcast *broadcast = registry->broadcast;
    struct store *store = registry->store;
    if (!broadcast || broadcast->count == 0)
        return;
    store_must(store->engine->recipients_added(store, broadcast->body->broadcast,
                                               broadcast->recipients, broadcast->count),
               "recipients-added");
    broadcast->count = 0;
}

static void put_into_mailbox(struct session_registry *registry, struct session *session,
                             struct broadcast *broadcast, struct acceptance *acceptance)
{
    struct mailbox *mailbox = &session->mailbox;
    /* Before it can be delivered: a batch that was ended in between counts for nothing. */
    if (broadcast->count == 0)
        registry->on_stored(registry->context);
    uint64_t id = mailbox_push(mailbox, broadcast->body, NULL);
    metric_add(registry->metrics, METRIC_ACCEPTED, 1);
    metric_add(registry->metrics, METRIC_PENDING, 1);
    metric_add(registry->metrics, METRIC_PENDING_BYTES, broadcast->body->len);
    message_note_end(registry, session, mailbox_entry(mailbox, id));
    message_note_oldest(registry, session);
    acceptance->first_id = id;
    acceptance->count = 1;
    broadcast->recipients[broadcast->count++] = (struct stored_recipient){session->number, id};
}

enum outcome broadcast_accept(struct session_registry *registry, struct session *session,
                              struct acceptance *acceptance)
{
    CHECK_MAGIC(session, SESSION_MAGIC);
    struct broadcast *broadcast = registry->broadcast;
    unsigned drops = 0;
    *acceptance = (struct acceptance){0};
    message_drop_due(registry, session);
    if (!message_make_mailbox_room(registry, session, 1, broadcast->body->len,
                                   &acceptance->dropped))
        return message_refuse(registry, 1, LIMIT_MAILBOX, acceptance);
    while (message_times_prepare(registry, session, 0) != 0 ||
           mailbox_reserve(&session->mailbox, 1, registry->budget) != 0)
        if (!message_make_host_room(registry, &drops))
            return message_refuse(registry, 1, LIMIT_HOST, acceptance);
    put_into_mailbox(registry, session, broadcast, acceptance);
    if (broadcast->count == STORED_RECIPIENTS_MAX) {
        broadcast_store(registry);
        registry->on_stored(registry->context);
    }
    return OUTCOME_QUEUED;
}

/* --- broadcasts that few still wait for ------------------------------------------------------- */

enum {
    RECORD_OVERHEAD = 100, /* that a record of its own takes beside the body, about */
    THINNED_AT_ONCE = 64,
    HALF = 2,
    STEP = 16, /* a part of the store: so much more is used before it is tried again */
};

/* All sessions may have had it: the list of them is at most so long. */
static bool is_worth_records(const struct session_registry *registry, const struct blob *body)
{
    uint64_t records = (uint64_t)body->references * (body->len + RECORD_OVERHEAD);
    return 2 * records < registry->sessions.count * sizeof(struct stored_recipient);
}

/* Takes a reference of each that is listed. */
static bool list_body(const struct session_registry *registry, struct buffer *bodies,
                      struct blob *body)
{
    if (body->broadcast & BROADCAST_LISTED)
        return true;
    if (buffer_len(bodies) / sizeof(struct blob *) == THINNED_AT_ONCE ||
        !is_worth_records(registry, body) ||
        buffer_append(bodies, &body, sizeof(struct blob *)) != 0)
        return false;
    blob_retain(body);
    body->broadcast |= BROADCAST_LISTED | BROADCAST_RECORDED;
    return true;
}

/* Returns 0, or -1 when the store has no room. */
static int give_records(struct session_registry *registry, struct session *session,
                        struct buffer *bodies)
{
    struct store *store = registry->store;
    const struct mailbox *mailbox = &session->mailbox;
    for (uint64_t id = mailbox_first_entry(mailbox); id <= mailbox->last_id; id++) {
        struct blob *body = mailbox_entry(mailbox, id)->body;
        if (!body || body->broadcast == 0 || !list_body(registry, bodies, body))
            continue;
        const struct stored_message message = {
            .id = id, .body = blob_slice(body), .made_ms = body->made_ms};
        if (store->engine->message_changed(store, session->number, &message) != 0) {
            store_must(errno == ENOSPC ? 0 : -1, "message-changed");
            return -1;
        }
        registry->on_stored(registry->context);
    }
    return 0;
}

/* The lists go when every record is there; else both stay, and the records count. */
static void let_go(struct session_registry *registry, struct blob *body, bool is_recorded)
{
    uint64_t number = body->broadcast & BROADCAST_NUMBER;
    body->broadcast &= ~BROADCAST_LISTED;
    if (is_recorded) {
        body->broadcast = 0;
        broadcast_gone(registry, number);
        registry->on_stored(registry->context);
    }
    budget_release_body(registry->budget, body);
}

static void thin_out(struct session_registry *registry)
{
    struct buffer bodies = {0};
    int result = 0;
    for (uint32_t i = 0; i < registry->sessions.count && result == 0; i++)
        result = give_records(registry, session_at(registry, i), &bodies);
    struct blob *const *listed = (struct blob *const *)buffer_bytes(&bodies);
    for (size_t i = 0; i < buffer_len(&bodies) / sizeof(struct blob *); i++)
        let_go(registry, listed[i], result == 0);
    buffer_free(&bodies);
}

void broadcast_end(struct session_registry *registry)
{
    broadcast_store(registry);
    registry->broadcast = NULL;
    registry->on_stored(registry->context);
    struct store_usage usage = registry->store->engine->usage(registry->store);
    if (usage.used_bytes <= usage.size_bytes / HALF) {
        registry->thin_out_above = 0;
    } else if (usage.used_bytes > registry->thin_out_above) {
        registry->thin_out_above = usage.used_bytes + usage.size_bytes / STEP;
        thin_out(registry);
    }
}

void broadcast_gone(void *context, uint64_t broadcast)
{
    struct session_registry *registry = context;
    uint64_t number = broadcast & BROADCAST_NUMBER;
    store_must(registry->store->engine->broadcast_removed(registry->store, number),
               "broadcast-removed");
}
