/* Connections to the ROUTER that ended before they were one, counted: no ZMTP, no CURVE where it is
 * on, or a client that knows a wrong key of ours. libzmq tells of them without their address. */
#ifndef MSGSERVER_RELAY_MESH_FAILED_HANDSHAKES_H
#define MSGSERVER_RELAY_MESH_FAILED_HANDSHAKES_H

#include <stdint.h>

#include "base/log.h"
#include "workers/relay/mesh/multipart.h"
#include "workers/relay/mesh/sockets.h"
#include "workers/relay/mesh/zmq_watcher.h"

/* All-zero is one that was not started. */
struct failed_handshakes {
    zsock_t *events; /* inproc PAIR */
    void *watched;
    struct zmq_watcher watcher;
    struct multipart in;
    uint64_t *count;
    struct log_limit log;
};

/* Before `router` is bound. Returns 0, or -1 with errno. */
int failed_handshakes_start(struct failed_handshakes *failed, struct ev_loop *loop, zsock_t *router,
                            uint64_t *count);
/* Before the ROUTER is destroyed. */
void failed_handshakes_stop(struct failed_handshakes *failed);

#endif
