#include "workers/relay/requests.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/checksum.h"
#include "base/clock.h"
#include "base/invariant.h"
#include "base/log.h"
#include "base/units.h"
#include "codecs/json_text.h"
#include "workers/relay/broadcast.h"
#include "workers/relay/delivery.h"
#include "workers/relay/receipts_requests.h"
#include "workers/relay/relay.h"
#include "workers/relay/requests_peers.h"
#include "workers/relay/routing.h"
#include "workers/relay/session_messages.h"
#include "workers/relay/worker_link.h"

/* Each carries one operation out and appends the reply's fields to `reply`. Returns 0, or -1 when
 * the payload is malformed or there is no memory for the reply. */
typedef int (*operation_handler)(struct relay *relay, struct slice payload, bool checked,
                                 struct buffer *reply);

/* The host where the client is. */
static struct slice attached_at(const struct relay *relay, const struct attachment *attachment)
{
    if (!attachment)
        return SLICE_EMPTY;
    return attachment->route ? attachment->route->hops[0] : relay_cluster_id(relay);
}

static int put_session_state(struct relay *relay, const struct session *session,
                             struct buffer *reply)
{
    const struct mailbox *mailbox = &session->mailbox;
    const struct remote_client *client =
        session_is_adopted(session) ? remote_home_find(relay, session_address(session)) : NULL;
    const struct attachment *attachment = client ? client->attachment : session->attachment;
    struct frame_session state = {
        .outcome = OUTCOME_QUEUED,
        .address = session_address(session),
        .home = session_is_adopted(session) ? session_home(session) : relay_cluster_id(relay),
        .ttl_ms = session->ttl_ms,
        .age_ms = clock_steady_ms() - session->created_ms,
        .adopted = session_is_adopted(session),
        .attached = attachment != NULL,
        .attachment = attachment ? attachment->handle : 0,
        .last_id = mailbox->last_id,
        .accepted = mailbox_accepted(mailbox),
        .confirmed = mailbox_confirmed(mailbox),
        .dropped = mailbox->dropped,
        .replaced = mailbox->replaced,
        .overflowed = mailbox->overflowed,
        .pending = mailbox->pending,
        .pending_bytes = mailbox->bytes,
        .attached_at = attached_at(relay, attachment),
        .attached_style = attachment ? attachment->style : 0,
        .attached_ms = attachment ? (clock_monotonic_us() - attachment->since_us) / 1000 : 0,
    };
    return put_session_fields(reply, &state);
}

static int put_session_outcome(enum outcome outcome, struct buffer *reply)
{
    struct frame_session state = {.outcome = (uint8_t)outcome};
    return put_session_fields(reply, &state);
}

/* Messages say which limit they met; of a session only this tells. */
static void note_refused_session(struct relay *relay)
{
    enum { EVERY_MS = 10000 };
    const struct session_registry *registry = &relay->registry;
    bool too_many = registry->sessions.count >= registry->session_limit;
    uint64_t suppressed;
    metric_add(&relay->metrics, METRIC_REFUSED_SESSIONS, 1);
    if (log_limit_pass(&relay->sessions_refused, EVERY_MS, &suppressed))
        LOG_WARNING("session-refused", "limit=\"%s\" sessions=%" PRIu32 " suppressed=%" PRIu64,
                    too_many ? "server.limits.sessions" : "server.limits.hostBytes or the store",
                    registry->sessions.count, suppressed);
}

static int do_create(struct relay *relay, struct slice payload, bool checked, struct buffer *reply)
{
    (void)checked;
    struct frame_create_session create;
    if (get_create_session(payload, &create) != 0)
        return -1;
    struct session_order order = {
        .actor = create.actor, .secret = create.key, .home = create.home, .ttl_ms = create.ttl_ms};
    if (relay_is_home(relay, order.home))
        order.home = SLICE_EMPTY;
    struct session *session;
    enum outcome outcome = session_create(&relay->registry, &order, clock_monotonic_ms(), &session);
    if (outcome == OUTCOME_OVER_LIMIT)
        note_refused_session(relay);
    return outcome == OUTCOME_QUEUED ? put_session_state(relay, session, reply)
                                     : put_session_outcome(outcome, reply);
}

