/* The bound ROUTER on which the DEALERs of all peers arrive. */
#ifndef MSGSERVER_RELAY_MESH_ROUTER_SOCKET_H
#define MSGSERVER_RELAY_MESH_ROUTER_SOCKET_H

#include <ev.h>
#include <stdint.h>

#include "workers/relay/mesh/multipart.h"
#include "workers/relay/mesh/sockets.h"

struct router_socket;

/* `in`: the sender's identity as the first frame, then what it sent. `user_id`: its public key,
 * which it proved to have; empty without CURVE. */
typedef void router_received(void *context, struct multipart *in, struct slice user_id);

struct router_options {
    const char *host, *port; /* of "tcp://HOST:PORT"; the port may be "*" */
    int64_t frame_bytes_max;
    const struct curve_pair *own; /* NULL without CURVE */
    uint64_t *failed_handshakes;  /* counted with CURVE */
};

/* Returns NULL with `why` filled. */
struct router_socket *router_socket_open(struct ev_loop *loop, const struct router_options *options,
                                         router_received *on_received, void *context, char *why,
                                         size_t why_room);
void router_socket_close(struct router_socket *router);

uint16_t router_socket_port(const struct router_socket *router);
/* For multipart_send(). */
void *router_socket_handle(const struct router_socket *router);

#endif
