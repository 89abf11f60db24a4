/* What operators ask of the mesh: see codecs/requests.h. */
#ifndef MSGSERVER_RELAY_REQUESTS_PEERS_H
#define MSGSERVER_RELAY_REQUESTS_PEERS_H

#include "codecs/requests.h"

struct relay;

/* Appends a PEER_REPORTS's fields to `reply`. Returns 0, or -1 when the payload is malformed or
 * there is no memory. */
int answer_read_peers(struct relay *relay, struct slice payload, struct buffer *reply);

#endif
