#include "workers/relay/recovery.h"

#include "base/clock.h"
#include "base/log.h"
#include "codecs/frame.h"
#include "workers/relay/relay.h"
#include "workers/relay/session_messages.h"

static const enum metric TOTALS[] = {
    METRIC_ACCEPTED,          METRIC_CONFIRMED,
    METRIC_DROPPED_EXPIRED,   METRIC_DROPPED_DELETED,
    METRIC_DROPPED_BROKEN,    METRIC_DROPPED_TTL,
    METRIC_DROPPED_REPLACED,  METRIC_DROPPED_MAILBOX_FULL,
    METRIC_DROPPED_HOST_FULL, METRIC_DROPPED_AGE,
    METRIC_SESSIONS_CREATED,  METRIC_SESSIONS_EXPIRED,
    METRIC_SESSIONS_DELETED,  METRIC_SESSIONS_BROKEN,
    METRIC_REPEATED,          METRIC_RECEIPTS,
};
enum { TOTALS_COUNT = sizeof TOTALS / sizeof *TOTALS };
static const char RECEIPTS_EPOCH[] = "receipts_epoch", RECEIPTS_NEXT[] = "receipts_next";

struct recovery {
    struct relay *relay;
    struct session *session;
    uint64_t now_ms; /* monotonic */
};

static int put_total(struct buffer *out, const char *name, uint64_t value)
{
    return put_slice(out, slice_from_string(name)) == 0 && put_u64(out, value) == 0 ? 0 : -1;
}

int recovery_put_totals(struct relay *relay)
{
    const struct receipts *receipts = &relay->registry.receipts;
    struct buffer *out = &relay->totals;
    buffer_clear(out);
    for (size_t i = 0; i < TOTALS_COUNT; i++)
        if (put_total(out, METRIC_ROWS[TOTALS[i]].name, relay->metrics.values[TOTALS[i]]) != 0)
            return -1;
    return put_total(out, RECEIPTS_EPOCH, receipts->epoch) == 0 &&
                   put_total(out, RECEIPTS_NEXT, receipts->next) == 0
               ? 0
               : -1;
}

static int on_receipt(void *context, const struct stored_receipt *receipt)
{
    struct recovery *recovery = context;
    return receipts_restore(&recovery->relay->registry.receipts, receipt);
}

static int on_session(void *context, const struct stored_session *stored)
{
    struct recovery *recovery = context;
    recovery->session = session_restore(&recovery->relay->registry, stored, recovery->now_ms);
    return recovery->session ? 0 : -1;
}

static int on_message(void *context, const struct stored_message *message)
{
    struct recovery *recovery = context;
    return session_restore_message(&recovery->relay->registry, recovery->session, message);
}

static int on_key(void *context, const struct stored_key *key)
{
    struct recovery *recovery = context;
    return session_restore_key(&recovery->relay->registry, recovery->session, key);
}

static void take_total(struct relay *relay, struct slice name, uint64_t value)
{
    struct receipts *receipts = &relay->registry.receipts;
    for (size_t i = 0; i < TOTALS_COUNT; i++)
        if (slice_equals_string(name, METRIC_ROWS[TOTALS[i]].name))
            relay->metrics.values[TOTALS[i]] = value;
    if (slice_equals_string(name, RECEIPTS_EPOCH))
        receipts->epoch = value;
    if (slice_equals_string(name, RECEIPTS_NEXT))
        receipts->next = value;
}

static void take_totals(struct relay *relay, struct slice totals)
{
    struct frame_reader reader = reader_of(totals);
    while (reader_left(&reader) > 0) {
        struct slice name = get_slice(&reader);
        uint64_t value = get_u64(&reader);
        if (!reader.broken)
            take_total(relay, name, value);
    }
    uint64_t accounted_for = metrics_accounted_for(&relay->metrics);
    if (relay->metrics.values[METRIC_ACCEPTED] != accounted_for)
        LOG_ERROR("store-unbalanced", "accepted=%llu accounted_for=%llu",
                  (unsigned long long)relay->metrics.values[METRIC_ACCEPTED],
                  (unsigned long long)accounted_for);
}

/* The time that the host was down counts too. A clock that was set back counts nothing. */
static int on_state(void *context, struct slice totals, uint64_t alive_ms)
{
    struct recovery *recovery = context;
    struct session_registry *registry = &recovery->relay->registry;
    uint64_t steady_ms = clock_steady_ms();
    alive_ms += RECOVERY_ALIVE_MS;
    uint64_t down_ms = steady_ms > alive_ms ? steady_ms - alive_ms : 0;
    for (struct session *session = registry->sessions; session; session = session->hh.next) {
        uint64_t left_ms = session->ttl_ms > down_ms ? session->ttl_ms - down_ms : 0;
        session_release_until(registry, session, recovery->now_ms + left_ms);
    }
    used_keys_sort(&registry->used_keys);
    take_totals(recovery->relay, totals);
    return 0;
}

int recovery_run(struct relay *relay, char *why, size_t why_room)
{
    static const struct store_reader READER = {.on_receipt = on_receipt,
                                               .on_session = on_session,
                                               .on_message = on_message,
                                               .on_key = on_key,
                                               .on_state = on_state};
    struct recovery recovery = {.relay = relay, .now_ms = clock_monotonic_ms()};
    return relay->store->engine->recover(relay->store, relay_cluster_id(relay), &READER, &recovery,
                                         why, why_room);
}
