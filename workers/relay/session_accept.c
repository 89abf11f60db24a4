/* How messages enter mailboxes: the limits and their policies, idempotency and replace keys, the
 * store. Whatever can fail comes before the store is told; nothing can fail after it. */
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/invariant.h"
#include "workers/relay/message_settling.h"
#include "workers/relay/session_messages.h"

/* Not more is dropped for one message that wants in. */
enum { HOST_DROPS_MAX = 10000 };

static struct session *session_of_oldest(struct heap_node *node)
{
    return node ? ((struct message_times *)((char *)node - offsetof(struct message_times, oldest)))
                      ->session
                : NULL;
}

bool message_make_host_room(struct session_registry *registry, unsigned *drops)
{
    struct session *session = session_of_oldest(heap_first(&registry->oldest));
    if (errno != ENOSPC || !session || ++*drops > HOST_DROPS_MAX) {
        errno = ENOSPC;
        return false;
    }
    message_drop_oldest(registry, session, SETTLED_HOST_FULL);
    return true;
}

struct blob *message_body_new(struct session_registry *registry, struct slice bytes)
{
    struct blob *body = budget_new_body(registry->budget, bytes);
    unsigned drops = 0;
    /* What no host of this size can hold drops nothing. */
    while (!body && bytes.len < registry->budget->limit && message_make_host_room(registry, &drops))
        body = budget_new_body(registry->budget, bytes);
    return body;
}

static uint64_t bytes_of(const struct message_order *order)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < order->count; i++)
        bytes += order->bodies[i]->len;
    return bytes;
}

static bool is_too_old(const struct session_registry *registry, const struct mailbox *mailbox)
{
    if (registry->limits.age_ms == 0 || mailbox->pending == 0)
        return false;
    uint64_t made_ms = mailbox_entry(mailbox, mailbox_first_entry(mailbox))->body->made_ms;
    return made_ms + registry->limits.age_ms <= clock_steady_ms();
}

bool message_make_mailbox_room(struct session_registry *registry, struct session *session,
                               size_t count, uint64_t bytes, uint32_t *dropped)
{
    const struct message_limits *limits = &registry->limits;
    const struct mailbox *mailbox = &session->mailbox;
    if (count > limits->mailbox.messages || bytes > limits->mailbox.bytes ||
        (!limits->mailbox_drops_oldest && is_too_old(registry, mailbox)))
        return false;
    while (!mailbox_has_room(mailbox, count, bytes, &limits->mailbox)) {
        if (!limits->mailbox_drops_oldest)
            return false;
        message_drop_oldest(registry, session, SETTLED_MAILBOX_FULL);
        ++*dropped;
    }
    return true;
}

/* What is made before the store is asked, so that nothing can fail after it. */
struct preparation {
    struct message_options **options; /* one per message, or NULL */
    struct stored_message *messages;
    struct stored_message one; /* most orders have but one message */
    struct used_key *key;
};

static void free_lists(struct preparation *made)
{
    free(made->options);
    if (made->messages != &made->one)
        free(made->messages);
}

static void discard(struct session_registry *registry, const struct message_order *order,
                    struct preparation *made)
{
    for (size_t i = 0; made->options && i < order->count; i++)
        options_free(registry->budget, made->options[i]);
    free_lists(made);
    used_key_discard(&registry->used_keys, made->key);
    *made = (struct preparation){0};
}

static int prepare_options(struct session_registry *registry, const struct session *session,
                           const struct message_order *order, struct preparation *made)
{
    if (wish_is_empty(&order->wish))
        return 0;
    made->options = calloc(order->count, sizeof(struct message_options *));
    for (size_t i = 0; made->options && i < order->count; i++) {
        made->options[i] = options_new(registry->budget, session->number, &order->wish);
        if (!made->options[i])
            return -1;
    }
    return made->options ? 0 : -1;
}

static int prepare_messages(const struct message_order *order, uint64_t first_id,
                            struct preparation *made)
{
    made->messages = order->count <= 1 ? &made->one : calloc(order->count, sizeof *made->messages);
    for (size_t i = 0; made->messages && i < order->count; i++)
        made->messages[i] = (struct stored_message){.id = first_id + i,
                                                    .body = blob_slice(order->bodies[i]),
                                                    .made_ms = order->bodies[i]->made_ms,
                                                    .expires_ms = order->wish.expires_ms,
                                                    .replace_key = order->wish.replace_key,
                                                    .receipt = order->wish.receipt};
    return made->messages ? 0 : -1;
}

