/* ZeroMQ sockets of the mesh, with every option that matters set. czmq owns them; its header stays
 * in sockets.c, as it brings syslog's LOG_* macros along. */
#ifndef MSGSERVER_RELAY_MESH_SOCKETS_H
#define MSGSERVER_RELAY_MESH_SOCKETS_H

#include <stdint.h>

#include "base/slice.h"

typedef struct _zsock_t zsock_t;

enum {
    MESH_HEARTBEAT_TTL_MS = 6000, /* a silent peer is given up after this time, on both sides */
    MESH_HIGH_WATER = 1000,       /* messages, each way; what is more waits in the outbox */
    /* Three for each peer. libzmq holds 12 bytes ready for each that there may be. */
    MESH_SOCKETS_MAX = 16384,
};

/* Prepares czmq once per process: no signal handlers, one I/O thread, errors to stderr. */
void sockets_prepare(void);

/* These return NULL with errno. `frame_bytes_max`: a peer that sends a larger frame is cut off. */
zsock_t *sockets_router(int64_t frame_bytes_max);
zsock_t *sockets_dealer(struct slice identity, int64_t frame_bytes_max);
/* The reading end of zmq_socket_monitor(3). */
zsock_t *sockets_monitor(const char *endpoint);

/* For zmq_*(). */
void *sockets_handle(zsock_t *sock);
/* Accepts a NULL in `*sock`, and leaves NULL there. */
void sockets_close(zsock_t **sock);

#endif
