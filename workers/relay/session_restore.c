/* Mailboxes as a store kept them. When the wall clock was set back meanwhile, nothing lies in the
 * future all the same: no age is negative, and no key is remembered for more than its window. */
#include "base/clock.h"
#include "workers/relay/message_settling.h"
#include "workers/relay/session_messages.h"

static uint64_t not_in_future(uint64_t at_ms)
{
    uint64_t now_ms = clock_steady_ms();
    return at_ms < now_ms ? at_ms : now_ms;
}

void session_restore_counts(struct session *session, const struct stored_counts *counts)
{
    struct mailbox *mailbox = &session->mailbox;
    mailbox->last_id = counts->confirmed + counts->gap;
    mailbox->sent_up_to = mailbox->last_id;
    mailbox->gap = counts->gap;
    mailbox->dropped = counts->dropped;
    mailbox->replaced = counts->replaced;
    mailbox->overflowed = counts->overflowed;
}

static void put_back(struct session_registry *registry, struct session *session, struct blob *body,
                     struct message_options *options)
{
    uint64_t id = mailbox_push(&session->mailbox, body, options);
    metric_add(registry->metrics, METRIC_PENDING, 1);
    metric_add(registry->metrics, METRIC_PENDING_BYTES, body->len);
    message_note_end(registry, session, mailbox_entry(&session->mailbox, id));
    message_note_oldest(registry, session);
}

static int restore_live(struct session_registry *registry, struct session *session,
                        const struct stored_message *stored)
{
    struct message_wish wish = {stored->expires_ms, stored->replace_key, stored->receipt};
    struct blob *body = budget_new_body(registry->budget, stored->body);
    struct message_options *options = NULL;
    if (body && !wish_is_empty(&wish))
        options = options_new(registry->budget, session->number, &wish);
    bool failed = !body || (!options && !wish_is_empty(&wish));
    if (!failed) {
        body->made_ms = not_in_future(stored->made_ms);
        put_back(registry, session, body, options);
    }
    if (body)
        budget_release_body(registry->budget, body);
    return failed ? -1 : 0;
}

int session_restore_message(struct session_registry *registry, struct session *session,
                            const struct stored_message *stored)
{
    struct mailbox *mailbox = &session->mailbox;
    uint64_t limit = budget_lift_limit(registry->budget);
    int result = message_times_prepare(registry, session, stored->expires_ms) != 0
                     ? -1
                     : mailbox_reserve(mailbox, 1, registry->budget);
    if (result == 0 && stored->dropped)
        mailbox_push_dropped(mailbox);
    else if (result == 0)
        result = restore_live(registry, session, stored);
    registry->budget->limit = limit;
    mailbox->sent_up_to = mailbox->last_id; /* it may have been sent before */
    return result;
}

struct blob *broadcast_restore(struct session_registry *registry, uint64_t number,
                               const struct stored_message *stored)
{
    uint64_t limit = budget_lift_limit(registry->budget);
    struct blob *body = budget_new_body(registry->budget, stored->body);
    registry->budget->limit = limit;
    if (!body)
        return NULL;
    body->made_ms = not_in_future(stored->made_ms);
    body->broadcast = number;
    if (number > registry->last_broadcast)
        registry->last_broadcast = number;
    return body;
}

int session_restore_broadcast(struct session_registry *registry, struct session *session,
                              struct blob *body)
{
    struct mailbox *mailbox = &session->mailbox;
    uint64_t limit = budget_lift_limit(registry->budget);
    int result = message_times_prepare(registry, session, 0) != 0
                     ? -1
                     : mailbox_reserve(mailbox, 1, registry->budget);
    registry->budget->limit = limit;
    if (result != 0)
        return -1;
    put_back(registry, session, body, NULL);
    mailbox->sent_up_to = mailbox->last_id;
    return 0;
}

int session_restore_key(struct session_registry *registry, struct session *session,
                        const struct stored_key *stored)
{
    uint64_t limit = budget_lift_limit(registry->budget);
    struct stored_key sound = *stored;
    sound.used_ms = not_in_future(stored->used_ms);
    struct used_key *key = used_key_new(&registry->used_keys, session, session->number, &sound);
    registry->budget->limit = limit;
    if (key && used_key_add(&registry->used_keys, &session->keys, key) == 0)
        return 0;
    used_key_discard(&registry->used_keys, key);
    return -1;
}
