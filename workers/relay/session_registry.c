#include "workers/relay/session_registry.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/encoding.h"
#include "base/invariant.h"
#include "base/log.h"
#include "base/random.h"
#include "codecs/session_key.h"
#include "workers/relay/session_messages.h"

enum {
    SECRET_BYTES = 16,
    /* What a session takes beside its struct: allocation, hash buckets, an attachment. */
    SESSION_SIDE_COST = 256,
    TTL_MIN_MS = 1000,
};
static const uint64_t TTL_MAX_MS = 365ull * 24 * 3600 * 1000;

static_assert(offsetof(struct session, member) == 0, "a session begins with its place");

static struct slice address_of(const struct roster_member *member)
{
    return session_address((const struct session *)member);
}

void registry_init(struct session_registry *registry, const struct settings *settings,
                   struct store *store, struct host_budget *budget, struct metrics *metrics,
                   uint64_t now_ms)
{
    memset(registry, 0, sizeof *registry);
    registry->sessions.key_of = address_of;
    registry->next_tick = now_ms / SESSION_TICK_MS;
    registry->limits = (struct message_limits){
        .mailbox = {settings->limit_mailbox_messages, settings->limit_mailbox_bytes},
        .age_ms = settings->limit_mailbox_age,
        .mailbox_drops_oldest = strcmp(settings->mailbox_policy, "dropOldest") == 0,
        .host_drops_oldest = strcmp(settings->host_policy, "dropOldest") == 0};
    registry->session_limit = settings->limit_sessions;
    registry->default_ttl_ms = settings->session_ttl;
    registry->store = store;
    registry->used_keys =
        (struct used_keys){.window_ms = settings->idempotency_window, .budget = budget};
    receipts_init(&registry->receipts, settings->limit_receipts, store);
    registry->budget = budget;
    registry->metrics = metrics;
    budget->on_broadcast_gone = broadcast_gone;
    budget->context = registry;
}

static struct session **wheel_slot(struct session_registry *registry, const struct session *session)
{
    return &registry->wheel[session->expires_ms / SESSION_TICK_MS % SESSION_WHEEL_SLOTS];
}

static void leave_wheel(struct session_registry *registry, struct session *session)
{
    struct session **slot = wheel_slot(registry, session);
    /* The analyzer does not know that the only element of a list is its own predecessor. */
    DL_DELETE2(*slot, session, wheel_prev, wheel_next); // NOLINT(*-core.NullDereference)
}

static uint64_t cost_of(size_t address_len, size_t home_len)
{
    return sizeof(struct session) + address_len + home_len + SESSION_SIDE_COST;
}

static void message_times_free(struct session_registry *registry, struct session *session)
{
    struct message_times *times = session->times;
    if (!times)
        return;
    heap_remove(&registry->due, &times->due);
    heap_remove(&registry->oldest, &times->oldest);
    registry->timed--;
    session->times = NULL;
    free(times);
}

int message_times_reserve(struct session_registry *registry, struct session *session)
{
    if (session->times)
        return 0;
    size_t timed = registry->timed + 1;
    if (heap_reserve(&registry->due, timed - registry->due.count) != 0 ||
        heap_reserve(&registry->oldest, timed - registry->oldest.count) != 0)
        return -1;
    struct message_times *times = calloc(1, sizeof *times);
    if (!times)
        return -1;
    times->session = session;
    session->times = times;
    registry->timed = timed;
    return 0;
}

/* Its mailbox is empty. */
static void free_session(struct session_registry *registry, struct session *session)
{
    CHECK_MAGIC(session, SESSION_MAGIC);
    if (!session->held)
        leave_wheel(registry, session);
    message_times_free(registry, session);
    while (session->keys)
        used_key_remove(&registry->used_keys, &session->keys, session->keys);
    roster_remove(&registry->sessions, &session->member);
    budget_discharge(registry->budget, cost_of(session->address_len, session->home_len));
    session->magic = 0;
    free(session);
}

