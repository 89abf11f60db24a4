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
        PEER_COUNT(peer, lost);
        peer->shared->on_undelivered(peer->shared->mesh, multipart);
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
        PEER_COUNT(peer, retried);
    multipart->retried = true;
}

static void flush_outbox(struct peer *peer, size_t most)
{
    for (size_t i = 0; i < most && peer->outbox.first && !peer->shared->holding; i++) {
        enum multipart_sent sent = send_now(peer, peer->outbox.first);
        if (sent == MULTIPART_BLOCKED) {
            note_retry(peer, peer->outbox.first);
            break;
        }
        if (sent == MULTIPART_UNREACHABLE) {
            peer_outbox_fail(peer);
            break;
        }
        if (sent == MULTIPART_SENT)
            PEER_COUNT(peer, sent);
        else
            PEER_COUNT(peer, lost);
        multipart_free(outbox_take(&peer->outbox));
    }
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

static int put_in_outbox(struct peer *peer, struct multipart *multipart)
{
    if (!outbox_add(&peer->outbox, multipart)) {
        peer->refused_sender = true;
        PEER_COUNT(peer, outbox_full);
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
