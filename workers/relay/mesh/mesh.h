/* The mesh: MMRP over ZeroMQ with the relays of other hosts. Knows sockets, peers, handshakes and
 * routes; knows nothing of sessions and mailboxes.
 *
 * One ROUTER is bound on server.mmrp.bind; one DEALER per peer is connected to that peer's ROUTER,
 * with our cluster ID as its identity. What we send to a peer leaves by its DEALER while that is
 * connected, else by the ROUTER when the peer's DEALER reached it. Nothing blocks. */
#ifndef MSGSERVER_RELAY_MESH_MESH_H
#define MSGSERVER_RELAY_MESH_MESH_H

#include <ev.h>

#include "codecs/envelope.h"
#include "codecs/settings.h"

struct mesh;

struct mesh_handlers {
    /* An envelope for us: our identity is consumed, and what is left of the route is empty or one
     * entry that names an attachment of ours ("<cluster ID>:<handle>"). Valid during the call.
     * Handshakes are not passed on. Broadcasts were already forwarded as their route says.
     * `sender`: the peer that it came from, or ourselves when it is an envelope of ours that could
     * not be delivered. */
    void (*on_envelope)(void *context, struct slice sender, const struct envelope *envelope);
    /* A peer turned reachable (`up`), after its handshake; or unreachable. `is_msgserver`: it
     * answers msgserver.request; called again when that turns out later, and when a host of ours
     * that was up connected anew: what it had attached for us is over. What an unreachable peer
     * had not taken yet comes back first, as mmrp.sendError, where it had a return route. */
    void (*on_peer)(void *context, struct slice cluster_id, bool up, bool is_msgserver);
    /* A peer takes envelopes again after mesh_send() failed with EAGAIN; or it is unreachable now,
     * which the next mesh_send() tells. */
    void (*on_writable)(void *context, struct slice cluster_id);
};

/* Binds the ROUTER. `bound_port`: what an earlier relay of this host was bound to, or 0; it
 * overrides a configured "*". Without server.mmrp.bind.port there is a mesh of one: no sockets.
 * Returns NULL with `why` filled (a sentence with the address). */
struct mesh *mesh_open(struct ev_loop *loop, const struct settings *settings, uint16_t bound_port,
                       const struct mesh_handlers *handlers, void *context, char *why,
                       size_t why_room);
void mesh_close(struct mesh *mesh);

/* "host:port"; the port is 0 without a mesh. Valid as long as the mesh. */
struct slice mesh_cluster_id(const struct mesh *mesh);
uint16_t mesh_port(const struct mesh *mesh);

/* All peers that discovery knows, as the PEERS frame's run of (cluster ID, URI, key). Peers that
 * are not in it are let go when their connection ends too; ourselves is left out. One without a URI
 * is of another game or version: it is parted with at once. Not inside the handlers. Returns 0, or
 * -1 with errno EPROTO or ENOMEM. */
int mesh_set_peers(struct mesh *mesh, struct slice peers);

struct mesh_peer_state {
    bool known;        /* discovery announced it, or its handshake came */
    bool up;           /* connected, and its handshake came */
    bool is_msgserver; /* answers msgserver.request */
};
struct mesh_peer_state mesh_peer(const struct mesh *mesh, struct slice cluster_id);
/* What our clock_monotonic_us() was when that host's was `then_us`, `age_us` before it sent what
 * has just arrived: told by the envelope that took the least time, not by this one, which may have
 * waited in a queue or for a network. Of one that is unknown, this one tells. */
uint64_t mesh_peer_time(struct mesh *mesh, struct slice cluster_id, uint64_t then_us,
                        uint64_t age_us);

/* Queues one envelope for route[0]; our identity is put on the return route when it tracks. Returns
 * 0, or -1 with errno EHOSTUNREACH (no such peer, or not connected), EAGAIN (its queue is full:
 * on_writable() will follow) or ENOMEM. On failure nothing was sent. */
int mesh_send(struct mesh *mesh, const struct envelope *envelope);

