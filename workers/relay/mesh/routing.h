/* Where what arrives goes: to us, to our clients, on to other peers, or back as an error. */
#ifndef MSGSERVER_RELAY_MESH_ROUTING_H
#define MSGSERVER_RELAY_MESH_ROUTING_H

#include "workers/relay/mesh/mesh_internal.h"

/* A multipart came by the ROUTER: its first frame is the sender's identity. */
void routing_from_router(struct mesh *mesh, struct multipart *in);
/* A multipart came by the DEALER of `peer`. */
void routing_from_peer(struct mesh *mesh, struct peer *peer, struct multipart *in);
/* Envelopes that were queued for a peer and did not reach it go back, if they have a return route.
 */
void routing_undelivered(struct mesh *mesh, const struct peer *peer, struct multipart *multipart);

/* Who sent what arrived. */
struct sender {
    struct slice identity; /* of its connection */
    struct slice id;       /* the cluster ID in that */
    struct peer *peer;     /* NULL: nobody we know */
};

/* Count what a sender should not have sent, and log it once per peer and minute. */
void routing_drop_malformed(struct mesh *mesh, const struct sender *sender, struct slice type,
                            const char *why);
void routing_drop_stranger(struct mesh *mesh, const struct sender *sender, struct slice type);

/* Sends `envelope` to the peer route[0]; our identity goes on its return route. Returns 0, or -1
 * with errno EHOSTUNREACH, EAGAIN or ENOMEM. */
int routing_send(struct mesh *mesh, const struct envelope *envelope);

/* Sends `envelope`, whose route has two entries, to every peer that is up and neither `sender` (may
 * be NULL) nor on its return route; route[0] is filled in here. Returns how many took it, the
 * others are added to `*failed`. */
uint32_t routing_send_to_all(struct mesh *mesh, struct envelope *envelope,
                             const struct peer *sender, uint32_t *failed);

#endif
