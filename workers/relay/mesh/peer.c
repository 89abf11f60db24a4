#include "workers/relay/mesh/peer.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/invariant.h"
#include "base/log.h"
#include "workers/relay/mesh/sockets.h"

enum {
    RECEIVED_PER_ROUND = 64,
    SENT_PER_ROUND = 256,
    HANDSHAKE_ATTEMPTS = 100 /* MMRP fact */
};

static const double HANDSHAKE_INTERVAL_S = 0.2; /* MMRP fact */
/* A MAGE host is deaf to our new connection until its ZeroMQ gave up the old one; what it then
 * takes first should be a handshake. */
static const double HANDSHAKE_REPEAT_S = (MESH_HEARTBEAT_TTL_MS + 1000) / 1e3;
static const double OPEN_RETRY_S = 1.0;
/* A ROUTER is always writable to poll, so its outboxes are tried by time. */
static const double ROUTER_RETRY_S = 0.02;

static void change_state(struct peer *peer, enum peer_event event);

/* --- outbox -------------------------------------------------------------------------- */

static void *outgoing_socket(const struct peer *peer)
{
    return peer->by_router ? peer->shared->router : sockets_handle(peer->dealer);
}

static void watch_outbox(struct peer *peer)
{
    bool waiting = peer->outbox.count > 0;
    if (peer->dealer)
        zmq_watcher_want(&peer->watcher,
                         waiting && !peer->by_router ? ZMQ_POLLIN | ZMQ_POLLOUT : ZMQ_POLLIN);
    if (waiting && peer->by_router)
        ev_timer_again(peer->shared->loop, &peer->router_retry);
    else
        ev_timer_stop(peer->shared->loop, &peer->router_retry);
}

static void fail_outbox(struct peer *peer)
{
    struct outbox failed = peer->outbox;
    peer->outbox = (struct outbox){0};
    watch_outbox(peer);
    struct multipart *multipart;
    while ((multipart = outbox_take(&failed)) != NULL) {
        peer->shared->counters->lost++;
        peer->shared->on_undelivered(peer->shared->mesh, multipart);
        multipart_free(multipart);
    }
}

static void tell_writable(struct peer *peer)
{
    if (!peer->refused_sender || !outbox_has_room_again(&peer->outbox))
        return;
    peer->refused_sender = false;
    peer->shared->on_writable(peer->shared->mesh, peer);
}

static void flush_outbox(struct peer *peer, size_t most)
{
    for (size_t i = 0; i < most && peer->outbox.first && !peer->shared->holding; i++) {
        enum multipart_sent sent = multipart_send(peer->outbox.first, outgoing_socket(peer));
        if (sent == MULTIPART_BLOCKED)
            break;
        if (sent == MULTIPART_UNREACHABLE) {
            fail_outbox(peer);
            break;
        }
        if (sent == MULTIPART_SENT)
            peer->shared->counters->sent++;
        else
            peer->shared->counters->lost++;
        multipart_free(outbox_take(&peer->outbox));
    }
    watch_outbox(peer);
    tell_writable(peer);
}

static void on_router_retry(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    flush_outbox(timer->data, SENT_PER_ROUND);
}

static int put_in_outbox(struct peer *peer, struct multipart *multipart)
{
    if (!outbox_add(&peer->outbox, multipart)) {
        peer->refused_sender = true;
        peer->shared->counters->outbox_full++;
        errno = EAGAIN;
        return -1;
    }
    watch_outbox(peer);
    return 0;
}

int peer_send(struct peer *peer, struct multipart *multipart)
{
    if (peer->outbox.first)
        return put_in_outbox(peer, multipart); /* behind the others, by the same way */
    if (peer->state != PEER_UP && !peer->introduced) {
        errno = EHOSTUNREACH;
        return -1;
    }
    peer->by_router = peer->state != PEER_UP;
    if (peer->shared->holding)
        return put_in_outbox(peer, multipart);
    switch (multipart_send(multipart, outgoing_socket(peer))) {
    case MULTIPART_SENT:
        peer->shared->counters->sent++;
        multipart_free(multipart);
        return 0;
    case MULTIPART_BLOCKED:
        return put_in_outbox(peer, multipart);
    case MULTIPART_UNREACHABLE:
    case MULTIPART_BROKEN:
        break;
    }
    errno = EHOSTUNREACH;
    return -1;
}

