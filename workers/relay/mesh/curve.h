/* The mesh with CURVE on: our keys, those that are allowed, and who may speak in whose name.
 *
 * libzmq lets any allowed key take any identity at our ROUTER, and what is sent to that reaches it.
 * So envelopes leave only by a DEALER, whose other end proved to have the key that discovery
 * announced and peersFile allows; and by the ROUTER no more than the answer to a handshake, to an
 * identity that nobody but its owner knows. */
#ifndef MSGSERVER_RELAY_MESH_CURVE_H
#define MSGSERVER_RELAY_MESH_CURVE_H

#include "workers/relay/mesh/mesh_internal.h"

/* Before the ROUTER; does nothing when CURVE is off. Returns 0, or -1 with `why`. */
int curve_open(struct mesh *mesh, const struct settings *settings, char *why, size_t why_room);
/* After the ROUTER. */
void curve_close(struct mesh *mesh);

/* Whether what came by the ROUTER is by whom it says; else it was counted, and is to be dropped.
 * `identity` and `user_id`: the name that its connection took, and the key that it proved. */
bool curve_vouches(struct mesh *mesh, struct slice identity, struct slice user_id);

#endif
