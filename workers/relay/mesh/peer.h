/* One relay of another host: its DEALER, its state, its outbox.
 *
 *              announced            linked              introduced
 * UNANNOUNCED ──────────→ CONNECTING ─────→ CONNECTED ─────────────→ UP
 *   a handshake came,       ↑   │lost, from CONNECTED or UP  ←misplaced
 *   no address known        └───┘
 * A peer that discovery withdrew is kept while our connection to it lives; then it is GONE, or,
 * when there was none yet and it has made its own, UNANNOUNCED.
 *
 * Introduced: its handshake or an envelope came; or nothing came for PEER_GRACE_MS after the
 * connection was made: MAGE sends its handshake only once in its life, and ours may have been
 * restarted since (MMRP fact). Misplaced: the relay at its address says that it is another. */
#ifndef MSGSERVER_RELAY_MESH_PEER_H
#define MSGSERVER_RELAY_MESH_PEER_H

#include "base/log.h"
#include "base/table.h"
#include "codecs/session_key.h"
#include "workers/relay/mesh/handshake.h"
#include "workers/relay/mesh/mesh.h"
#include "workers/relay/mesh/mesh_keys.h"
#include "workers/relay/mesh/outbox.h"
#include "workers/relay/mesh/peer_clock.h"
#include "workers/relay/mesh/peer_monitor.h"

enum {
    PEER_GRACE_MS = 5000,
    PEER_URI_MAX = 255,
    PEER_NONCE_CHARS = 16, /* at the end of an identity that nobody else knows */
    PEER_IDENTITY_MAX = CLUSTER_ID_MAX + 1 + PEER_NONCE_CHARS
};

enum peer_state { PEER_UNANNOUNCED, PEER_CONNECTING, PEER_CONNECTED, PEER_UP, PEER_GONE };
/* In lower case. */
const char *peer_state_name(enum peer_state state);

enum peer_event {
    PEER_ANNOUNCED, /* discovery knows its address */
    PEER_WITHDRAWN, /* discovery knows it no more; or an unannounced one is evicted */
    PEER_LINKED,    /* our DEALER is connected */
    PEER_LOST,      /* it is not any more */
    PEER_INTRODUCED,
    PEER_MISPLACED
};

/* One line of each kind in that time. */
enum { COMPLAINT_INTERVAL_MS = 60000 };
struct complaint_limits {
    struct log_limit malformed, stranger, unroutable, misplaced;
};

struct peer;

/* What all peers of a mesh share. */
struct peer_context {
    struct ev_loop *loop;
    struct slice own_id;
    struct slice handshake; /* our JSON */
    int64_t frame_bytes_max;
    void *router; /* for peers that our DEALER does not reach; NULL: nothing leaves by it */
    const struct curve_pair *own; /* NULL: CURVE is off, and `keys` NULL too */
    const struct mesh_keys *keys;
    bool holding;        /* nothing leaves an outbox */
    struct buffer spare; /* memory for the next pack */
    struct mesh_counters *counters;

    /* `in`: the frames after the sender's, which is the peer. */
    void (*on_received)(void *mesh, struct peer *peer, struct multipart *in);
    /* After every change of state; and while up, when is_msgserver changed, or when a host of ours
     * connected to us anew. A peer that is GONE is to be freed later, not inside the call. */
    void (*on_change)(void *mesh, struct peer *peer, enum peer_state before);
    /* Accepted by peer_send() or peer_pack(), and now given up; freed after the call. */
    void (*on_undelivered)(void *mesh, const struct peer *peer, struct multipart *multipart);
    /* Something was packed: peer_flush() is due before the loop blocks. */
    void (*on_packed)(void *mesh);
    /* Takes more, after peer_send() said EAGAIN. */
    void (*on_writable)(void *mesh, struct peer *peer);
    void *mesh;
};