/* Sends one broadcast body to every peer that is up ("*:c"). Returns how many took it; announced
 * peers that are not up, and those whose queue is full, are counted in `*failed`. */
uint32_t mesh_broadcast(struct mesh *mesh, struct slice body, uint32_t *failed);

/* From the first to the second, what mesh_send() and mesh_broadcast() take for peers that are up
 * waits; after the second, it leaves in the same round of the loop. A peer that is lost meanwhile
 * had not taken it: see on_peer(). Both call no handler. */
void mesh_hold(struct mesh *mesh);
void mesh_release(struct mesh *mesh);

/* An envelope of `sender` makes no sense here, and `why`: counted, and logged once per peer and
 * minute. */
void mesh_complain(struct mesh *mesh, struct slice sender, const struct envelope *envelope,
                   const char *why);

/* COUNTER (name, text): what is counted for each peer as well, since it became known. */
#define MESH_PEER_COUNTERS(COUNTER)                                                                \
    COUNTER(received, "envelopes that arrived for this host, its clients or other peers")          \
    COUNTER(sent, "envelopes handed to ZeroMQ")                                                    \
    COUNTER(retried, "envelopes that ZeroMQ did not take at once")                                 \
    COUNTER(outbox_full, "envelopes refused: the peer's queue was full")                           \
    COUNTER(lost, "queued envelopes given up: the peer became unreachable")                        \
    COUNTER(malformed, "multiparts dropped: not an MMRP envelope, or nothing it can mean here")    \
    COUNTER(strangers, "envelopes dropped: the sender is no peer, or no peer may send that")       \
    COUNTER(unroutable, "envelopes that could not be passed on")

/* COUNTER (name, text): totals since mesh_open(), and what is now. */
#define MESH_COUNTERS(COUNTER)                                                                     \
    MESH_PEER_COUNTERS(COUNTER)                                                                    \
    COUNTER(forwarded, "envelopes passed on to another peer")                                      \
    COUNTER(handshakes_sent, "handshakes sent")                                                    \
    COUNTER(handshakes_received, "handshakes accepted")                                            \
    COUNTER(denied, "connections refused: the key is not allowed (CURVE)")                         \
    COUNTER(failed_handshakes, "connections that ended before they were one (CURVE)")              \
    COUNTER(forged, "envelopes dropped: the key is not that of the sender (CURVE)")                \
    COUNTER(send_errors, "mmrp.sendError sent back")                                               \
    COUNTER(peers, "peers known")                                                                  \
    COUNTER(peers_up, "peers reachable")                                                           \
    COUNTER(outbox_bytes, "bytes in the queues of all peers")

#define MESH_COUNTER_MEMBER(name, text) uint64_t name;
struct mesh_peer_counters {
    MESH_PEER_COUNTERS(MESH_COUNTER_MEMBER)
};
struct mesh_counters {
    MESH_COUNTERS(MESH_COUNTER_MEMBER)
};
#undef MESH_COUNTER_MEMBER
struct mesh_counters mesh_counters(const struct mesh *mesh);

/* One peer, as an operator wants to see it. Slices are valid during the call. */
struct mesh_peer_report {
    struct slice id;
    struct slice uri;      /* empty while discovery has not announced it */
    struct slice software; /* what its handshake says that it runs; empty when it says nothing */
    const char *state;     /* "unannounced", "connecting", "connected" (no handshake yet) or "up" */
    bool is_msgserver;
    uint64_t state_ms; /* for how long it has been in this state */
    uint64_t heard_ms; /* how long ago an envelope of it arrived, or it became known */
    uint64_t rtt_us;   /* of our connection to it, smoothed by the kernel; 0: not known */
    uint64_t outbox_count;
    uint64_t outbox_bytes;
    struct mesh_peer_counters counters;
};

/* Calls `each` for every peer, in the order in which they became known. */
void mesh_each_peer(const struct mesh *mesh,
                    void (*each)(void *context, const struct mesh_peer_report *report),
                    void *context);

#endif
