/* How messages leave their mailboxes: confirmed, expired, dropped. */
#include "workers/relay/message_settling.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/invariant.h"
#include "base/log.h"
#include "io/child_contract.h"
#include "workers/relay/session_messages.h"

enum {
    /* One change of the store covers no more: the smallest store has room for it at any time. */
    STEP_RECEIPTS = 16,
    STEP_MESSAGES = 1000,
    /* What is over leaves at most so much of it at once, unless a client asks. */
    DROPS_AT_ONCE = 50000,
    /* A mailbox is not searched again before that many of its messages were a millisecond. */
    SEARCHED_PER_MS = 2000,
};

static const enum metric SETTLEMENT_METRICS[SETTLEMENT_COUNT] = {
    [SETTLED_CONFIRMED] = METRIC_CONFIRMED,
    [SETTLED_TTL] = METRIC_DROPPED_TTL,
    [SETTLED_REPLACED] = METRIC_DROPPED_REPLACED,
    [SETTLED_MAILBOX_FULL] = METRIC_DROPPED_MAILBOX_FULL,
    [SETTLED_HOST_FULL] = METRIC_DROPPED_HOST_FULL,
    [SETTLED_AGE] = METRIC_DROPPED_AGE,
    [SETTLED_SESSION_EXPIRED] = METRIC_DROPPED_EXPIRED,
    [SETTLED_SESSION_DELETED] = METRIC_DROPPED_DELETED,
    [SETTLED_SESSION_BROKEN] = METRIC_DROPPED_BROKEN,
};

void store_must(int result, const char *operation)
{
    if (result == 0)
        return;
    LOG_ERROR("store-failed", "operation=%s errno=%d action=\"starting the relay anew\"", operation,
              errno);
    _Exit(EXIT_OS);
}

static void add_receipt(struct session_registry *registry, const struct session *session,
                        const struct message_options *options, enum settlement settlement)
{
    struct receipt receipt = {.settlement = (uint8_t)settlement,
                              .sent = options->id <= session->mailbox.sent_up_to,
                              .at_ms = clock_steady_ms(),
                              .id = options->id,
                              .address = session_address(session),
                              .tag = options_receipt(options)};
    store_must(receipts_add(&registry->receipts, &receipt), "receipt");
    metric_add(registry->metrics, METRIC_RECEIPTS, 1);
}

void message_let_go_of(struct session_registry *registry, const struct session *session,
                       struct message_options *options, enum settlement settlement)
{
    if (!options)
        return;
    replaceable_remove(&registry->replaceable, options);
    if (options->receipt_len > 0)
        add_receipt(registry, session, options, settlement);
}

void message_count_settled(struct session_registry *registry, struct mailbox_freed freed,
                           enum settlement settlement)
{
    metric_add(registry->metrics, SETTLEMENT_METRICS[settlement], freed.messages);
    metric_sub(registry->metrics, METRIC_PENDING, freed.messages);
    metric_sub(registry->metrics, METRIC_PENDING_BYTES, freed.bytes);
}

void message_note_oldest(struct session_registry *registry, struct session *session)
{
    const struct mailbox *mailbox = &session->mailbox;
    struct message_times *times = session->times;
    if (!registry->limits.host_drops_oldest || !times)
        return;
    if (mailbox->pending == 0)
        heap_remove(&registry->oldest, &times->oldest);
    else
        heap_set(&registry->oldest, &times->oldest,
                 mailbox_entry(mailbox, mailbox_first_entry(mailbox))->body->made_ms);
}

void message_store_counts(struct session_registry *registry, struct session *session)
{
    struct store *store = registry->store;
    struct mailbox *mailbox = &session->mailbox;
    struct stored_session stored = session_to_store(session);
    if (mailbox->records_left)
        store_must(store->engine->messages_removed(store, session->number,
                                                   mailbox_first_entry(mailbox) - 1),
                   "messages-removed");
    mailbox->records_left = false;
    store_must(store->engine->session_changed(store, &stored), "session-changed");
    broadcast_store(registry);
    registry->on_stored(registry->context);
}

static bool is_overflow(enum settlement settlement)
{
    return settlement == SETTLED_MAILBOX_FULL || settlement == SETTLED_HOST_FULL ||
           settlement == SETTLED_AGE;
}

static int put_placeholder(const struct session_registry *registry, const struct session *session,
                           uint64_t id)
{
    struct stored_message placeholder = {.id = id, .dropped = true};
    return registry->store->engine->message_changed(registry->store, session->number, &placeholder);
}