struct peer {
    UT_hash_handle hh; /* by id */
    struct peer *next_gone;
    struct peer_context *shared;
    char id[CLUSTER_ID_MAX + 1];
    char uri[PEER_URI_MAX + 1]; /* empty while unannounced */
    char key[CURVE_KEY_ROOM];   /* its public one, as announced; empty: it speaks no CURVE */
    const char *barred;         /* why we do not connect to it, NULL: we do */
    enum peer_state state;
    bool announced;
    bool listed;     /* in the view that mesh_set_peers() takes */
    bool introduced; /* by a handshake or an envelope: stays so over reconnects */
    bool misplaced;
    bool foreign;       /* of another game or version: it may send nothing */
    bool answered;      /* its handshake came by our connection, since that was made */
    bool awaits_answer; /* it said by its own connection that it is another kind than we thought */
    bool is_msgserver;
    bool reads_packs;    /* as its answer said, to the connection there is */
    bool refused;        /* the other side ended our handshake: libzmq may not try again */
    bool refused_sender; /* peer_send() said EAGAIN: on_writable is due */
    bool by_router;      /* how the outbox leaves */
    uint64_t heard_ms;
    ev_tstamp heard_round; /* of the loop */
    struct peer_clock clock;
    uint64_t state_since_ms;
    uint64_t lost_ms; /* when our connection to it ended last */
    char software[HANDSHAKE_SOFTWARE_MAX + 1];
    struct mesh_peer_counters counters;
    struct complaint_limits complaints;

    /* Of its own connection, as its last handshake had it; empty before. */
    char identity[PEER_IDENTITY_MAX + 1];

    zsock_t *dealer;
    bool dealer_is_private; /* see private_identity() */
    struct peer_monitor monitor;
    struct zmq_watcher watcher;
    struct outbox outbox;
    ev_timer handshake_due;
    ev_timer grace;
    ev_timer reopening; /* of the DEALER, under another identity */
    ev_timer router_retry;
    unsigned handshake_attempts;
    bool handshake_sent;
};

/* Counts for the peer and for the mesh. */
#define PEER_COUNT(peer, name) ((peer)->counters.name++, (peer)->shared->counters->name++)
#define PEER_COUNT_ENVELOPES(peer, name, multipart)                                                \
    ((peer)->counters.name += multipart_envelopes(multipart),                                      \
     (peer)->shared->counters->name += multipart_envelopes(multipart))

/* `id` is a valid cluster ID. Returns NULL with errno ENOMEM. */
struct peer *peer_new(struct peer_context *shared, struct slice id);
/* Closes its socket and drops its outbox without a word. Not inside its callbacks. */
void peer_free(struct peer *peer);

static inline struct slice peer_id(const struct peer *peer)
{
    return slice_of(peer->id, strlen(peer->id));
}

/* Discovery's view. A changed `uri` (at most PEER_URI_MAX bytes) or `key` (valid, or empty)
 * reconnects. Not inside the peer's callbacks. */
void peer_announce(struct peer *peer, struct slice uri, struct slice key);
void peer_withdraw(struct peer *peer);
/* Other keys are allowed now: cuts it off at once, or connects to it. Not inside its callbacks. */
void peer_keys_changed(struct peer *peer);
/* Another relay was announced at the address of this peer, which is not announced any more. */
void peer_replaced(struct peer *peer);

/* The cluster ID in the identity of a connection. */
struct slice peer_id_of_identity(struct slice identity);

/* Its handshake came by its own connection, which has `identity`. Anybody could have sent it: while
 * ours to its announced address stands, only what comes by that tells what it is. */
void peer_came(struct peer *peer, const struct handshake *handshake, struct slice identity);
/* Its handshake came by ours. */
void peer_answered(struct peer *peer, const struct handshake *handshake);
/* An envelope came from it. */
void peer_heard(struct peer *peer);
/* Our handshake was refused: whoever is at its address is not this peer. */
void peer_misplaced(struct peer *peer);

/* Takes `multipart` and returns 0: sent, or in the outbox behind what waits there. Or -1 with errno
 * EHOSTUNREACH or EAGAIN (outbox full), and `multipart` is still the caller's. By the DEALER when
 * up, else by the ROUTER if the peer's own DEALER is connected there. While all is held, whatever
 * is taken waits in the outbox. */
int peer_send(struct peer *peer, struct multipart *multipart);
/* Whether it takes envelopes by peer_pack(): it said that it reads packs, and all that waits for it
 * leaves by our connection. */
bool peer_takes_packs(const struct peer *peer);
/* Takes an envelope whose first hop is the peer and returns 0: it waits in the outbox until
 * peer_flush(), or until a pack is full. Or -1 with errno EAGAIN (outbox full) or ENOMEM. Calls
 * nothing but on_packed(). */
int peer_pack(struct peer *peer, const struct envelope *envelope);
/* Sends what waits, unless all is held. */
void peer_flush(struct peer *peer);
/* The same before peer_free(), by our connection alone, and without a word to anybody. */
void peer_send_last(struct peer *peer);

#endif