static int do_read(struct relay *relay, struct slice payload, bool checked, struct buffer *reply)
{
    (void)checked;
    struct frame_read_session read;
    if (get_read_session(payload, &read) != 0)
        return -1;
    struct session *session = session_find(&relay->registry, read.address);
    if (session)
        session_drop_due(&relay->registry, session);
    return session ? put_session_state(relay, session, reply)
                   : put_session_outcome(OUTCOME_NO_SESSION, reply);
}

static int do_delete(struct relay *relay, struct slice payload, bool checked, struct buffer *reply)
{
    (void)checked;
    struct frame_delete_session delete;
    if (get_delete_session(payload, &delete) != 0)
        return -1;
    struct session *session = session_find(&relay->registry, delete.address);
    if (!session)
        return put_session_outcome(OUTCOME_NO_SESSION, reply);
    if (put_session_state(relay, session, reply) != 0)
        return -1;
    relay_end_session(relay, session, SESSION_DELETED, END_EXPIRED);
    return 0;
}

/* The bodies of a SEND; one allocation holds the list. */
struct bodies {
    size_t count;
    struct blob **blobs; /* NULL when the host is full, or a body larger than it takes */
};

static bool is_message(struct slice body, bool checked)
{
    struct json_error error;
    return checked || json_check_message(body, &error);
}

/* Another host's limit may be another. */
static bool is_small_enough(struct relay *relay, struct slice body)
{
    if (body.len <= relay->settings->limit_message_bytes)
        return true;
    metric_add(&relay->metrics, METRIC_REFUSED_INVALID, 1);
    return false;
}

static int count_slices(struct slice run, size_t *count)
{
    struct frame_reader reader = reader_of(run);
    for (*count = 0; reader_left(&reader) > 0; ++*count)
        get_slice(&reader);
    return reader_finish(&reader);
}

static void release_bodies(struct relay *relay, struct bodies *bodies)
{
    for (size_t i = 0; bodies->blobs && i < bodies->count && bodies->blobs[i]; i++)
        budget_release_body(&relay->budget, bodies->blobs[i]);
    free(bodies->blobs);
    bodies->blobs = NULL;
}

/* Returns 0, or -1 when the run is malformed, or a body is no message. */
static int take_bodies(struct relay *relay, struct slice run, bool checked, struct bodies *bodies)
{
    *bodies = (struct bodies){0};
    if (count_slices(run, &bodies->count) != 0)
        return -1;
    struct frame_reader reader = reader_of(run);
    bodies->blobs = calloc(bodies->count + 1, sizeof(struct blob *));
    for (size_t i = 0; i < bodies->count; i++) {
        struct slice body = get_slice(&reader);
        if (!is_message(body, checked)) {
            release_bodies(relay, bodies);
            return -1;
        }
        if (bodies->blobs && (!is_small_enough(relay, body) ||
                              !(bodies->blobs[i] = message_body_new(&relay->registry, body))))
            release_bodies(relay, bodies);
    }
    return 0;
}

static struct recipient_result send_elsewhere(struct relay *relay, struct slice home,
                                              struct slice address, const struct frame_send *send)
{
    struct recipient_result result = {.outcome = OUTCOME_FORWARDED,
                                      .flags = send_has_options(send) ? RESULT_IGNORED : 0};
    size_t count;
    count_slices(send->bodies, &count);
    if (routing_send_messages(relay, home, address, send->bodies) != 0) {
        result.flags = 0;
        result.outcome = errno == EHOSTUNREACH ? OUTCOME_HOST_GONE : OUTCOME_OVER_LIMIT;
        metric_add(&relay->metrics, METRIC_REFUSED_HOST_GONE, count);
    } else {
        metric_add(&relay->metrics, METRIC_FORWARDED, count);
    }
    return result;
}

