#include "workers/relay/mesh/peer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/invariant.h"
#include "base/log.h"
#include "base/random.h"
#include "workers/relay/mesh/peer_outbox.h"
#include "workers/relay/mesh/sockets.h"

enum {
    RECEIVED_PER_ROUND = 64,
    RECEIVED_BYTES_PER_ROUND = 128 << 10,
    HANDSHAKE_ATTEMPTS = 100 /* MMRP fact */
};

static const double HANDSHAKE_INTERVAL_S = 0.2; /* MMRP fact */
/* A MAGE host is deaf to our new connection until its ZeroMQ gave up the old one; what it then
 * takes first should be a handshake. */
static const double HANDSHAKE_REPEAT_S = (MESH_HEARTBEAT_TTL_MS + 1000) / 1e3;
static const double OPEN_RETRY_S = 1.0, REFUSED_RETRY_S = 2.0;
/* A MAGE host's ROUTER must have noticed the end of a connection before it meets the same identity
 * again: else the new one is mute there for ever (MMRP fact). */
static const double MAGE_REOPEN_S = 0.25;
/* A host of ours may be slow; a MAGE host in its place is rare. */
static const double ANSWER_LIMIT_S = 10.0;

/* No cluster ID has it. */
static const char IDENTITY_MARK = '~';

static void change_state(struct peer *peer, enum peer_event event);

static bool is_linked(enum peer_state state)
{
    return state == PEER_CONNECTED || state == PEER_UP;
}

/* --- introduction -------------------------------------------------------------------- */

static bool send_handshake(struct peer *peer)
{
    struct envelope envelope = {.route = {peer_id(peer)},
                                .route_len = 1,
                                .messages = &peer->shared->handshake,
                                .message_count = 1,
                                .return_route = {peer->shared->own_id},
                                .return_route_len = 1,
                                .flags = ENVELOPE_TRACK_ROUTE,
                                .type = ENVELOPE_HANDSHAKE,
                                .type_name =
                                    slice_from_string(envelope_type_name(ENVELOPE_HANDSHAKE))};
    struct multipart *multipart = multipart_from_envelope(&envelope);
    bool sent =
        multipart && multipart_send(multipart, sockets_handle(peer->dealer)) == MULTIPART_SENT;
    multipart_free(multipart);
    if (sent)
        peer->shared->counters->handshakes_sent++;
    return sent;
}

static void schedule_handshake(struct peer *peer, double seconds)
{
    ev_timer_stop(peer->shared->loop, &peer->handshake_due);
    ev_timer_set(&peer->handshake_due, seconds, 0.);
    ev_timer_start(peer->shared->loop, &peer->handshake_due);
}

static void introduce_ourselves(struct peer *peer)
{
    if (peer->handshake_sent) {
        /* Ours heard the first, and would take it for a new connection; unless our key was none for
         * it yet. */
        if (!peer->is_msgserver || (peer->shared->own && !peer->answered))
            send_handshake(peer);
        return;
    }
    peer->handshake_sent = send_handshake(peer);
    if (peer->handshake_sent)
        schedule_handshake(peer, HANDSHAKE_REPEAT_S);
    else if (++peer->handshake_attempts < HANDSHAKE_ATTEMPTS)
        schedule_handshake(peer, HANDSHAKE_INTERVAL_S);
    else
        LOG_WARNING("peer-handshake-unsent", "peer=%s", peer->id);
}

/* Whoever takes a peer's name at its other end of the wire cannot take this identity from it, nor
 * mute it so: nobody else knows it. A MAGE host needs ours to be our cluster ID; none speaks CURVE.
 */
static bool private_identity(const struct peer *peer, char identity[PEER_IDENTITY_MAX + 1])
{
    uint64_t nonce;
    if (!peer->is_msgserver && !peer->shared->own)
        return false;
    random_bytes(&nonce, sizeof nonce);
    struct slice own = peer->shared->own_id;
    snprintf(identity, PEER_IDENTITY_MAX + 1, "%.*s%c%016" PRIx64, (int)own.len, own.data,
             IDENTITY_MARK, nonce);
    return true;
}