/* Drops the live message of `id`, whose ID stays. message_store_counts() is to follow, for one or
 * for several. False: it has to wait, a broadcast that is not the mailbox's first, since the store
 * has no room to note that. */
static bool drop_message(struct session_registry *registry, struct session *session, uint64_t id,
                         enum settlement settlement)
{
    struct mailbox *mailbox = &session->mailbox;
    const struct mailbox_entry *entry = mailbox_entry(mailbox, id);
    bool stays = id > mailbox_first_entry(mailbox), is_broadcast = entry->body->broadcast != 0;
    if (stays && is_broadcast && put_placeholder(registry, session, id) != 0) {
        store_must(errno == ENOSPC ? 0 : -1, "message-changed");
        return false;
    }
    message_let_go_of(registry, session, entry->options, settlement);
    message_count_settled(registry, mailbox_drop(mailbox, id, registry->budget), settlement);
    if (is_overflow(settlement))
        mailbox->overflowed++;
    if (stays && !is_broadcast)
        store_must(put_placeholder(registry, session, id), "message-changed");
    return true;
}

void message_drop_oldest(struct session_registry *registry, struct session *session,
                         enum settlement settlement)
{
    drop_message(registry, session, mailbox_first_entry(&session->mailbox), settlement);
    message_store_counts(registry, session);
    message_note_oldest(registry, session);
}

static struct message_times *times_of_due(struct heap_node *node)
{
    return node ? (struct message_times *)((char *)node - offsetof(struct message_times, due))
                : NULL;
}

/* Lets go of messages from the lowest on: up to and with `id`, or of as many as one change of the
 * store may cover, so that its batch can be ended before the next. Returns the last ID. */
static uint64_t let_go_up_to(struct session_registry *registry, const struct session *session,
                             uint64_t id, enum settlement settlement)
{
    const struct mailbox *mailbox = &session->mailbox;
    uint64_t first = mailbox_first_entry(mailbox), at = first;
    for (unsigned receipts = 0; at <= id && at - first < STEP_MESSAGES && receipts < STEP_RECEIPTS;
         at++) {
        struct message_options *options = mailbox_entry(mailbox, at)->options;
        receipts += options && options->receipt_len > 0;
        message_let_go_of(registry, session, options, settlement);
    }
    return at > id ? id : at - 1;
}

static void confirm_step(struct session_registry *registry, struct session *session, uint64_t id)
{
    struct mailbox *mailbox = &session->mailbox;
    id = let_go_up_to(registry, session, id, SETTLED_CONFIRMED);
    message_count_settled(registry, mailbox_confirm(mailbox, id, registry->budget),
                          SETTLED_CONFIRMED);
    message_store_counts(registry, session);
    message_note_oldest(registry, session);
}

bool session_confirm(struct session_registry *registry, struct session *session, uint64_t id)
{
    CHECK_MAGIC(session, SESSION_MAGIC);
    struct mailbox *mailbox = &session->mailbox;
    if (id > mailbox->last_id)
        return false;
    if (id > mailbox->sent_up_to)
        id = mailbox->sent_up_to;
    while (id >= mailbox_first_waiting(mailbox))
        confirm_step(registry, session, id);
    return true;
}

/* All but the last step leave the IDs, as if the session went on: it does when this process ends in
 * between. */
void session_drop_messages(struct session_registry *registry, struct session *session,
                           enum settlement settlement)
{
    struct mailbox *mailbox = &session->mailbox;
    uint64_t id;
    while ((id = let_go_up_to(registry, session, mailbox->last_id, settlement)) <
           mailbox->last_id) {
        message_count_settled(registry, mailbox_drop_up_to(mailbox, id, registry->budget),
                              settlement);
        message_store_counts(registry, session);
        message_note_oldest(registry, session);
    }
    message_count_settled(registry, mailbox_drop_all(mailbox, registry->budget), settlement);
}

void session_forget_messages(struct session_registry *registry, struct session *session)
{
    struct mailbox *mailbox = &session->mailbox;
    for (uint64_t id = mailbox_first_entry(mailbox); id <= mailbox->last_id; id++) {
        struct message_options *options = mailbox_entry(mailbox, id)->options;
        if (options)
            replaceable_remove(&registry->replaceable, options);
    }
    mailbox_drop_all(mailbox, registry->budget);
}

/* --- what is over ----------------------------------------------------------------------------- */

