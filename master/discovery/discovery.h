/* Discovery: tells other hosts where our relay is, and our relay where the others are. One
 * interface, engines behind it (engine.h). It only advises: the last view is kept while the
 * engine's service is away, and the mesh judges by its own heartbeats who lives.
 *
 * Order: the relay's READY gives the cluster ID; discovery_start(), discovery_announce(); then
 * on_peers() whenever the peers change. A relay that comes back with the same cluster ID changes
 * nothing here: give it discovery_peers(). With another ID: discovery_stop() and start anew. At the
 * end: discovery_withdraw(), wait for its answer, discovery_stop(). */
#ifndef MSGSERVER_MASTER_DISCOVERY_DISCOVERY_H
#define MSGSERVER_MASTER_DISCOVERY_DISCOVERY_H

#include <ev.h>

#include "base/slice.h"
#include "codecs/settings.h"

/* on_withdrawn() comes at the latest after this time. */
enum { DISCOVERY_WITHDRAW_LIMIT_MS = 300 };

struct discovery;

struct discovery_handlers {
    /* The peers changed. `peers`: all of them, ourselves left out, as the PEERS frame's run of
     * (cluster ID slice, URI slice, key slice); it fits a PEERS frame; valid during the call. Comes
     * from the loop, never inside a call of the functions below; a first view that is empty is no
     * change. */
    void (*on_peers)(void *context, struct slice peers);
    /* discovery_withdraw() is done: no other host is led to us any more, or the time was up. Once;
     * from the loop. The handler may call discovery_stop(). */
    void (*on_withdrawn)(void *context);
};

/* Starts looking for peers, with the engine that the settings name. `cluster_id`: "host:port" as in
 * the relay's READY; it is copied. `settings` and `handlers` stay valid until discovery_stop().
 * Never fails for what is outside (service absent, name unknown): it keeps trying and says so in
 * the log. NULL with errno ENOMEM, or EINVAL when `cluster_id` has no port. */
struct discovery *discovery_start(struct ev_loop *loop, const struct settings *settings,
                                  struct slice cluster_id,
                                  const struct discovery_handlers *handlers, void *context);

/* Announces us, and keeps us announced whatever happens to the service. May be called again. */
void discovery_announce(struct discovery *discovery);

/* Takes our announcement back; see on_withdrawn(). Call once, before discovery_stop(). */
void discovery_withdraw(struct discovery *discovery);

/* The last view, as on_peers() gave it; empty before the first. Valid until the loop runs. */
struct slice discovery_peers(const struct discovery *discovery);

/* Ends the session with the service and frees; NULL is accepted. Does not block: a service that
 * takes no bytes is left to its time-out. Nothing is called after it. */
void discovery_stop(struct discovery *discovery);

#endif