struct slice peer_id_of_identity(struct slice identity)
{
    const char *mark = identity.len > 0 ? memchr(identity.data, IDENTITY_MARK, identity.len) : NULL;
    return mark ? slice_of(identity.data, (size_t)(mark - identity.data)) : identity;
}

static void reopen_in(struct peer *peer, double seconds)
{
    ev_timer_stop(peer->shared->loop, &peer->reopening);
    ev_timer_set(&peer->reopening, seconds, 0.);
    ev_timer_start(peer->shared->loop, &peer->reopening);
}

static void reopen_soon(struct peer *peer)
{
    reopen_in(peer, 0.);
}

/* Time is over for its handshake. A host of ours answers ours: one that does not is a MAGE host
 * that came in its place, and does not know us under this identity; or, with CURVE, our key is none
 * for it. */
static void on_grace_over(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct peer *peer = timer->data;
    if (peer->dealer_is_private && !peer->answered) {
        peer->is_msgserver = peer->shared->own != NULL;
        reopen_soon(peer);
    } else {
        peer->awaits_answer = false;
        change_state(peer, PEER_INTRODUCED);
    }
}

/* Returns whether it is of another kind than we thought. */
static bool learn(struct peer *peer, const struct handshake *handshake)
{
    bool changed = peer->is_msgserver != handshake->is_msgserver;
    peer->is_msgserver = handshake->is_msgserver;
    memcpy(peer->software, handshake->software, sizeof peer->software);
    if (peer->dealer_is_private && !peer->is_msgserver && !peer->shared->own)
        reopen_soon(peer);
    return changed;
}

/* A host of ours that lost its connection to us, while ours to it lives, let go of our clients'
 * attachments; that it connected anew is all that tells us. (A MAGE host says nothing.) */
void peer_came(struct peer *peer, const struct handshake *handshake, struct slice identity)
{
    enum peer_state before = peer->state;
    if (!is_linked(before))
        learn(peer, handshake);
    else if (handshake->is_msgserver && !peer->is_msgserver)
        peer->awaits_answer = true; /* it comes at once */
    if (identity.len <= PEER_IDENTITY_MAX) {
        memcpy(peer->identity, identity.data, identity.len);
        peer->identity[identity.len] = '\0';
    }
    peer_heard(peer);
    if (before == PEER_UP && handshake->is_msgserver && peer->is_msgserver)
        peer->shared->on_change(peer->shared->mesh, peer, before);
}

void peer_answered(struct peer *peer, const struct handshake *handshake)
{
    enum peer_state before = peer->state;
    peer->answered = true;
    peer->awaits_answer = false;
    peer->foreign = handshake->is_foreign;
    if (peer->foreign) {
        peer_misplaced(peer);
        return;
    }
    bool changed = learn(peer, handshake);
    peer->reads_packs = handshake->is_msgserver && handshake->reads_packs;
    if (peer->is_msgserver && !peer->dealer_is_private) {
        reopen_soon(peer);
        return;
    }
    peer_heard(peer);
    if (changed && before == PEER_UP)
        peer->shared->on_change(peer->shared->mesh, peer, before);
}

void peer_heard(struct peer *peer)
{
    /* Once in a round of the loop will do: the clock takes longer than it seems. */
    ev_tstamp round = ev_now(peer->shared->loop);
    if (peer->heard_round != round)
        peer->heard_ms = clock_monotonic_ms();
    peer->heard_round = round;
    if (peer->awaits_answer)
        return;
    peer->introduced = true;
    change_state(peer, PEER_INTRODUCED);
}

