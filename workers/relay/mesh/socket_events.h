/* What happens to the connections of a ZeroMQ socket, read in the loop without a thread of its own
 * (zmq_socket_monitor(3)). */
#ifndef MSGSERVER_RELAY_MESH_SOCKET_EVENTS_H
#define MSGSERVER_RELAY_MESH_SOCKET_EVENTS_H

#include "workers/relay/mesh/sockets.h"
#include "workers/relay/mesh/zmq_watcher.h"

/* All-zero is one that was not started. */
struct socket_events {
    zsock_t *events; /* inproc PAIR */
    void *watched;
    struct zmq_watcher watcher;
    void (*on_event)(void *context, uint16_t event, uint32_t value);
    void *context;
};

/* Before `sock` is connected or bound. `wanted`: ZMQ_EVENT_*, joined. A socket has one of these.
 * Returns 0, or -1 with errno. */
int socket_events_start(struct socket_events *events, struct ev_loop *loop, zsock_t *sock,
                        int wanted, void (*on_event)(void *context, uint16_t event, uint32_t value),
                        void *context);
/* Before the socket is destroyed. Not inside on_event(). */
void socket_events_stop(struct socket_events *events);

/* Calls on_event() for those that wait at this moment, a bounded number. */
void socket_events_read(struct socket_events *events);

#endif
