#include "workers/relay/recovery.h"

#include <assert.h>
#include <endian.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/checksum.h"
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
enum { TOTALS_COUNT = sizeof TOTALS / sizeof *TOTALS, ALL_TOTALS = TOTALS_COUNT + 6 };
/* What is no figure; the dot keeps it apart from those. */
static const char RECEIPTS_EPOCH[] = ".receipts_epoch", RECEIPTS_NEXT[] = ".receipts_next";
/* Numbers that were given may still be named by what a broadcast left: they are not given again. */
static const char SESSIONS_LAST[] = ".sessions_last", BROADCASTS_LAST[] = ".broadcasts_last";
static const char BOOT[] = ".boot", CLOSED[] = ".closed";

/* A broadcast, while those who wait for it are still to be found. */
struct restored {
    uint64_t number;
    struct blob *body;
};

struct recovery {
    struct relay *relay;
    struct session *session;
    struct buffer broadcasts; /* struct restored, by number */
    uint64_t now_ms;          /* monotonic */
    uint64_t boot;            /* of the system under which the store was written last */
    uint64_t closed;          /* whether it was closed in good order */
};

/* Names the run of the operating system; 0 when it does not tell. */
static uint64_t present_boot(void)
{
    char text[64];
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof text);
    if (fd >= 0)
        close(fd);
    return len > 0 ? checksum(0, slice_of(text, (size_t)len)) : 0;
}

struct total {
    const char *name;
    uint64_t value;
};

static void list_totals(const struct relay *relay, struct total totals[ALL_TOTALS])
{
    const struct session_registry *registry = &relay->registry;
    const struct total others[] = {{RECEIPTS_EPOCH, registry->receipts.epoch},
                                   {RECEIPTS_NEXT, registry->receipts.next},
                                   {SESSIONS_LAST, registry->last_number},
                                   {BROADCASTS_LAST, registry->last_broadcast},
                                   {BOOT, relay->boot},
                                   {CLOSED, relay->closing}};
    static_assert(sizeof others / sizeof *others == ALL_TOTALS - TOTALS_COUNT,
                  "totals are missing");
    for (size_t i = 0; i < TOTALS_COUNT; i++)
        totals[i] = (struct total){METRIC_ROWS[TOTALS[i]].name, relay->metrics.values[TOTALS[i]]};
    memcpy(&totals[TOTALS_COUNT], others, sizeof others);
}

/* The names stay where they were written the first time: this is done for every batch. */
static void write_values(struct buffer *out, const struct total totals[ALL_TOTALS])
{
    char *at = buffer_bytes(out);
    for (size_t i = 0; i < ALL_TOTALS; i++) {
        uint32_t name_len;
        uint64_t value = htole64(totals[i].value);
        memcpy(&name_len, at, sizeof name_len);
        at += sizeof name_len + le32toh(name_len);
        memcpy(at, &value, sizeof value);
        at += sizeof value;
    }
}

int recovery_put_totals(struct relay *relay)
{
    struct buffer *out = &relay->totals;
    struct total totals[ALL_TOTALS];
    list_totals(relay, totals);
    if (buffer_len(out) > 0) {
        write_values(out, totals);
        return 0;
    }
    for (size_t i = 0; i < ALL_TOTALS; i++)
        if (put_slice(out, slice_from_string(totals[i].name)) != 0 ||
            put_u64(out, totals[i].value) != 0) {
            buffer_clear(out);
            return -1;
        }
    return 0;
}

static int on_broadcast(void *context, uint64_t number, const struct stored_message *message)
{
    struct recovery *recovery = context;
    struct restored restored = {number,
                                broadcast_restore(&recovery->relay->registry, number, message)};
    if (!restored.body)
        return -1;
    if (buffer_append(&recovery->broadcasts, &restored, sizeof restored) == 0)
        return 0;
    budget_release_body(&recovery->relay->budget, restored.body);
    return -1;
}

static struct restored *restored_of(const struct recovery *recovery, size_t *count)
{
    *count = buffer_len(&recovery->broadcasts) / sizeof(struct restored);
    return (struct restored *)buffer_bytes(&recovery->broadcasts);
}

static struct blob *broadcast_of(const struct recovery *recovery, uint64_t number)
{
    size_t low = 0, high;
    const struct restored *restored = restored_of(recovery, &high);
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (restored[middle].number <= number)
            low = middle;
        else
            high = middle;
    }
    return restored[low].body;
}