void peer_misplaced(struct peer *peer)
{
    uint64_t suppressed;
    if (!peer->misplaced &&
        log_limit_pass(&peer->complaints.misplaced, COMPLAINT_INTERVAL_MS, &suppressed))
        LOG_WARNING("peer-misplaced", "peer=%s uri=%s why=\"%s answers there\" suppressed=%llu",
                    peer->id, peer->uri,
                    peer->foreign ? "a host of another game or version" : "another relay",
                    (unsigned long long)suppressed);
    peer->misplaced = true;
    change_state(peer, PEER_MISPLACED);
}

/* --- the DEALER ---------------------------------------------------------------------- */

static void read_dealer(struct peer *peer)
{
    struct multipart in = {0};
    size_t bytes = 0;
    for (int i = 0; i < RECEIVED_PER_ROUND && bytes < RECEIVED_BYTES_PER_ROUND; i++) {
        int rc = multipart_receive(&in, sockets_handle(peer->dealer));
        if (rc == 0)
            break;
        if (rc < 0)
            LOG_ERROR("peer-read-failed", "peer=%s why=\"%s\"", peer->id, zmq_strerror(errno));
        else
            peer->shared->on_received(peer->shared->mesh, peer, &in);
        bytes += in.bytes;
    }
    multipart_clear(&in);
    free(in.frames);
    free(in.slices);
}

static void on_dealer_ready(void *context, int events)
{
    struct peer *peer = context;
    if (events & ZMQ_POLLOUT)
        peer_outbox_go_on(peer);
    if (events & ZMQ_POLLIN)
        read_dealer(peer);
}

/* libzmq does not try again by itself; who is there, and what keys it knows, may change. */
static void begin_anew(struct peer *peer)
{
    if (!peer->refused)
        LOG_WARNING("peer-handshake-refused", "peer=%s uri=%s why=\"%s\"", peer->id, peer->uri,
                    peer->shared->own ? "our key is not allowed there, or its key is another"
                                      : "it speaks no ZMTP, or speaks CURVE");
    peer->refused = true;
    reopen_in(peer, REFUSED_RETRY_S);
}

static void on_link(void *context, enum peer_link_event event)
{
    struct peer *peer = context;
    if (event == PEER_LINK_REFUSED) {
        begin_anew(peer);
        return;
    }
    if (event == PEER_LINK_UP && peer->is_msgserver && !peer->dealer_is_private) {
        reopen_soon(peer); /* before anything leaves by it */
        return;
    }
    change_state(peer, event == PEER_LINK_UP ? PEER_LINKED : PEER_LOST);
    /* Without what it had queued, which was given up; and to a host of ours under another identity,
     * as the old one may still be taken there. */
    if (event == PEER_LINK_LOST && peer->state == PEER_CONNECTING)
        reopen_soon(peer);
}

static void close_dealer(struct peer *peer)
{
    zmq_watcher_stop(&peer->watcher);
    if (peer->dealer)
        peer_monitor_stop(&peer->monitor);
    if (peer->dealer && !is_linked(peer->state)) /* it would connect once more for that */
        sockets_drop_unsent(peer->dealer);
    sockets_close(&peer->dealer);
}

static int open_dealer(struct peer *peer)
{
    const struct peer_context *shared = peer->shared;
    char identity[PEER_IDENTITY_MAX + 1];
    peer->dealer_is_private = private_identity(peer, identity);
    peer->dealer =
        sockets_dealer(peer->dealer_is_private ? slice_from_string(identity) : shared->own_id,
                       shared->frame_bytes_max, shared->own, peer->key);
    if (peer->dealer &&
        (!peer->dealer_is_private ||
         sockets_set_send_high_water(peer->dealer, MESH_PACKS_HIGH_WATER) == 0) &&
        peer_monitor_start(&peer->monitor, shared->loop, peer->dealer, on_link, peer) == 0 &&
        zmq_watcher_start(&peer->watcher, shared->loop, sockets_handle(peer->dealer),
                          on_dealer_ready, peer) == 0 &&
        zmq_connect(sockets_handle(peer->dealer), peer->uri) == 0)
        return 0;
    LOG_ERROR("peer-connect-failed", "peer=%s uri=%s why=\"%s\"", peer->id, peer->uri,
              zmq_strerror(errno));
    close_dealer(peer);
    return -1;
}

