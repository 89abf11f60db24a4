/* A peer's outbox, as the peer itself sees it. */
#ifndef MSGSERVER_RELAY_MESH_PEER_OUTBOX_H
#define MSGSERVER_RELAY_MESH_PEER_OUTBOX_H

#include "workers/relay/mesh/peer.h"

void peer_outbox_init(struct peer *peer);
/* Drops what waits, without a word. */
void peer_outbox_close(struct peer *peer);

/* Sends a bounded part of what waits. */
void peer_outbox_go_on(struct peer *peer);
/* Gives up all that waits: on_undelivered() for each. */
void peer_outbox_fail(struct peer *peer);
/* on_writable(), when a sender was refused and there is room again, or nothing to wait for. */
void peer_outbox_tell_writable(struct peer *peer);

#endif
