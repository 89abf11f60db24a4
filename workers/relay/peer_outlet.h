/* A peer through which clients of its host are attached to mailboxes here. Exists while it has
 * attachments. */
#ifndef MSGSERVER_RELAY_PEER_OUTLET_H
#define MSGSERVER_RELAY_PEER_OUTLET_H

#include "workers/relay/attachment.h"

struct peer_outlet {
    struct outlet outlet; /* first */
    bool blocked;         /* its queue is full: mesh_handlers.on_writable goes on */
    uint16_t id_len;
    UT_hash_handle hh;
    char id[]; /* cluster ID */
};

static inline struct peer_outlet *peer_outlet_of(struct outlet *outlet)
{
    return (struct peer_outlet *)outlet;
}

/* NULL when it has no attachments. */
struct peer_outlet *peer_outlet_find(const struct relay *relay, struct slice cluster_id);
/* Finds or makes it. NULL with errno ENOMEM. Add an attachment, or call peer_outlet_left(). */
struct peer_outlet *peer_outlet_get(struct relay *relay, struct slice cluster_id);
/* Frees it when its last attachment is gone. */
void peer_outlet_left(struct relay *relay, struct peer_outlet *peer);

/* The attachment's connect came again. */
void peer_outlet_refresh(struct attachment *attachment);
/* Closes those of hosts of ours that were not refreshed for too long: their clients are gone. */
void peer_outlet_tick(struct relay *relay, uint64_t now_ms);

/* The peer is gone, and so are its clients' attachments; it announces them when it is back. */
void peer_outlet_lost(struct relay *relay, struct slice cluster_id);
/* It takes envelopes again. */
void peer_outlet_writable(struct relay *relay, struct slice cluster_id);

#endif
