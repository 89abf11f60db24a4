/* What happens to connections to the ROUTER: those that are made, and, with CURVE, those that ended
 * before they were one: no ZMTP, no CURVE, or a client that knows a wrong key of ours. libzmq tells
 * of those without their address. */
#ifndef MSGSERVER_RELAY_MESH_ROUTER_MONITOR_H
#define MSGSERVER_RELAY_MESH_ROUTER_MONITOR_H

#include <stdint.h>

#include "base/log.h"
#include "workers/relay/mesh/socket_events.h"

/* All-zero is one that was not started. */
struct router_monitor {
    struct socket_events events;
    uint64_t *failed; /* counts; NULL: they are not looked for */
    struct log_limit log;
    bool connected; /* since the last router_monitor_take_connected() */
};

/* Before `router` is bound. `failed`: may be NULL. Returns 0, or -1 with errno. */
int router_monitor_start(struct router_monitor *monitor, struct ev_loop *loop, zsock_t *router,
                         uint64_t *failed);
/* Before the ROUTER is destroyed. */
void router_monitor_stop(struct router_monitor *monitor);

/* Whether a connection was made since the last call, up to this moment. */
bool router_monitor_take_connected(struct router_monitor *monitor);

#endif
