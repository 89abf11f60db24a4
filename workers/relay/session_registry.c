#include "workers/relay/session_registry.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/encoding.h"
#include "base/invariant.h"
#include "base/log.h"
#include "base/random.h"
#include "codecs/session_key.h"

enum {
    SESSION_MAGIC = 0x73657373,
    SECRET_BYTES = 16,
    /* What a session takes beside its struct: allocation, hash buckets, an attachment. */
    SESSION_SIDE_COST = 256,
    TTL_MIN_MS = 1000,
};
static const uint64_t TTL_MAX_MS = 365ull * 24 * 3600 * 1000;

void registry_init(struct session_registry *registry, const struct settings *settings,
                   struct store *store, struct host_budget *budget, struct metrics *metrics,
                   uint64_t now_ms)
{
    memset(registry, 0, sizeof *registry);
    registry->next_tick = now_ms / SESSION_TICK_MS;
    registry->mailbox_limits =
        (struct mailbox_limits){settings->limit_mailbox_messages, settings->limit_mailbox_bytes};
    registry->session_limit = settings->limit_sessions;
    registry->default_ttl_ms = settings->session_ttl;
    registry->store = store;
    registry->budget = budget;
    registry->metrics = metrics;
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

static void free_session(struct session_registry *registry, struct session *session)
{
    CHECK_MAGIC(session, SESSION_MAGIC);
    if (!session->held)
        leave_wheel(registry, session);
    HASH_DELETE(hh, registry->sessions, session);
    budget_discharge(registry->budget,
                     cost_of(session->address_len, session->home ? strlen(session->home) : 0));
    session->magic = 0;
    free(session->home);
    free(session);
}

void registry_free(struct session_registry *registry)
{
    for (struct session *session = registry->sessions, *next; session; session = next) {
        next = session->hh.next;
        uint64_t bytes = 0;
        mailbox_drop(&session->mailbox, registry->budget, &bytes);
        free_session(registry, session);
    }
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
    struct session *session;
    HASH_FIND(hh, registry->sessions, address.data, address.len, session);
    return session;
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
    struct session *session = calloc(1, sizeof *session + address.len);
    if (!session)
        return NULL;
    session->magic = SESSION_MAGIC;
    session->address_len = (uint16_t)address.len;
    memcpy(session->address, address.data, address.len);
    if (home.len > 0 && !(session->home = strndup(home.data, home.len))) {
        free(session);
        return NULL;
    }
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
    session->created_ms = now_ms;
    session->held = true;
    session_release(registry, session, now_ms);
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
    if (HASH_COUNT(registry->sessions) >= registry->session_limit ||
        budget_charge(registry->budget, cost) != 0)
        return OUTCOME_OVER_LIMIT;
    struct session *session = new_session(address, order->home);
    if (session) {
        HASH_ADD_KEYPTR(hh, registry->sessions, session->address, session->address_len, session);
        if (session->hh.tbl) {
            start_life(registry, session, order->ttl_ms, now_ms);
            if (registry->store->engine->session_created(registry->store, address, order->home,
                                                         session->ttl_ms) == 0) {
                metric_add(registry->metrics, METRIC_SESSIONS_CREATED, 1);
                metric_add(registry->metrics, METRIC_SESSIONS, 1);
                registry->on_stored(registry->context);
                *result = session;
                return OUTCOME_QUEUED;
            }
            free_session(registry, session);
            return OUTCOME_OVER_LIMIT;
        }
        free(session->home);
        free(session);
    }
    budget_discharge(registry->budget, cost);
    return OUTCOME_OVER_LIMIT;
}

/* `budget` is the registry's; restored data may go beyond its limit. */
static uint64_t lift_limit(struct host_budget *budget)
{
    uint64_t limit = budget->limit;
    budget->limit = UINT64_MAX;
    return limit;
}

struct session *session_restore(struct session_registry *registry,
                                const struct stored_session *stored, uint64_t now_ms)
{
    struct session *session = new_session(stored->address, stored->home);
    if (!session)
        return NULL;
    HASH_ADD_KEYPTR(hh, registry->sessions, session->address, session->address_len, session);
    if (!session->hh.tbl) {
        free(session->home);
        free(session);
        errno = ENOMEM;
        return NULL;
    }
    uint64_t limit = lift_limit(registry->budget);
    budget_charge(registry->budget, cost_of(stored->address.len, stored->home.len));
    registry->budget->limit = limit;
    start_life(registry, session, stored->ttl_ms, now_ms);
    session->mailbox.last_id = session->mailbox.sent_up_to = stored->confirmed;
    metric_add(registry->metrics, METRIC_SESSIONS, 1);
    return session;
}

int session_restore_message(struct session_registry *registry, struct session *session,
                            struct slice body)
{
    static const struct mailbox_limits NO_LIMITS = {UINT32_MAX, UINT64_MAX};
    struct mailbox *mailbox = &session->mailbox;
    uint64_t limit = lift_limit(registry->budget);
    struct blob *blob = budget_new_body(registry->budget, body);
    int result = blob ? mailbox_reserve(mailbox, 1, body.len, &NO_LIMITS, registry->budget) : -1;
    registry->budget->limit = limit;
    if (result == 0) {
        /* It may have been sent before. */
        mailbox->sent_up_to = mailbox_push(mailbox, blob);
        metric_add(registry->metrics, METRIC_PENDING, 1);
        metric_add(registry->metrics, METRIC_PENDING_BYTES, body.len);
    }
    if (blob)
        budget_release_body(registry->budget, blob);
    return result;
}

static const struct {
    enum metric sessions, messages;
} END_METRICS[] = {
    [SESSION_EXPIRED] = {METRIC_SESSIONS_EXPIRED, METRIC_DROPPED_EXPIRED},
    [SESSION_DELETED] = {METRIC_SESSIONS_DELETED, METRIC_DROPPED_DELETED},
    [SESSION_BROKEN] = {METRIC_SESSIONS_BROKEN, METRIC_DROPPED_BROKEN},
};

void session_end(struct session_registry *registry, struct session *session,
                 enum session_end_cause cause)
{
    INVARIANT(!session->attachment, "a session ended under its attachment");
    uint64_t bytes = 0;
    uint32_t dropped = mailbox_drop(&session->mailbox, registry->budget, &bytes);
    metric_sub(registry->metrics, METRIC_PENDING, dropped);
    metric_sub(registry->metrics, METRIC_PENDING_BYTES, bytes);
    metric_add(registry->metrics, END_METRICS[cause].messages, dropped);
    metric_add(registry->metrics, END_METRICS[cause].sessions, 1);
    metric_sub(registry->metrics, METRIC_SESSIONS, 1);
    /* A store that cannot forget brings the session back at a restart: annoying, not wrong. */
    if (registry->store->engine->session_deleted(registry->store, session_address(session)) != 0)
        LOG_ERROR("store-failed", "operation=session-deleted errno=%d", errno);
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

static enum metric refusal_metric(int error)
{
    return error == EDQUOT ? METRIC_REFUSED_MAILBOX_FULL : METRIC_REFUSED_HOST_FULL;
}

int session_accept(struct session_registry *registry, struct session *session,
                   struct blob *const *bodies, size_t count, uint64_t *first_id)
{
    CHECK_MAGIC(session, SESSION_MAGIC);
    struct mailbox *mailbox = &session->mailbox;
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += bodies[i]->len;
    *first_id = mailbox->last_id + 1;
    if (mailbox_reserve(mailbox, count, bytes, &registry->mailbox_limits, registry->budget) != 0 ||
        registry->store->engine->accepted(registry->store, session_address(session), *first_id,
                                          bodies, count) != 0) {
        int error = errno;
        mailbox_unreserve(mailbox, registry->budget);
        metric_add(registry->metrics, refusal_metric(error), count);
        errno = error;
        return -1;
    }
    for (size_t i = 0; i < count; i++)
        mailbox_push(mailbox, bodies[i]);
    metric_add(registry->metrics, METRIC_ACCEPTED, count);
    metric_add(registry->metrics, METRIC_PENDING, count);
    metric_add(registry->metrics, METRIC_PENDING_BYTES, bytes);
    registry->on_stored(registry->context);
    return 0;
}

bool session_confirm(struct session_registry *registry, struct session *session, uint64_t id)
{
    CHECK_MAGIC(session, SESSION_MAGIC);
    struct mailbox *mailbox = &session->mailbox;
    if (id > mailbox->last_id)
        return false;
    if (id > mailbox->sent_up_to)
        id = mailbox->sent_up_to;
    if (id < mailbox_first_pending(mailbox))
        return true;
    if (registry->store->engine->confirmed(registry->store, session_address(session), id) != 0) {
        LOG_ERROR("store-failed", "operation=confirmed errno=%d", errno);
        return true; /* they wait on, and come again */
    }
    uint64_t bytes = 0;
    uint32_t count = mailbox_confirm(mailbox, id, registry->budget, &bytes);
    metric_add(registry->metrics, METRIC_CONFIRMED, count);
    metric_sub(registry->metrics, METRIC_PENDING, count);
    metric_sub(registry->metrics, METRIC_PENDING_BYTES, bytes);
    registry->on_stored(registry->context);
    return true;
}