static struct stored_key key_to_store(const struct message_order *order, uint64_t first_id)
{
    return (struct stored_key){.key = order->idempotency_key,
                               .used_ms = clock_steady_ms(),
                               .first_id = first_id,
                               .count = (uint32_t)order->count,
                               .digest = order->digest};
}

/* The key is found from here on: take_back() undoes that. */
static int prepare_key(struct session_registry *registry, struct session *session,
                       const struct message_order *order, uint64_t first_id,
                       struct preparation *made)
{
    if (order->idempotency_key.len == 0)
        return 0;
    struct stored_key stored = key_to_store(order, first_id);
    struct used_key *key = used_key_new(&registry->used_keys, session, session->number, &stored);
    if (!key)
        return -1;
    if (used_key_add(&registry->used_keys, &session->keys, key) == 0)
        return 0;
    made->key = key;
    return -1;
}

static void take_key_back(struct session_registry *registry, struct session *session,
                          const struct message_order *order)
{
    if (order->idempotency_key.len == 0)
        return;
    struct used_key *key =
        used_key_find(&registry->used_keys, session->number, order->idempotency_key);
    if (key)
        used_key_remove(&registry->used_keys, &session->keys, key);
}

static int prepare_once(struct session_registry *registry, struct session *session,
                        const struct message_order *order, uint64_t first_id, bool replaces,
                        struct preparation *made)
{
    if (prepare_options(registry, session, order, made) == 0 &&
        prepare_messages(order, first_id, made) == 0 &&
        message_times_prepare(registry, session, order->wish.expires_ms) == 0 &&
        (replaces || mailbox_reserve(&session->mailbox, order->count, registry->budget) == 0) &&
        prepare_key(registry, session, order, first_id, made) == 0)
        return 0;
    int error = errno;
    discard(registry, order, made);
    mailbox_unreserve(&session->mailbox, registry->budget);
    errno = error;
    return -1;
}

static int prepare(struct session_registry *registry, struct session *session,
                   const struct message_order *order, uint64_t first_id, bool replaces,
                   struct preparation *made)
{
    unsigned drops = 0;
    int result;
    do
        result = prepare_once(registry, session, order, first_id, replaces, made);
    while (result != 0 && message_make_host_room(registry, &drops));
    return result;
}

/* The key first: it must not be missing where the messages are. */
static int tell_store(struct session_registry *registry, const struct session *session,
                      const struct message_order *order, const struct preparation *made,
                      bool replaces)
{
    struct store *store = registry->store;
    const struct store_engine *engine = store->engine;
    if (order->idempotency_key.len > 0) {
        struct stored_key key = key_to_store(order, made->messages[0].id);
        if (engine->key_added(store, session->number, &key) != 0)
            return -1;
    }
    if ((replaces
             ? engine->message_changed(store, session->number, made->messages)
             : engine->messages_added(store, session->number, made->messages, order->count)) == 0)
        return 0;
    int error = errno;
    if (order->idempotency_key.len > 0)
        store_must(engine->key_removed(store, session->number, order->idempotency_key),
                   "key-removed");
    errno = error;
    return -1;
}

static void put_into_mailbox(struct session_registry *registry, struct session *session,
                             const struct message_order *order, const struct preparation *made)
{
    struct mailbox *mailbox = &session->mailbox;
    for (size_t i = 0; i < order->count; i++) {
        struct message_options *options = made->options ? made->options[i] : NULL;
        uint64_t id = mailbox_push(mailbox, order->bodies[i], options);
        if (options && options->replace_key_len > 0)
            replaceable_add(&registry->replaceable, options);
        message_note_end(registry, session, mailbox_entry(mailbox, id));
    }
}

static void put_in_place(struct session_registry *registry, struct session *session, uint64_t id,
                         const struct message_order *order, const struct preparation *made)
{
    struct mailbox *mailbox = &session->mailbox;
    message_let_go_of(registry, session, mailbox_entry(mailbox, id)->options, SETTLED_REPLACED);
    message_count_settled(
        registry,
        mailbox_replace(mailbox, id, order->bodies[0], made->options[0], registry->budget),
        SETTLED_REPLACED);
    replaceable_add(&registry->replaceable, made->options[0]);
    message_note_end(registry, session, mailbox_entry(mailbox, id));
    message_store_counts(registry, session);
}

/* The message that this one may take the place of: of the same key, and not sent to anyone yet; 0
 * when there is none. */