/* Its key, and ours, decide whether we connect to it; the reason is logged once. */
static bool is_barred(struct peer *peer)
{
    const char *why = NULL;
    const struct key_claim claim = {.key = slice_from_string(peer->key),
                                    .cluster_id = peer_id(peer),
                                    .announced = slice_from_string(peer->key)};
    if (peer->shared->keys)
        why = mesh_keys_refusal(peer->shared->keys, &claim);
    else if (*peer->key)
        why = "it speaks CURVE, and server.mmrp.curve is not set here";
    if (why && why != peer->barred)
        LOG_WARNING("peer-barred", "peer=%s uri=%s why=\"%s\"", peer->id, peer->uri, why);
    peer->barred = why;
    return why != NULL;
}

static void open_or_retry(struct peer *peer)
{
    if (is_barred(peer)) /* until its key or ours are others */
        return;
    if (open_dealer(peer) != 0)
        schedule_handshake(peer, OPEN_RETRY_S);
}

static void on_reopening(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct peer *peer = timer->data;
    if (peer->dealer)
        sockets_drop_unsent(peer->dealer);
    close_dealer(peer);
    change_state(peer, PEER_LOST);
    if (peer->state == PEER_GONE)
        return;
    if (peer->is_msgserver)
        open_or_retry(peer);
    else
        schedule_handshake(peer, MAGE_REOPEN_S); /* it opens what is not open */
}

static void on_handshake_due(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct peer *peer = timer->data;
    if (!peer->dealer)
        open_or_retry(peer);
    else
        introduce_ourselves(peer);
}

/* --- states -------------------------------------------------------------------------- */

const char *peer_state_name(enum peer_state state)
{
    static const char *const NAMES[] = {[PEER_UNANNOUNCED] = "unannounced",
                                        [PEER_CONNECTING] = "connecting",
                                        [PEER_CONNECTED] = "connected",
                                        [PEER_UP] = "up",
                                        [PEER_GONE] = "gone"};
    return NAMES[state];
}

static enum peer_state state_after(const struct peer *peer, enum peer_event event)
{
    bool linked = is_linked(peer->state);
    if (peer->state == PEER_GONE)
        return PEER_GONE;
    switch (event) {
    case PEER_ANNOUNCED:
        return peer->state == PEER_UNANNOUNCED ? PEER_CONNECTING : peer->state;
    case PEER_WITHDRAWN:
        if (linked)
            return peer->state;
        return peer->state == PEER_CONNECTING && peer->identity[0] && peer->heard_ms > peer->lost_ms
                   ? PEER_UNANNOUNCED
                   : PEER_GONE;
    case PEER_LINKED:
        return peer->introduced ? PEER_UP : PEER_CONNECTED;
    case PEER_LOST:
        if (!linked)
            return peer->state;
        return peer->announced ? PEER_CONNECTING : PEER_GONE;
    case PEER_INTRODUCED:
        return linked && !peer->misplaced ? PEER_UP : peer->state;
    case PEER_MISPLACED:
        return linked ? PEER_CONNECTED : peer->state;
    }
    return peer->state;
}

static void enter_linked(struct peer *peer)
{
    peer->handshake_attempts = 0;
    peer->handshake_sent = false;
    peer->answered = peer->reads_packs = false;
    if (peer->refused) /* it was taken after all */
        ev_timer_stop(peer->shared->loop, &peer->reopening);
    peer->refused = false;
    introduce_ourselves(peer);
    ev_timer_stop(peer->shared->loop, &peer->grace);
    ev_timer_set(&peer->grace, peer->dealer_is_private ? ANSWER_LIMIT_S : PEER_GRACE_MS / 1e3, 0.);
    ev_timer_start(peer->shared->loop, &peer->grace);
}