void registry_free(struct session_registry *registry)
{
    registry->budget->on_broadcast_gone = NULL;
    while (registry->sessions.count > 0) {
        struct session *session = session_at(registry, registry->sessions.count - 1);
        session_forget_messages(registry, session);
        free_session(registry, session);
    }
    heap_free(&registry->due);
    heap_free(&registry->oldest);
    receipts_free(&registry->receipts);
}

static void tick_slot(struct session_registry *registry, struct session *first, uint64_t now_ms)
{
    for (struct session *session = first, *next; session; session = next) {
        next = session->wheel_next;
        if (session->expires_ms <= now_ms)
            registry->on_expired(registry->context, session);
    }
}

void registry_tick(struct session_registry *registry, uint64_t now_ms)
{
    uint64_t end = now_ms / SESSION_TICK_MS;
    uint64_t slots = end - registry->next_tick;
    if (end < registry->next_tick)
        return;
    if (slots > SESSION_WHEEL_SLOTS)
        slots = SESSION_WHEEL_SLOTS;
    registry->next_tick = end;
    for (uint64_t tick = end - slots; tick < end; tick++)
        tick_slot(registry, registry->wheel[tick % SESSION_WHEEL_SLOTS], now_ms);
}

struct session *session_find(const struct session_registry *registry, struct slice address)
{
    return (struct session *)roster_find(&registry->sessions, address);
}

/* Writes the address, with a random secret when none is given. Returns its length, 0 when a part is
 * not acceptable. */
static size_t make_address(const struct session_order *order, char address[ADDRESS_MAX + 1])
{
    char made[4 * ((SECRET_BYTES + 2) / 3) + 1];
    struct slice secret = order->secret;
    if (secret.len == 0) {
        unsigned char random[SECRET_BYTES];
        random_bytes(random, sizeof random);
        secret = slice_of(made, encode_base64url(random, sizeof random, made));
    }
    if (!actor_is_valid(order->actor) || !secret_is_valid(secret))
        return 0;
    return (size_t)snprintf(address, ADDRESS_MAX + 1, ADDRESS_PREFIX "%.*s:%.*s",
                            (int)order->actor.len, order->actor.data, (int)secret.len, secret.data);
}

static struct session *new_session(struct slice address, struct slice home)
{
    INVARIANT(address.len <= ADDRESS_MAX && home.len <= CLUSTER_ID_MAX, "a name beyond its limit");
    struct session *session = calloc(1, sizeof *session + address.len + home.len);
    if (!session)
        return NULL;
    session->magic = SESSION_MAGIC;
    session->address_len = (uint16_t)address.len;
    session->home_len = (uint8_t)home.len;
    memcpy(session->text, address.data, address.len);
    if (home.len > 0)
        memcpy(session->text + address.len, home.data, home.len);
    return session;
}

static void start_life(struct session_registry *registry, struct session *session, uint64_t ttl_ms,
                       uint64_t now_ms)
{
    if (ttl_ms == 0)
        ttl_ms = registry->default_ttl_ms;
    else if (ttl_ms < TTL_MIN_MS)
        ttl_ms = TTL_MIN_MS;
    session->ttl_ms = ttl_ms < TTL_MAX_MS ? ttl_ms : TTL_MAX_MS;
    session->held = true;
    session_release(registry, session, now_ms);
}

struct stored_session session_to_store(const struct session *session)
{
    const struct mailbox *mailbox = &session->mailbox;
    return (struct stored_session){.number = session->number,
                                   .address = session_address(session),
                                   .home = session_home(session),
                                   .ttl_ms = session->ttl_ms,
                                   .created_ms = session->created_ms,
                                   .counts = {.confirmed = mailbox_first_waiting(mailbox) - 1,
                                              .gap = mailbox->gap,
                                              .dropped = mailbox->dropped,
                                              .replaced = mailbox->replaced,
                                              .overflowed = mailbox->overflowed}};
}

static int store_new_session(struct session_registry *registry, const struct session *session)
{
    struct stored_session stored = session_to_store(session);
    return registry->store->engine->session_created(registry->store, &stored);
}

