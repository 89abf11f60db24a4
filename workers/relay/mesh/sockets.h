/* ZeroMQ sockets of the mesh, with every option that matters set. czmq owns them; its header stays
 * in sockets.c, as it brings syslog's LOG_* macros along. */
#ifndef MSGSERVER_RELAY_MESH_SOCKETS_H
#define MSGSERVER_RELAY_MESH_SOCKETS_H

#include <stdint.h>

#include "codecs/curve_key.h"

typedef struct _zsock_t zsock_t;

enum {
    MESH_HEARTBEAT_TTL_MS = 6000, /* a silent peer is given up after this time, on both sides */
    MESH_HIGH_WATER = 1000,       /* messages, each way; what is more waits in the outbox */
    MESH_PACKS_HIGH_WATER = 256,  /* messages to a host of ours, which may be packs of 16 KiB */
    /* Three for each peer. libzmq holds 12 bytes ready for each that there may be. */
    MESH_SOCKETS_MAX = 16384,
};

/* What the ROUTER's ZAP requests carry (RFC 27). */
#define SOCKETS_ZAP_DOMAIN "msgserver.mesh"

/* Our own keys of CURVE. */
struct curve_pair {
    char public_key[CURVE_KEY_ROOM];
    char secret_key[CURVE_KEY_ROOM];
};

/* Prepares czmq once per process: no signal handlers, one I/O thread, errors to stderr. */
void sockets_prepare(void);

/* These return NULL with errno. `frame_bytes_max`: a peer that sends a larger frame is cut off.
 * `own`: NULL without CURVE; with it, the ROUTER admits only whom the ZAP handler admits, and the
 * DEALER speaks only to the owner of `peer_key`. */
zsock_t *sockets_router(int64_t frame_bytes_max, const struct curve_pair *own);
zsock_t *sockets_dealer(struct slice identity, int64_t frame_bytes_max,
                        const struct curve_pair *own, const char *peer_key);
/* Before it connects: libzmq can get stuck when the mark of a connection is lowered. */
int sockets_set_send_high_water(zsock_t *sock, int messages);
/* Bound where libzmq looks for the ZAP handler of this process. */
zsock_t *sockets_zap(void);
/* The reading end of zmq_socket_monitor(3). */
zsock_t *sockets_monitor(const char *endpoint);

/* For zmq_*(). */
void *sockets_handle(zsock_t *sock);
/* What waits in the socket will not leave any more. */
void sockets_drop_unsent(zsock_t *sock);
/* Accepts a NULL in `*sock`, and leaves NULL there. */
void sockets_close(zsock_t **sock);

#endif
