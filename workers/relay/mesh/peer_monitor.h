/* What happens to a DEALER's connection, read in the loop without a thread of its own. */
#ifndef MSGSERVER_RELAY_MESH_PEER_MONITOR_H
#define MSGSERVER_RELAY_MESH_PEER_MONITOR_H

#include "workers/relay/mesh/socket_events.h"

enum peer_link_event {
    PEER_LINK_UP,     /* the ZMTP handshake succeeded: what is sent from now on leaves */
    PEER_LINK_LOST,   /* closed, reset, or silent for longer than the heartbeat allows */
    PEER_LINK_REFUSED /* the ZMTP handshake failed; libzmq may not try again */
};

struct peer_monitor {
    struct socket_events events;
    int descriptor; /* of the connection that was made last; ZeroMQ may have closed it since */
    void (*on_link)(void *context, enum peer_link_event event);
    void *context;
};

/* Before the DEALER connects. Returns 0, or -1 with errno. */
int peer_monitor_start(struct peer_monitor *monitor, struct ev_loop *loop, zsock_t *dealer,
                       void (*on_link)(void *context, enum peer_link_event event), void *context);
/* The connection's round-trip time in µs, smoothed by the kernel (TCP_INFO, tcp(7)); 0 when it is
 * not known. ZeroMQ owns the descriptor, and its number may be another's by now: `uri` ("tcp://"
 * and an IPv4 address) is where it must lead. */
uint64_t peer_monitor_rtt_us(const struct peer_monitor *monitor, const char *uri);
/* Before the DEALER is destroyed. One of zeros is accepted. Not inside on_link(). */
void peer_monitor_stop(struct peer_monitor *monitor);

#endif