static uint64_t age_end(const struct session_registry *registry, const struct blob *body)
{
    return registry->limits.mailbox_drops_oldest && registry->limits.age_ms > 0
               ? body->made_ms + registry->limits.age_ms
               : UINT64_MAX;
}

static uint64_t end_of(const struct session_registry *registry, const struct mailbox_entry *entry)
{
    uint64_t end = age_end(registry, entry->body);
    uint64_t expires_ms = entry->options ? entry->options->expires_ms : 0;
    return expires_ms > 0 && expires_ms < end ? expires_ms : end;
}

int message_times_prepare(struct session_registry *registry, struct session *session,
                          uint64_t expires_ms)
{
    const struct message_limits *limits = &registry->limits;
    bool needed = expires_ms > 0 || limits->host_drops_oldest ||
                  (limits->mailbox_drops_oldest && limits->age_ms > 0);
    return needed ? message_times_reserve(registry, session) : 0;
}

void message_note_end(struct session_registry *registry, struct session *session,
                      const struct mailbox_entry *entry)
{
    uint64_t end = end_of(registry, entry);
    if (end == UINT64_MAX)
        return;
    struct message_times *times = session->times;
    INVARIANT(times, "a message that may expire in a session without times");
    if (end < times->search_ms)
        end = times->search_ms;
    if (times->due.place == 0 || end < times->due.key)
        heap_set(&registry->due, &times->due, end);
}

/* Drops up to `left` of what is over, and counts down. */
static void drop_over(struct session_registry *registry, struct session *session, uint64_t now_ms,
                      uint64_t *left)
{
    const struct mailbox *mailbox = &session->mailbox;
    uint64_t id = mailbox_first_entry(mailbox);
    unsigned step = 0;
    heap_remove(&registry->due, &session->times->due);
    session->times->search_ms = now_ms + mailbox->entries / SEARCHED_PER_MS;
    for (; id <= mailbox->last_id && *left > 0; id++) {
        if (id < mailbox_first_entry(mailbox) || !mailbox_entry(mailbox, id)->body)
            continue; /* dropped before, and in the gap now */
        const struct mailbox_entry *entry = mailbox_entry(mailbox, id);
        if (end_of(registry, entry) > now_ms) {
            message_note_end(registry, session, entry);
            continue;
        }
        if (!drop_message(registry, session, id,
                          age_end(registry, entry->body) <= now_ms ? SETTLED_AGE : SETTLED_TTL)) {
            session->times->search_ms = now_ms + SESSION_TICK_MS;
            message_note_end(registry, session, entry);
            continue;
        }
        --*left;
        if (++step == STEP_RECEIPTS) {
            message_store_counts(registry, session);
            step = 0;
        }
    }
    if (step > 0)
        message_store_counts(registry, session);
    message_note_oldest(registry, session);
    if (id <= mailbox->last_id)
        heap_set(&registry->due, &session->times->due, now_ms);
}

static void drop_due(struct session_registry *registry, struct session *session, uint64_t left)
{
    if (!session->times || session->times->due.place == 0)
        return;
    uint64_t now_ms = clock_steady_ms();
    if (session->times->due.key <= now_ms)
        drop_over(registry, session, now_ms, &left);
}

void session_drop_due(struct session_registry *registry, struct session *session)
{
    drop_due(registry, session, UINT64_MAX);
}

void message_drop_due(struct session_registry *registry, struct session *session)
{
    drop_due(registry, session, DROPS_AT_ONCE);
}

static void forget_keys(struct session_registry *registry, uint64_t now_ms)
{
    struct used_keys *keys = &registry->used_keys;
    struct store *store = registry->store;
    unsigned left = DROPS_AT_ONCE;
    for (struct used_key *key;
         left > 0 && (key = keys->oldest) && key->used_ms + keys->window_ms <= now_ms; left--) {
        struct session *session = key->session;
        store_must(store->engine->key_removed(store, session->number, used_key_text(key)),
                   "key-removed");
        used_key_remove(keys, &session->keys, key);
        registry->on_stored(registry->context);
    }
}

void messages_tick(struct session_registry *registry)
{
    uint64_t now_ms = clock_steady_ms();
    uint64_t left = DROPS_AT_ONCE;
    struct message_times *times;
    while (left > 0 && (times = times_of_due(heap_first(&registry->due))) &&
           times->due.key <= now_ms)
        drop_over(registry, times->session, now_ms, &left);
    forget_keys(registry, now_ms);
}
