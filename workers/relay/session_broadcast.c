/* How a broadcast enters mailboxes. All that it takes in the store is one record of its body, and
 * lists of the mailboxes that have it, which are told by the page; so the mailboxes are ahead of
 * the store by up to that many, but never when a batch may be ended. */
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

void broadcast_end(struct session_registry *registry)
{
    broadcast_store(registry);
    registry->broadcast = NULL;
    registry->on_stored(registry->context);
}

void broadcast_gone(void *context, uint64_t number)
{
    struct session_registry *registry = context;
    store_must(registry->store->engine->broadcast_removed(registry->store, number),
               "broadcast-removed");
}