/* As much as the socket takes: its mark bounds it. */
void peer_flush(struct peer *peer)
{
    if (peer->outbox.first)
        flush_outbox(peer, SIZE_MAX);
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
        if (!peer->is_msgserver) /* ours heard the first, and would take it for a new connection */
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

static void on_grace_over(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    change_state(timer->data, PEER_INTRODUCED);
}

/* A host of ours that lost its connection to us, while ours to it lives, let go of our clients'
 * attachments; that it connected anew is all that tells us. (A MAGE host says nothing.) */
void peer_handshaken(struct peer *peer, bool is_msgserver, bool by_its_own)
{
    bool changed = peer->is_msgserver != is_msgserver;
    bool anew = peer->greeted && by_its_own && is_msgserver;
    peer->is_msgserver = is_msgserver;
    peer->greeted |= by_its_own;
    enum peer_state before = peer->state;
    peer_heard(peer);
    if ((changed || anew) && before == PEER_UP)
        peer->shared->on_change(peer->shared->mesh, peer, before);
}

void peer_heard(struct peer *peer)
{
    peer->heard_ms = clock_monotonic_ms();
    peer->introduced = true;
    change_state(peer, PEER_INTRODUCED);
}

void peer_misplaced(struct peer *peer)
{
    if (!peer->misplaced)
        LOG_WARNING("peer-misplaced", "peer=%s uri=%s why=\"another relay answers there\"",
                    peer->id, peer->uri);
    peer->misplaced = true;
    change_state(peer, PEER_MISPLACED);
}

/* --- the DEALER ---------------------------------------------------------------------- */

static void read_dealer(struct peer *peer)
{
    struct multipart in = {0};
    for (int i = 0; i < RECEIVED_PER_ROUND; i++) {
        int rc = multipart_receive(&in, sockets_handle(peer->dealer));
        if (rc == 0)
            break;
        if (rc < 0)
            LOG_ERROR("peer-read-failed", "peer=%s why=\"%s\"", peer->id, zmq_strerror(errno));
        else
            peer->shared->on_received(peer->shared->mesh, peer, &in);
    }
    multipart_clear(&in);
    free(in.frames);
    free(in.slices);
}

static void on_dealer_ready(void *context, int events)
{
    struct peer *peer = context;
    if (events & ZMQ_POLLOUT)
        flush_outbox(peer, SENT_PER_ROUND);
    if (events & ZMQ_POLLIN)
        read_dealer(peer);
}

static void on_link(void *context, enum peer_link_event event)
{
    struct peer *peer = context;
    if (event == PEER_LINK_UP)
        change_state(peer, PEER_LINKED);
    else
        change_state(peer, PEER_LOST);
}

static void close_dealer(struct peer *peer)
{
    zmq_watcher_stop(&peer->watcher);
    if (peer->dealer)
        peer_monitor_stop(&peer->monitor);
    sockets_close(&peer->dealer);
}

static int open_dealer(struct peer *peer)
{
    const struct peer_context *shared = peer->shared;
    peer->dealer = sockets_dealer(shared->own_id, shared->frame_bytes_max);
    if (peer->dealer &&
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

static void open_or_retry(struct peer *peer)
{
    if (open_dealer(peer) != 0)
        schedule_handshake(peer, OPEN_RETRY_S);
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

static bool is_linked(enum peer_state state)
{
    return state == PEER_CONNECTED || state == PEER_UP;
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
        return linked ? peer->state : PEER_GONE;
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
    introduce_ourselves(peer);
    ev_timer_stop(peer->shared->loop, &peer->grace);
    ev_timer_set(&peer->grace, PEER_GRACE_MS / 1e3, 0.);
    ev_timer_start(peer->shared->loop, &peer->grace);
}

static void leave_linked(struct peer *peer)
{
    ev_timer_stop(peer->shared->loop, &peer->handshake_due);
    ev_timer_stop(peer->shared->loop, &peer->grace);
    peer->misplaced = false;
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
    if (is_linked(before) && !is_linked(peer->state))
        leave_linked(peer);
    if (peer->state == PEER_GONE || (before == PEER_UP && !peer->by_router))
        fail_outbox(peer);
    peer->shared->on_change(peer->shared->mesh, peer, before);
    tell_writable(peer);
}

void peer_announce(struct peer *peer, struct slice uri)
{
    INVARIANT(uri.len <= PEER_URI_MAX, "a peer's URI is too long");
    peer->announced = true;
    if (slice_equals_string(uri, peer->uri))
        return;
    if (peer->dealer) {
        close_dealer(peer);
        change_state(peer, PEER_LOST);
    }
    memcpy(peer->uri, uri.data, uri.len);
    peer->uri[uri.len] = '\0';
    change_state(peer, PEER_ANNOUNCED);
    open_or_retry(peer);
}

void peer_withdraw(struct peer *peer)
{
    peer->announced = false;
    change_state(peer, PEER_WITHDRAWN);
}

void peer_replaced(struct peer *peer)
{
    change_state(peer, PEER_LOST);
}

struct peer *peer_new(const struct peer_context *shared, struct slice id)
{
    INVARIANT(id.len <= CLUSTER_ID_MAX, "a cluster ID is too long");
    struct peer *peer = calloc(1, sizeof *peer);
    if (!peer)
        return NULL;
    peer->shared = shared;
    memcpy(peer->id, id.data, id.len);
    peer->state = PEER_UNANNOUNCED;
    peer->heard_ms = clock_monotonic_ms();
    ev_timer_init(&peer->handshake_due, on_handshake_due, 0., 0.);
    ev_timer_init(&peer->grace, on_grace_over, 0., 0.);
    ev_timer_init(&peer->router_retry, on_router_retry, 0., ROUTER_RETRY_S);
    peer->handshake_due.data = peer->grace.data = peer->router_retry.data = peer;
    return peer;
}

void peer_free(struct peer *peer)
{
    ev_timer_stop(peer->shared->loop, &peer->handshake_due);
    ev_timer_stop(peer->shared->loop, &peer->grace);
    ev_timer_stop(peer->shared->loop, &peer->router_retry);
    close_dealer(peer);
    struct multipart *multipart;
    while ((multipart = outbox_take(&peer->outbox)) != NULL)
        multipart_free(multipart);
    free(peer);
}