static void leave_linked(struct peer *peer)
{
    ev_timer_stop(peer->shared->loop, &peer->handshake_due);
    ev_timer_stop(peer->shared->loop, &peer->grace);
    peer->misplaced = peer->awaits_answer = false;
    peer->lost_ms = clock_monotonic_ms();
}

/* The one place where a peer's state changes. */
static void change_state(struct peer *peer, enum peer_event event)
{
    enum peer_state before = peer->state;
    peer->state = state_after(peer, event);
    if (event == PEER_LINKED && is_linked(peer->state))
        enter_linked(peer);
    if (peer->state == before)
        return;
    peer->state_since_ms = clock_monotonic_ms();
    if (is_linked(before) && !is_linked(peer->state))
        leave_linked(peer);
    if (peer->state == PEER_GONE || (before == PEER_UP && !peer->by_router))
        peer_outbox_fail(peer);
    peer->shared->on_change(peer->shared->mesh, peer, before);
    peer_outbox_tell_writable(peer);
}

void peer_announce(struct peer *peer, struct slice uri, struct slice key)
{
    INVARIANT(uri.len <= PEER_URI_MAX && key.len < CURVE_KEY_ROOM, "a peer's URI is too long");
    peer->announced = true;
    if (slice_equals_string(uri, peer->uri) && slice_equals_string(key, peer->key))
        return;
    if (peer->dealer) {
        close_dealer(peer);
        change_state(peer, PEER_LOST);
    }
    memcpy(peer->uri, uri.data, uri.len);
    peer->uri[uri.len] = '\0';
    snprintf(peer->key, sizeof peer->key, "%.*s", (int)key.len, key.len ? key.data : "");
    change_state(peer, PEER_ANNOUNCED);
    open_or_retry(peer);
}

void peer_keys_changed(struct peer *peer)
{
    if (!*peer->uri)
        return;
    if (peer->dealer && is_barred(peer)) {
        sockets_drop_unsent(peer->dealer);
        close_dealer(peer);
        change_state(peer, PEER_LOST);
    } else if (!peer->dealer && peer->announced) {
        open_or_retry(peer);
    }
}

void peer_withdraw(struct peer *peer)
{
    peer->announced = false;
    change_state(peer, PEER_WITHDRAWN);
    if (peer->state == PEER_UNANNOUNCED) {
        close_dealer(peer);
        peer->uri[0] = '\0';
    }
}

void peer_replaced(struct peer *peer)
{
    change_state(peer, PEER_LOST);
}

struct peer *peer_new(struct peer_context *shared, struct slice id)
{
    INVARIANT(id.len <= CLUSTER_ID_MAX, "a cluster ID is too long");
    struct peer *peer = calloc(1, sizeof *peer);
    if (!peer)
        return NULL;
    peer->shared = shared;
    memcpy(peer->id, id.data, id.len);
    peer->state = PEER_UNANNOUNCED;
    peer->is_msgserver = shared->own != NULL; /* no other speaks CURVE */
    peer->heard_ms = peer->state_since_ms = clock_monotonic_ms();
    ev_timer_init(&peer->handshake_due, on_handshake_due, 0., 0.);
    ev_timer_init(&peer->grace, on_grace_over, 0., 0.);
    ev_timer_init(&peer->reopening, on_reopening, 0., 0.);
    peer->handshake_due.data = peer->grace.data = peer->reopening.data = peer;
    peer_outbox_init(peer);
    return peer;
}

void peer_free(struct peer *peer)
{
    ev_timer_stop(peer->shared->loop, &peer->handshake_due);
    ev_timer_stop(peer->shared->loop, &peer->grace);
    ev_timer_stop(peer->shared->loop, &peer->reopening);
    close_dealer(peer);
    peer_outbox_close(peer);
    free(peer);
}
