/* What a discovery engine is: a table of functions. Engines know nodes and services; they know
 * nothing of sessions and mailboxes. */
#ifndef MSGSERVER_MASTER_DISCOVERY_ENGINE_H
#define MSGSERVER_MASTER_DISCOVERY_ENGINE_H

#include <ev.h>

#include "base/slice.h"
#include "codecs/settings.h"

struct engine_handlers {
    /* The view after a change, or the same again: the PEERS frame's run of (cluster ID, URI, key),
     * valid during the call. From the loop only, and not while the service is away. */
    void (*on_peers)(void *context, struct slice run);
    /* The answer to withdraw(); may come at once, inside it. */
    void (*on_withdrawn)(void *context);
};

struct discovery_engine {
    const char *name; /* as in server.serviceDiscovery.engine */
    /* `cluster_id` is ours. All arguments stay valid until stop(). NULL with errno ENOMEM. */
    void *(*start)(struct ev_loop *loop, const struct settings *settings, const char *cluster_id,
                   const struct engine_handlers *handlers, void *context);
    /* Keeps `announcement`, as JSON, published under our cluster ID. Called once; it is copied.
     * Returns 0, or -1 with errno ENOMEM. */
    int (*announce)(void *engine, struct slice announcement);
    void (*withdraw)(void *engine);
    /* Frees; calls nothing any more. */
    void (*stop)(void *engine);
};

extern const struct discovery_engine DISCOVERY_SINGLE;
extern const struct discovery_engine DISCOVERY_ZOOKEEPER;

#endif
