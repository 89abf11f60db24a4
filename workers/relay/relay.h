/* The relay process's state, and how its parts are wired together. */
#ifndef MSGSERVER_RELAY_RELAY_H
#define MSGSERVER_RELAY_RELAY_H

#include <ev.h>

#include "base/log.h"
#include "io/memory_trim.h"
#include "workers/relay/attachment.h"
#include "workers/relay/mesh/mesh.h"
#include "workers/relay/remote_home.h"
#include "workers/relay/session_registry.h"

struct worker_link;
struct peer_outlet;

struct relay {
    unsigned magic;
    struct ev_loop *loop;
    const struct settings *settings;
    struct metrics metrics;
    struct host_budget budget;
    struct store *store;
    struct session_registry registry;
    struct attachments attachments;
    struct worker_link *links;
    struct peer_outlet *peers; /* by cluster ID; only those that have attachments here */
    struct remote_homes homes;
    struct mesh *mesh;
    struct buffer scratch; /* room for parts of an envelope while it is put together */
    ev_timer tick;
    struct memory_trim memory_trim;
    struct log_limit sessions_refused;
    ev_prepare round_end;
    bool recovered;   /* the store is ours to write */
    bool closing;     /* in good order: the last batch says so */
    uint64_t boot;    /* names the run of the operating system */
    bool uncommitted; /* the store's batch is not ended yet */
    uint64_t alive_due_ms;
    struct buffer totals;
};

/* `settings` outlives the relay; `mmrp_port` as in mesh_open(). NULL with `why` filled (a
 * sentence).
 */
struct relay *relay_new(struct ev_loop *loop, const struct settings *settings, uint16_t mmrp_port,
                        char *why, size_t why_room);
/* What was put into data channels and is still there is lost; the mesh lingers for a bounded time.
 * NULL is accepted. */
void relay_free(struct relay *relay);

/* The data channel of a client worker; takes the descriptor. A worker that was linked before is
 * linked anew. Returns 0, or -1 with errno ENOMEM and the descriptor still open. */
int relay_link_worker(struct relay *relay, uint32_t slot, uint32_t incarnation, int fd);

struct slice relay_cluster_id(const struct relay *relay);
/* Whether `home` (a cluster ID or empty) means this host. */
bool relay_is_home(const struct relay *relay, struct slice home);

/* Ends the store's batch, if there is one: before anything leaves that tells of it. Ends the
 * process when the store fails, so that nothing leaves that is not stored. */
void relay_commit(struct relay *relay);

/* Ends a session and its attachment, here or elsewhere; the client is told `reason`. */
void relay_end_session(struct relay *relay, struct session *session, enum session_end_cause cause,
                       enum end_reason reason);

#endif
