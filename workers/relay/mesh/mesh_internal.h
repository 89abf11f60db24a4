/* What the mesh's own files share. */
#ifndef MSGSERVER_RELAY_MESH_MESH_INTERNAL_H
#define MSGSERVER_RELAY_MESH_MESH_INTERNAL_H

#include "base/log.h"
#include "codecs/envelope_pack.h"
#include "workers/relay/mesh/mesh_keys.h"
#include "workers/relay/mesh/peer.h"
#include "workers/relay/mesh/router_socket.h"
#include "workers/relay/mesh/zap.h"

enum { MESH_MAGIC = 0x6d657368 };

/* Peers known by their handshake alone: how many, and how long one may be silent. Hosts of ours
 * repeat their connects more often than that. */
enum { MESH_UNANNOUNCED_MAX = 256, MESH_UNANNOUNCED_SILENT_MS = 90000 };

/* A host that discovery knows to be of another game or version. */
struct foreigner {
    UT_hash_handle hh;
    char id[];
};

struct mesh {
    unsigned magic;
    struct ev_loop *loop;
    const struct mesh_handlers *handlers;
    void *context;

    char id[CLUSTER_ID_MAX + 1];
    char bind_host[256];
    uint16_t port;
    struct service service; /* freed with the mesh */
    struct buffer handshake;
    struct router_socket *router; /* NULL in a mesh of one */
    struct curve_pair curve;      /* our own; of use when `keys` is not NULL: CURVE is on */
    struct mesh_keys *keys;
    struct zap *zap;

    struct peer *peers;           /* uthash, by ID */
    struct peer *heard_last;      /* the one that is looked for most; NULL: none */
    struct foreigner *foreigners; /* uthash, by ID */
    struct peer *gone;            /* linked by next_gone: freed by the reaper */
    ev_prepare reaper;
    ev_timer silence;     /* looks for unannounced peers that are silent */
    ev_prepare round_end; /* never started: fed when outboxes are to be flushed in this round */
    struct peer_context shared;
    struct frame_list unpacked; /* the envelope of a pack that is being handled */
    struct mesh_counters counters;
    unsigned in_handlers; /* callbacks of ours that run: nothing may be freed */

    /* Of all whom discovery does not know: a stranger chooses its identity, and could fill the log
     * under many. */
    struct complaint_limits complaints;
    struct log_limit unannounced_log;
    struct log_limit forged_log;
};

static inline struct slice mesh_own_id(const struct mesh *mesh)
{
    return slice_of(mesh->id, strlen(mesh->id));
}

/* Adds one that is not known. NULL with errno ENOMEM, logged. */
struct peer *mesh_add_peer(struct mesh *mesh, struct slice id);
/* Frees the peers that are GONE. Not inside the handlers. */
void mesh_reap(struct mesh *mesh);
bool mesh_is_foreign(const struct mesh *mesh, struct slice id);
void mesh_forget_foreigners(struct mesh *mesh);
/* NULL when unknown. */
struct peer *mesh_find_peer(const struct mesh *mesh, struct slice id);
/* The peer, made known if it was not: by a handshake alone. NULL with errno ENOMEM. */
struct peer *mesh_meet_peer(struct mesh *mesh, struct slice id);

#endif
