/* Handshakes: who is at the other end of a connection (MMRP facts). */
#ifndef MSGSERVER_RELAY_MESH_INTRODUCTIONS_H
#define MSGSERVER_RELAY_MESH_INTRODUCTIONS_H

#include "workers/relay/mesh/routing.h"

/* A handshake came by the ROUTER, our identity is consumed. */
void introductions_from_router(struct mesh *mesh, const struct sender *sender,
                               const struct envelope *handshake);
/* Whether what a peer's DEALER received is a handshake, or says that ours was refused: then all
 * there is to do was done. */
bool introductions_from_peer(struct mesh *mesh, const struct sender *sender,
                             const struct envelope *envelope);

#endif
