/* A ZeroMQ socket in a libev loop.
 *
 * ZMQ_FD is edge-triggered and any call on the socket may swallow the edge (zmq_getsockopt(3)), so
 * an ev_io alone misses messages. ZMQ_EVENTS is asked before the loop blocks (prepare) and after it
 * woke (check); while something is ready an idle watcher keeps the loop from blocking. on_ready()
 * runs once per loop round and handles a bounded batch, so that other watchers get their turn. */
#ifndef MSGSERVER_RELAY_MESH_ZMQ_WATCHER_H
#define MSGSERVER_RELAY_MESH_ZMQ_WATCHER_H

#include <ev.h>

struct zmq_watcher {
    struct ev_loop *loop;
    ev_prepare prepare;
    ev_check check;
    ev_idle idle;
    ev_io io;
    void *socket;
    int wanted; /* ZMQ_POLLIN | ZMQ_POLLOUT */
    void (*on_ready)(void *context, int events);
    void *context;
};

/* Watches `socket` (sockets_handle()) for ZMQ_POLLIN. on_ready() may stop the watcher and free its
 * memory. Returns 0, or -1 with errno. */
int zmq_watcher_start(struct zmq_watcher *watcher, struct ev_loop *loop, void *socket,
                      void (*on_ready)(void *context, int events), void *context);
void zmq_watcher_want(struct zmq_watcher *watcher, int events);
/* Before the socket is closed. A watcher of zeros or one already stopped is accepted. */
void zmq_watcher_stop(struct zmq_watcher *watcher);

#endif