static uint64_t replaced_id(const struct session_registry *registry, const struct session *session,
                            const struct message_order *order)
{
    if (order->wish.replace_key.len == 0)
        return 0;
    const struct message_options *older =
        replaceable_find(&registry->replaceable, session->number, order->wish.replace_key);
    return older && older->id > session->mailbox.sent_up_to ? older->id : 0;
}

/* Room for a message in place of another one. */
static bool fits_in_place(const struct session_registry *registry, const struct mailbox *mailbox,
                          uint64_t id, uint64_t bytes)
{
    uint64_t others = mailbox->bytes - mailbox_entry(mailbox, id)->body->len;
    return bytes <= registry->limits.mailbox.bytes &&
           others <= registry->limits.mailbox.bytes - bytes;
}

enum outcome message_refuse(struct session_registry *registry, size_t count, enum limit limit,
                            struct acceptance *acceptance)
{
    static const enum metric METRICS_OF[LIMIT_COUNT] = {
        [LIMIT_MAILBOX] = METRIC_REFUSED_MAILBOX_FULL,
        [LIMIT_HOST] = METRIC_REFUSED_HOST_FULL,
        [LIMIT_STORE] = METRIC_REFUSED_STORE_FULL,
    };
    metric_add(registry->metrics, METRICS_OF[limit], count);
    acceptance->limit = limit;
    return OUTCOME_OVER_LIMIT;
}

/* The messages enter, all or none. */
static enum outcome enter(struct session_registry *registry, struct session *session,
                          const struct message_order *order, struct acceptance *acceptance)
{
    struct mailbox *mailbox = &session->mailbox;
    struct preparation made = {0};
    uint64_t bytes = bytes_of(order), in_place = replaced_id(registry, session, order);
    if (in_place > 0 && !fits_in_place(registry, mailbox, in_place, bytes))
        in_place = 0;
    if (in_place == 0 &&
        !message_make_mailbox_room(registry, session, order->count, bytes, &acceptance->dropped))
        return message_refuse(registry, order->count, LIMIT_MAILBOX, acceptance);
    uint64_t first_id = in_place > 0 ? in_place : mailbox->last_id + 1;
    if (prepare(registry, session, order, first_id, in_place > 0, &made) != 0)
        return message_refuse(registry, order->count, LIMIT_HOST, acceptance);
    if (in_place > 0 && in_place != replaced_id(registry, session, order)) {
        /* It was dropped to make room for this one. */
        take_key_back(registry, session, order);
        discard(registry, order, &made);
        return enter(registry, session, order, acceptance);
    }
    if (tell_store(registry, session, order, &made, in_place > 0) != 0) {
        take_key_back(registry, session, order);
        discard(registry, order, &made);
        mailbox_unreserve(mailbox, registry->budget);
        return message_refuse(registry, order->count, LIMIT_STORE, acceptance);
    }
    metric_add(registry->metrics, METRIC_ACCEPTED, order->count);
    metric_add(registry->metrics, METRIC_PENDING, order->count);
    metric_add(registry->metrics, METRIC_PENDING_BYTES, bytes);
    if (in_place > 0)
        put_in_place(registry, session, in_place, order, &made);
    else
        put_into_mailbox(registry, session, order, &made);
    free_lists(&made);
    message_note_oldest(registry, session);
    registry->on_stored(registry->context);
    acceptance->replaced = in_place > 0;
    acceptance->first_id = first_id;
    acceptance->count = (uint32_t)order->count;
    return OUTCOME_QUEUED;
}

enum outcome session_accept(struct session_registry *registry, struct session *session,
                            const struct message_order *order, struct acceptance *acceptance)
{
    CHECK_MAGIC(session, SESSION_MAGIC);
    *acceptance = (struct acceptance){0};
    message_drop_due(registry, session);
    const struct used_key *used =
        order->idempotency_key.len > 0
            ? used_key_find(&registry->used_keys, session->number, order->idempotency_key)
            : NULL;
    if (!used && !order->bodies)
        return message_refuse(registry, order->count, LIMIT_HOST, acceptance);
    if (!used)
        return enter(registry, session, order, acceptance);
    if (used->digest != order->digest || used->count != order->count) {
        metric_add(registry->metrics, METRIC_REFUSED_KEY_REUSED, order->count);
        return OUTCOME_KEY_REUSED;
    }
    metric_add(registry->metrics, METRIC_REPEATED, order->count);
    acceptance->repeated = true;
    acceptance->first_id = used->first_id;
    acceptance->count = used->count;
    return OUTCOME_QUEUED;
}