/* What of the order decides whether a repetition is one. */
static uint64_t digest_of(const struct frame_send *send)
{
    uint64_t sum = checksum(checksum_u64(0, send->ttl_ms), send->replace_key);
    return checksum(checksum(sum, send->receipt), send->bodies);
}

static bool send_is_sound(const struct frame_send *send, size_t bodies)
{
    return send->replace_key.len <= STORED_KEY_MAX && send->idempotency_key.len <= STORED_KEY_MAX &&
           send->receipt.len <= STORED_KEY_MAX && send->ttl_ms <= SEND_TTL_MAX_MS &&
           (send->replace_key.len == 0 || bodies == 1);
}

static struct message_order order_of(const struct frame_send *send, const struct bodies *bodies)
{
    return (struct message_order){
        .bodies = bodies->blobs,
        .count = bodies->count,
        .wish = {.expires_ms = send->ttl_ms > 0 ? clock_steady_ms() + send->ttl_ms : 0,
                 .replace_key = send->replace_key,
                 .receipt = send->receipt},
        .idempotency_key = send->idempotency_key,
        .digest = send->idempotency_key.len > 0 ? digest_of(send) : 0};
}

static struct recipient_result accept_here(struct relay *relay, struct session *session,
                                           const struct message_order *order)
{
    struct acceptance acceptance;
    struct recipient_result result = {
        .outcome = (uint8_t)session_accept(&relay->registry, session, order, &acceptance)};
    result.limit = (uint8_t)acceptance.limit;
    result.dropped = acceptance.dropped;
    if (result.outcome != OUTCOME_QUEUED)
        return result;
    result.first_id = acceptance.first_id;
    result.count = acceptance.count;
    result.flags = (uint8_t)((session->attachment ? RESULT_ATTACHED : 0) |
                             (acceptance.replaced ? RESULT_REPLACED : 0) |
                             (acceptance.repeated ? RESULT_REPEATED : 0));
    if (session->attachment)
        delivery_run(relay, session->attachment);
    return result;
}

static struct recipient_result send_to(struct relay *relay, struct slice address,
                                       const struct bodies *bodies, const struct frame_send *send)
{
    struct session *session = session_find(&relay->registry, address);
    if (!session) {
        metric_add(&relay->metrics, METRIC_REFUSED_NO_SESSION, bodies->count);
        return (struct recipient_result){.outcome = OUTCOME_NO_SESSION};
    }
    if (session_is_adopted(session))
        return send_elsewhere(relay, session_home(session), address, send);
    struct message_order order = order_of(send, bodies);
    return accept_here(relay, session, &order);
}

/* The reply's room is made before anything is stored, so that what is stored is also told. */
static int begin_results(struct buffer *reply, size_t count)
{
    return buffer_reserve(reply, 4 + count * RECIPIENT_RESULT_BYTES) &&
                   put_u32(reply, (uint32_t)(count * RECIPIENT_RESULT_BYTES)) == 0
               ? 0
               : -1;
}

static int do_send(struct relay *relay, struct slice payload, bool checked, struct buffer *reply)
{
    struct frame_send send;
    struct bodies bodies;
    size_t count;
    if (get_send(payload, &send) != 0 || count_slices(send.addresses, &count) != 0 ||
        take_bodies(relay, send.bodies, checked, &bodies) != 0)
        return -1;
    int failed = send_is_sound(&send, bodies.count) ? begin_results(reply, count) : -1;
    struct frame_reader reader = reader_of(send.addresses);
    for (size_t i = 0; i < count && failed == 0; i++) {
        struct recipient_result result = send_to(relay, get_slice(&reader), &bodies, &send);
        failed = put_recipient_result(reply, &result);
    }
    release_bodies(relay, &bodies);
    return failed;
}