enum outcome session_create(struct session_registry *registry, const struct session_order *order,
                            uint64_t now_ms, struct session **result)
{
    char text[ADDRESS_MAX + 1];
    struct slice address = slice_of(text, make_address(order, text));
    if (address.len == 0 || (order->home.len > 0 && !cluster_id_is_valid(order->home)))
        return OUTCOME_INVALID_KEY;
    if (session_find(registry, address))
        return OUTCOME_EXISTS;
    uint64_t cost = cost_of(address.len, order->home.len);
    if (registry->sessions.count >= registry->session_limit ||
        budget_charge(registry->budget, cost) != 0)
        return OUTCOME_OVER_LIMIT;
    struct session *session = new_session(address, order->home);
    if (!session || roster_add(&registry->sessions, &session->member) != 0) {
        budget_discharge(registry->budget, cost);
        free(session);
        return OUTCOME_OVER_LIMIT;
    }
    session->number = ++registry->last_number;
    session->created_ms = clock_steady_ms();
    start_life(registry, session, order->ttl_ms, now_ms);
    if (store_new_session(registry, session) != 0) {
        free_session(registry, session);
        return OUTCOME_OVER_LIMIT;
    }
    metric_add(registry->metrics, METRIC_SESSIONS_CREATED, 1);
    metric_add(registry->metrics, METRIC_SESSIONS, 1);
    registry->on_stored(registry->context);
    *result = session;
    return OUTCOME_QUEUED;
}

struct session *session_restore(struct session_registry *registry,
                                const struct stored_session *stored, uint64_t now_ms)
{
    struct session *session = new_session(stored->address, stored->home);
    if (!session || roster_add(&registry->sessions, &session->member) != 0) {
        free(session);
        return NULL;
    }
    uint64_t limit = budget_lift_limit(registry->budget);
    budget_charge(registry->budget, cost_of(stored->address.len, stored->home.len));
    registry->budget->limit = limit;
    session->number = stored->number;
    if (stored->number > registry->last_number)
        registry->last_number = stored->number;
    uint64_t steady_ms = clock_steady_ms();
    session->created_ms = stored->created_ms < steady_ms ? stored->created_ms : steady_ms;
    start_life(registry, session, stored->ttl_ms, now_ms);
    session_restore_counts(session, &stored->counts);
    metric_add(registry->metrics, METRIC_SESSIONS, 1);
    return session;
}

static const struct {
    enum metric sessions;
    enum settlement messages;
} END_CAUSES[] = {
    [SESSION_EXPIRED] = {METRIC_SESSIONS_EXPIRED, SETTLED_SESSION_EXPIRED},
    [SESSION_DELETED] = {METRIC_SESSIONS_DELETED, SETTLED_SESSION_DELETED},
    [SESSION_BROKEN] = {METRIC_SESSIONS_BROKEN, SETTLED_SESSION_BROKEN},
};

void session_end(struct session_registry *registry, struct session *session,
                 enum session_end_cause cause)
{
    INVARIANT(!session->attachment, "a session ended under its attachment");
    session_drop_messages(registry, session, END_CAUSES[cause].messages);
    metric_add(registry->metrics, END_CAUSES[cause].sessions, 1);
    metric_sub(registry->metrics, METRIC_SESSIONS, 1);
    store_must(registry->store->engine->session_deleted(registry->store, session->number),
               "session-deleted");
    free_session(registry, session);
    registry->on_stored(registry->context);
}

void session_hold(struct session_registry *registry, struct session *session)
{
    CHECK_MAGIC(session, SESSION_MAGIC);
    if (session->held)
        return;
    leave_wheel(registry, session);
    session->held = true;
}

void session_release(struct session_registry *registry, struct session *session, uint64_t now_ms)
{
    session_release_until(registry, session, now_ms + session->ttl_ms);
}

void session_release_until(struct session_registry *registry, struct session *session,
                           uint64_t expires_ms)
{
    session_hold(registry, session);
    session->held = false;
    session->expires_ms = expires_ms;
    DL_APPEND2(*wheel_slot(registry, session), session, wheel_prev, wheel_next);
}