/* Those that no mailbox has any more are gone now, and the store is told, when all was read. */
static void let_go_of_broadcasts(struct recovery *recovery, bool all_read)
{
    struct host_budget *budget = &recovery->relay->budget;
    size_t count;
    struct restored *restored = restored_of(recovery, &count);
    if (!all_read)
        budget->on_broadcast_gone = NULL;
    for (size_t i = 0; i < count; i++)
        budget_release_body(budget, restored[i].body);
    buffer_free(&recovery->broadcasts);
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
    struct session_registry *registry = &recovery->relay->registry;
    return message->broadcast != 0
               ? session_restore_broadcast(registry, recovery->session,
                                           broadcast_of(recovery, message->broadcast))
               : session_restore_message(registry, recovery->session, message);
}

static int on_key(void *context, const struct stored_key *key)
{
    struct recovery *recovery = context;
    return session_restore_key(&recovery->relay->registry, recovery->session, key);
}

static void take_total(struct recovery *recovery, struct slice name, uint64_t value)
{
    struct relay *relay = recovery->relay;
    struct receipts *receipts = &relay->registry.receipts;
    for (size_t i = 0; i < TOTALS_COUNT; i++)
        if (slice_equals_string(name, METRIC_ROWS[TOTALS[i]].name))
            relay->metrics.values[TOTALS[i]] = value;
    if (slice_equals_string(name, RECEIPTS_EPOCH))
        receipts->epoch = value;
    if (slice_equals_string(name, RECEIPTS_NEXT))
        receipts->next = value;
    if (slice_equals_string(name, SESSIONS_LAST) && value > relay->registry.last_number)
        relay->registry.last_number = value;
    if (slice_equals_string(name, BROADCASTS_LAST) && value > relay->registry.last_broadcast)
        relay->registry.last_broadcast = value;
    if (slice_equals_string(name, BOOT))
        recovery->boot = value;
    if (slice_equals_string(name, CLOSED))
        recovery->closed = value;
}

static void take_totals(struct recovery *recovery, struct slice totals)
{
    struct relay *relay = recovery->relay;
    struct frame_reader reader = reader_of(totals);
    while (reader_left(&reader) > 0) {
        struct slice name = get_slice(&reader);
        uint64_t value = get_u64(&reader);
        if (!reader.broken)
            take_total(recovery, name, value);
    }
    uint64_t accounted_for = metrics_accounted_for(&relay->metrics);
    if (relay->metrics.values[METRIC_ACCEPTED] != accounted_for)
        LOG_ERROR("store-unbalanced", "accepted=%llu accounted_for=%llu",
                  (unsigned long long)relay->metrics.values[METRIC_ACCEPTED],
                  (unsigned long long)accounted_for);
}

/* After a power cut the store may be older than what readers of receipts saw: numbers would be
 * given again, and what is new under them be passed over. Another epoch tells readers so. */
static void distrust_receipts(const struct recovery *recovery)
{
    struct relay *relay = recovery->relay;
    if (recovery->boot != relay->boot && !recovery->closed &&
        strcmp(relay->settings->store_durability, "disk") != 0)
        receipts_new_epoch(&relay->registry.receipts);
}

/* The time that the host was down counts too. A clock that was set back counts nothing. */
static int on_state(void *context, struct slice totals, uint64_t alive_ms)
{
    struct recovery *recovery = context;
    struct session_registry *registry = &recovery->relay->registry;
    uint64_t steady_ms = clock_steady_ms();
    alive_ms += RECOVERY_ALIVE_MS;
    uint64_t down_ms = steady_ms > alive_ms ? steady_ms - alive_ms : 0;
    for (uint32_t i = 0; i < registry->sessions.count; i++) {
        struct session *session = session_at(registry, i);
        uint64_t left_ms = session->ttl_ms > down_ms ? session->ttl_ms - down_ms : 0;
        session_release_until(registry, session, recovery->now_ms + left_ms);
    }
    used_keys_sort(&registry->used_keys);
    take_totals(recovery, totals);
    distrust_receipts(recovery);
    return 0;
}

int recovery_run(struct relay *relay, char *why, size_t why_room)
{
    static const struct store_reader READER = {.on_broadcast = on_broadcast,
                                               .on_receipt = on_receipt,
                                               .on_session = on_session,
                                               .on_message = on_message,
                                               .on_key = on_key,
                                               .on_state = on_state};
    struct recovery recovery = {.relay = relay, .now_ms = clock_monotonic_ms()};
    relay->boot = present_boot();
    int result = relay->store->engine->recover(relay->store, relay_cluster_id(relay), &READER,
                                               &recovery, why, why_room);
    let_go_of_broadcasts(&recovery, result == 0);
    return result;
}