static int do_broadcast(struct relay *relay, struct slice payload, bool checked,
                        struct buffer *reply)
{
    struct frame_broadcast_all broadcast;
    struct frame_broadcast_sent sent = {0};
    size_t count;
    if (get_broadcast_all(payload, &broadcast) != 0 || count_slices(broadcast.bodies, &count) != 0)
        return -1;
    struct frame_reader reader = reader_of(broadcast.bodies);
    for (size_t i = 0; i < count; i++) {
        struct slice body = get_slice(&reader);
        if (!is_message(body, checked))
            return -1;
        if (!is_small_enough(relay, body))
            continue;
        struct broadcast_result result = broadcast_here(relay, body);
        uint32_t failed = 0;
        sent.peers = mesh_broadcast(relay->mesh, body, &failed);
        sent.peers_failed = failed > sent.peers_failed ? failed : sent.peers_failed;
        sent.queued += result.queued;
        sent.over_limit += result.over_limit;
    }
    return put_broadcast_sent_fields(reply, &sent);
}

static int put_mesh_figures(const struct relay *relay, struct buffer *figures)
{
    struct mesh_counters counters = mesh_counters(relay->mesh);
#define MESH_FIGURE(name, text)                                                                    \
    if (put_slice(figures, SLICE_LITERAL("mesh_" #name)) != 0 ||                                   \
        put_u64(figures, counters.name) != 0)                                                      \
        return -1;
    MESH_COUNTERS(MESH_FIGURE)
#undef MESH_FIGURE
    return 0;
}

static int do_status(struct relay *relay, struct slice payload, bool checked, struct buffer *reply)
{
    (void)payload;
    (void)checked;
    struct buffer figures = {0};
    struct store_usage usage = relay->store->engine->usage(relay->store);
    relay->metrics.values[METRIC_HOST_BYTES] = relay->budget.used;
    relay->metrics.values[METRIC_STORE_USED_BYTES] = usage.used_bytes;
    relay->metrics.values[METRIC_STORE_SIZE_BYTES] = usage.size_bytes;
    bool failed =
        metrics_put(&relay->metrics, &figures) != 0 || put_mesh_figures(relay, &figures) != 0;
    struct frame_status status = {.figures = buffer_slice(&figures)};
    failed = failed || put_status_fields(reply, &status) != 0;
    buffer_free(&figures);
    return failed ? -1 : 0;
}

static int do_read_message(struct relay *relay, struct slice payload, bool checked,
                           struct buffer *reply)
{
    (void)checked;
    return answer_read_message(relay, payload, reply);
}

static int do_read_receipts(struct relay *relay, struct slice payload, bool checked,
                            struct buffer *reply)
{
    (void)checked;
    return answer_read_receipts(relay, payload, reply);
}

static int do_read_peers(struct relay *relay, struct slice payload, bool checked,
                         struct buffer *reply)
{
    (void)checked;
    return answer_read_peers(relay, payload, reply);
}

static const struct {
    operation_handler handle;
    enum request_type reply;
} OPERATIONS[FRAME_REQUEST_TYPES] = {
    [FRAME_CREATE_SESSION] = {do_create, FRAME_SESSION},
    [FRAME_READ_SESSION] = {do_read, FRAME_SESSION},
    [FRAME_DELETE_SESSION] = {do_delete, FRAME_SESSION},
    [FRAME_SEND] = {do_send, FRAME_SENT},
    [FRAME_BROADCAST_ALL] = {do_broadcast, FRAME_BROADCAST_SENT},
    [FRAME_READ_STATUS] = {do_status, FRAME_STATUS},
    [FRAME_READ_MESSAGE] = {do_read_message, FRAME_MESSAGE_STATE},
    [FRAME_READ_RECEIPTS] = {do_read_receipts, FRAME_RECEIPTS},
    [FRAME_READ_PEERS] = {do_read_peers, FRAME_PEER_REPORTS},
};

uint16_t requests_answer(struct relay *relay, uint16_t operation, struct slice payload,
                         bool checked, struct buffer *reply)
{
    if (operation >= FRAME_REQUEST_TYPES || !OPERATIONS[operation].handle ||
        OPERATIONS[operation].handle(relay, payload, checked, reply) != 0)
        return 0;
    return (uint16_t)OPERATIONS[operation].reply;
}
