/* All children: the relay worker and the client workers, the data channels between them, and who
 * accepts on which socket while a slot is empty. */
#ifndef MSGSERVER_MASTER_SUPERVISOR_H
#define MSGSERVER_MASTER_SUPERVISOR_H

#include <ev.h>

#include "codecs/settings.h"
#include "master/listeners.h"

struct supervisor;

struct supervisor_handlers {
    /* A relay is ready; the first, or a later one. */
    void (*on_relay)(void *context, struct slice cluster_id, uint16_t mmrp_port);
    /* All children are ready for the first time. */
    void (*on_serving)(void *context);
    /* A child did not get ready at start, and why. Once; call supervisor_stop(). Later deaths are
     * only logged, and the child is started again. */
    void (*on_start_failed)(void *context, const char *why);
    /* How many client workers are ready, and whether the relay is, changed after on_serving(). */
    void (*on_change)(void *context, size_t workers_ready, bool relay_ready);
    /* After supervisor_stop(), possibly during the call: no process is left. Do not free here. */
    void (*on_stopped)(void *context);
};

struct supervisor_plan {
    const struct settings *settings; /* with the derived rows; must outlive the supervisor */
    const char *libexec_directory;   /* where the workers' binaries are */
    size_t workers;
    /* Both have a slot per worker, and must outlive the supervisor. */
    const struct listeners *listeners[2];
};

/* Starts all children. NULL with errno: ENOMEM, or EMSGSIZE when the settings do not fit a frame.
 * No handler is called before the loop runs. */
struct supervisor *supervisor_start(struct ev_loop *loop, const struct supervisor_plan *plan,
                                    const struct supervisor_handlers *handlers, void *context);

/* The peers that discovery knows (PEERS frame's run); copied, and given to later relays too. */
void supervisor_set_peers(struct supervisor *supervisor, struct slice peers);

/* First the client workers: they tell their clients, whose last confirmations the relay takes; then
 * the relay. May be called again, without effect. */
void supervisor_stop(struct supervisor *supervisor);
/* No process may be left: after on_stopped(). NULL is accepted. */
void supervisor_free(struct supervisor *supervisor);

#endif
