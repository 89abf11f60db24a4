/* What leaves for a peer, at once or by its outbox: peer_send() and peer_flush() of peer.h. */
#include "workers/relay/mesh/peer_outbox.h"

#include <errno.h>

#include "workers/relay/mesh/sockets.h"

enum { SENT_PER_ROUND = 256 };

/* A ROUTER is always writable to poll, so its outboxes are tried by time. */
static const double ROUTER_RETRY_S = 0.02;

static void *outgoing_socket(const struct peer *peer)
{
    return peer->by_router ? peer->shared->router : sockets_handle(peer->dealer);
}

/* Never blocks. What leaves by the ROUTER is for the connection that the peer made. */
static enum multipart_sent send_now(struct peer *peer, struct multipart *multipart)
{
    if (multipart_seal(multipart, peer_id(peer), &peer->shared->spare) != 0)
        return MULTIPART_BLOCKED;
    if (peer->by_router && peer->identity[0] &&
        multipart_readdress(multipart, slice_from_string(peer->identity)) != 0)
        return MULTIPART_BLOCKED;
    return multipart_send(multipart, outgoing_socket(peer));
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

void peer_outbox_fail(struct peer *peer)
{
    struct outbox failed = peer->outbox;
    peer->outbox = (struct outbox){0};
    watch_outbox(peer);
    struct multipart *multipart;
    while ((multipart = outbox_take(&failed)) != NULL) {
        PEER_COUNT_ENVELOPES(peer, lost, multipart);
        peer->shared->on_undelivered(peer->shared->mesh, peer, multipart);
        multipart_free(multipart);
    }
}

void peer_outbox_tell_writable(struct peer *peer)
{
    if (!peer->refused_sender || !outbox_has_room_again(&peer->outbox))
        return;
    peer->refused_sender = false;
    peer->shared->on_writable(peer->shared->mesh, peer);
}

static void note_retry(struct peer *peer, struct multipart *multipart)
{
    if (!multipart->retried)
        PEER_COUNT_ENVELOPES(peer, retried, multipart);
    multipart->retried = true;
}

/* Returns whether the others may follow. */
static bool send_first(struct peer *peer)
{
    struct multipart *first = peer->outbox.first;
    switch (send_now(peer, first)) {
    case MULTIPART_SENT:
        PEER_COUNT_ENVELOPES(peer, sent, first);
        break;
    case MULTIPART_BROKEN:
        PEER_COUNT_ENVELOPES(peer, lost, first);
        break;
    case MULTIPART_BLOCKED:
        note_retry(peer, first);
        return false;
    case MULTIPART_UNREACHABLE:
        peer_outbox_fail(peer);
        return false;
    }
    multipart_free(outbox_take(&peer->outbox));
    return true;
}

static void flush_outbox(struct peer *peer, size_t most)
{
    for (size_t i = 0; i < most && peer->outbox.first && !peer->shared->holding; i++)
        if (!send_first(peer))
            break;
    watch_outbox(peer);
    peer_outbox_tell_writable(peer);
}

void peer_outbox_go_on(struct peer *peer)
{
    flush_outbox(peer, SENT_PER_ROUND);
}

static void on_router_retry(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    peer_outbox_go_on(timer->data);
}

static void refuse_sender(struct peer *peer)
{
    peer->refused_sender = true;
    PEER_COUNT(peer, outbox_full);
}

static int put_in_outbox(struct peer *peer, struct multipart *multipart)
{
    if (!outbox_add(&peer->outbox, multipart)) {
        refuse_sender(peer);
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
    if (peer->foreign || (peer->state != PEER_UP && (!peer->introduced || !peer->shared->router))) {
        errno = EHOSTUNREACH;
        return -1;
    }
    peer->by_router = peer->state != PEER_UP;
    if (peer->shared->holding)
        return put_in_outbox(peer, multipart);
    switch (send_now(peer, multipart)) {
    case MULTIPART_SENT:
        PEER_COUNT(peer, sent);
        multipart_free(multipart);
        return 0;
    case MULTIPART_BLOCKED:
        note_retry(peer, multipart);
        return put_in_outbox(peer, multipart);
    case MULTIPART_UNREACHABLE:
    case MULTIPART_BROKEN:
        break;
    }
    errno = EHOSTUNREACH;
    return -1;
}

bool peer_takes_packs(const struct peer *peer)
{
    return peer->reads_packs && peer->state == PEER_UP && !peer->foreign &&
           (!peer->outbox.first || !peer->by_router);
}

int peer_pack(struct peer *peer, const struct envelope *envelope)
{
    bool was_empty = !peer->outbox.first;
    if (outbox_pack(&peer->outbox, envelope, &peer->shared->spare) != 0) {
        if (errno == EAGAIN)
            refuse_sender(peer);
        return -1;
    }
    peer->by_router = false;
    if (was_empty)
        peer->shared->on_packed(peer->shared->mesh);
    /* What leaves by a DEALER does not fail as a whole, so nobody needs to be told. */
    if (outbox_has_full_pack(&peer->outbox) && !peer->shared->holding) {
        while (peer->outbox.first && send_first(peer))
            continue;
        watch_outbox(peer);
    }
    return 0;
}

void peer_send_last(struct peer *peer)
{
    while (peer->outbox.first && peer->state == PEER_UP && !peer->by_router &&
           !peer->shared->holding && send_now(peer, peer->outbox.first) == MULTIPART_SENT) {
        PEER_COUNT_ENVELOPES(peer, sent, peer->outbox.first);
        multipart_free(outbox_take(&peer->outbox));
    }
}

/* As much as the socket takes: its mark bounds it. */
void peer_flush(struct peer *peer)
{
    if (peer->outbox.first)
        flush_outbox(peer, SIZE_MAX);
}

void peer_outbox_init(struct peer *peer)
{
    ev_timer_init(&peer->router_retry, on_router_retry, 0., ROUTER_RETRY_S);
    peer->router_retry.data = peer;
}

void peer_outbox_close(struct peer *peer)
{
    struct multipart *multipart;
    ev_timer_stop(peer->shared->loop, &peer->router_retry);
    while ((multipart = outbox_take(&peer->outbox)) != NULL)
        multipart_free(multipart);
}
