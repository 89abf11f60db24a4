/* The JSON of a handshake (MMRP fact; from "server" on it is ours, and MAGE ignores it):
 *   {"clusterId":"B","identity":"B","isRelay":true,"isClient":false,
 *    "server":"msgserver","software":"0.1.0","game":"my-game","version":"1.2.3","pack":"1"}
 * "server" says that msgserver.request is answered; "game" and "version", as discovery has them,
 * keep two versions apart that one address had in turn; "pack" is the newest form of packed
 * envelopes that is read, as all older ones are (codecs/envelope_pack.h). */
#ifndef MSGSERVER_RELAY_MESH_HANDSHAKE_H
#define MSGSERVER_RELAY_MESH_HANDSHAKE_H

#include "base/buffer.h"
#include "codecs/session_key.h"

enum {
    HANDSHAKE_MAX = 4096,       /* bytes of JSON: a longer one is none */
    HANDSHAKE_SOFTWARE_MAX = 32 /* bytes; a longer one is cut */
};

/* Who may be a peer. */
struct service {
    const char *game;
    const char *version;
};

struct handshake {
    char cluster_id[CLUSTER_ID_MAX + 1];
    char software[HANDSHAKE_SOFTWARE_MAX + 1]; /* what it runs, printable; empty: it does not say */
    bool is_relay;                             /* and not a client */
    bool is_msgserver;                         /* answers msgserver.request */
    bool is_foreign;                           /* of another game or version */
    bool reads_packs;                          /* that we write */
};

/* Appends the handshake of a relay of ours. Returns 0, or -1 with errno ENOMEM. */
int handshake_write(struct slice cluster_id, const struct service *service, struct buffer *json);

/* `service`: ours. Returns 0, or -1 with errno EINVAL: not JSON, a member missing or of another
 * type, no cluster ID, or a relay whose identity is not its cluster ID. */
int handshake_read(struct slice json, const struct service *service, struct handshake *handshake);

#endif
