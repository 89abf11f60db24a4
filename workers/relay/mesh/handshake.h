/* The JSON of a handshake (MMRP fact):
 *   {"clusterId":"B","identity":"B","isRelay":true,"isClient":false,"server":"msgserver"}
 * "server" is ours: it says that msgserver.request is answered. MAGE ignores it. */
#ifndef MSGSERVER_RELAY_MESH_HANDSHAKE_H
#define MSGSERVER_RELAY_MESH_HANDSHAKE_H

#include "base/buffer.h"
#include "codecs/session_key.h"

struct handshake {
    char cluster_id[CLUSTER_ID_MAX + 1];
    bool is_relay;     /* and not a client */
    bool is_msgserver; /* answers msgserver.request */
};

/* Appends the handshake of a relay of ours. Returns 0, or -1 with errno ENOMEM. */
int handshake_write(struct slice cluster_id, struct buffer *json);

/* Returns 0, or -1 with errno EINVAL: not JSON, a member missing or of another type, no cluster ID,
 * or a relay whose identity is not its cluster ID. */
int handshake_read(struct slice json, struct handshake *handshake);

#endif
