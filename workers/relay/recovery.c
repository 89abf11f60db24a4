#include "workers/relay/recovery.h"

#include "base/clock.h"
#include "base/log.h"
#include "codecs/frame.h"
#include "workers/relay/relay.h"

static const enum metric TOTALS[] = {
    METRIC_ACCEPTED,         METRIC_CONFIRMED,        METRIC_DROPPED_EXPIRED,
    METRIC_DROPPED_DELETED,  METRIC_DROPPED_BROKEN,   METRIC_SESSIONS_CREATED,
    METRIC_SESSIONS_EXPIRED, METRIC_SESSIONS_DELETED, METRIC_SESSIONS_BROKEN,
};
enum { TOTALS_COUNT = sizeof TOTALS / sizeof *TOTALS };

struct recovery {
    struct relay *relay;
    struct session *session;
    uint64_t now_ms, wall_ms;
};

int recovery_put_totals(const struct metrics *metrics, struct buffer *out)
{
    buffer_truncate(out, 0);
    for (size_t i = 0; i < TOTALS_COUNT; i++)
        if (put_slice(out, slice_from_string(METRIC_ROWS[TOTALS[i]].name)) != 0 ||
            put_u64(out, metrics->values[TOTALS[i]]) != 0)
            return -1;
    return 0;
}

static int on_session(void *context, const struct stored_session *stored)
{
    struct recovery *recovery = context;
    recovery->session = session_restore(&recovery->relay->registry, stored, recovery->now_ms);
    if (!recovery->session)
        return -1;
    if (recovery->wall_ms > stored->created_ms) /* may reach back to before the clock's zero */
        recovery->session->created_ms -= recovery->wall_ms - stored->created_ms;
    return 0;
}

static int on_message(void *context, uint64_t id, struct slice body)
{
    struct recovery *recovery = context;
    (void)id;
    return session_restore_message(&recovery->relay->registry, recovery->session, body);
}

static void take_totals(struct metrics *metrics, struct slice totals)
{
    struct frame_reader reader = reader_of(totals);
    while (reader_left(&reader) > 0) {
        struct slice name = get_slice(&reader);
        uint64_t value = get_u64(&reader);
        for (size_t i = 0; i < TOTALS_COUNT && !reader.broken; i++)
            if (slice_equals_string(name, METRIC_ROWS[TOTALS[i]].name))
                metrics->values[TOTALS[i]] = value;
    }
    uint64_t accepted = metrics->values[METRIC_CONFIRMED] + metrics->values[METRIC_PENDING] +
                        metrics->values[METRIC_DROPPED_EXPIRED] +
                        metrics->values[METRIC_DROPPED_DELETED] +
                        metrics->values[METRIC_DROPPED_BROKEN];
    if (metrics->values[METRIC_ACCEPTED] != accepted)
        LOG_ERROR("store-unbalanced", "accepted=%llu accounted_for=%llu",
                  (unsigned long long)metrics->values[METRIC_ACCEPTED],
                  (unsigned long long)accepted);
}

/* The time that the host was down counts too. A clock that was set back counts nothing. */
static int on_state(void *context, struct slice totals, uint64_t alive_ms)
{
    struct recovery *recovery = context;
    struct session_registry *registry = &recovery->relay->registry;
    alive_ms += RECOVERY_ALIVE_MS;
    uint64_t down_ms = recovery->wall_ms > alive_ms ? recovery->wall_ms - alive_ms : 0;
    for (struct session *session = registry->sessions; session; session = session->hh.next) {
        uint64_t left_ms = session->ttl_ms > down_ms ? session->ttl_ms - down_ms : 0;
        session_release_until(registry, session, recovery->now_ms + left_ms);
    }
    take_totals(&recovery->relay->metrics, totals);
    return 0;
}

int recovery_run(struct relay *relay, char *why, size_t why_room)
{
    static const struct store_reader READER = {
        .on_session = on_session, .on_message = on_message, .on_state = on_state};
    struct recovery recovery = {
        .relay = relay, .now_ms = clock_monotonic_ms(), .wall_ms = clock_wall_ms()};
    return relay->store->engine->recover(relay->store, relay_cluster_id(relay), &READER, &recovery,
                                         why, why_room);
}
