#include "workers/relay/peer_outlet.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/invariant.h"
#include "workers/relay/delivery.h"
#include "workers/relay/relay.h"

struct peer_outlet *peer_outlet_find(const struct relay *relay, struct slice cluster_id)
{
    struct peer_outlet *peer;
    HASH_FIND(hh, relay->peers, cluster_id.data, cluster_id.len, peer);
    return peer;
}

struct peer_outlet *peer_outlet_get(struct relay *relay, struct slice cluster_id)
{
    struct peer_outlet *peer = peer_outlet_find(relay, cluster_id);
    if (peer)
        return peer;
    if (cluster_id.len == 0 || cluster_id.len > UINT16_MAX) {
        errno = EINVAL;
        return NULL;
    }
    peer = calloc(1, sizeof *peer + cluster_id.len);
    if (!peer)
        return NULL;
    peer->outlet.kind = OUTLET_PEER;
    peer->id_len = (uint16_t)cluster_id.len;
    memcpy(peer->id, cluster_id.data, cluster_id.len);
    HASH_ADD_KEYPTR(hh, relay->peers, peer->id, peer->id_len, peer);
    if (!peer->hh.tbl) {
        free(peer);
        return NULL;
    }
    return peer;
}

void peer_outlet_left(struct relay *relay, struct peer_outlet *peer)
{
    if (peer->outlet.attachments)
        return;
    HASH_DELETE(hh, relay->peers, peer);
    free(peer);
}

/* So the outlet's attachments are in the order of their last connects. */
void peer_outlet_refresh(struct attachment *attachment)
{
    struct outlet *outlet = attachment->outlet;
    attachment->route->refreshed_ms = clock_monotonic_ms();
    DL_DELETE(outlet->attachments, attachment);
    DL_APPEND(outlet->attachments, attachment);
}

static void close_forgotten(struct relay *relay, struct peer_outlet *peer, uint64_t now_ms)
{
    struct attachment *attachment, *next;
    for (attachment = peer->outlet.attachments; attachment; attachment = next) {
        next = attachment->next; /* the last one takes the outlet with it */
        if (now_ms < attachment->route->refreshed_ms + REMOTE_EXPIRY_MS)
            return;
        metric_add(&relay->metrics, METRIC_STALE, 1);
        attachment_close(relay, attachment);
    }
}

void peer_outlet_tick(struct relay *relay, uint64_t now_ms)
{
    for (struct peer_outlet *peer = relay->peers, *next; peer; peer = next) {
        next = peer->hh.next;
        if (mesh_peer(relay->mesh, slice_of(peer->id, peer->id_len)).is_msgserver)
            close_forgotten(relay, peer, now_ms);
    }
}

void peer_outlet_lost(struct relay *relay, struct slice cluster_id)
{
    struct peer_outlet *peer = peer_outlet_find(relay, cluster_id);
    if (!peer)
        return;
    /* The last one takes the outlet with it. */
    for (struct attachment *attachment = peer->outlet.attachments, *next; attachment;
         attachment = next) {
        next = attachment->next;
        attachment_close(relay, attachment);
    }
}

void peer_outlet_writable(struct relay *relay, struct slice cluster_id)
{
    struct peer_outlet *peer = peer_outlet_find(relay, cluster_id);
    if (!peer)
        return;
    peer->blocked = false;
    delivery_go_on(relay, &peer->outlet);
}
