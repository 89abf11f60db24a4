/* ZeroMQ sockets in a libev loop.
 *
 * ZMQ_FD is edge-triggered and any call on the socket may swallow the edge (zmq_getsockopt(3)), so
 * an ev_io alone misses messages: ZMQ_EVENTS must be asked as well. A relay has two sockets per
 * peer, and asking each of them in every round of the loop would cost more than the traffic does.
 * So only those are asked that are in question: whose descriptor fired, that were used since they
 * were asked last, or that were ready then. A socket that said "not ready" and was left alone will
 * have its descriptor fire.
 *
 * They are asked after the loop woke, when on_ready() runs, and before it blocks, which it does not
 * while one is in question. on_ready() runs once per round of the loop and handles a bounded batch,
 * so that other watchers get their turn. */
#ifndef MSGSERVER_RELAY_MESH_ZMQ_WATCHER_H
#define MSGSERVER_RELAY_MESH_ZMQ_WATCHER_H

#include <ev.h>

#include "base/table.h"

struct zmq_watcher {
    struct zmq_watcher *prev, *next; /* in the queue that it is in, if it is in question */
    struct zmq_watcher **queue;
    UT_hash_handle hh; /* by socket */
    struct ev_loop *loop;
    ev_io io;
    void *socket;
    int wanted; /* ZMQ_POLLIN | ZMQ_POLLOUT */
    void (*on_ready)(void *context, int events);
    void *context;
};

/* Watches `socket` (sockets_handle()) for ZMQ_POLLIN. All watchers of a process are in one loop.
 * on_ready() may stop any watcher and free its memory. Returns 0, or -1 with errno. */
int zmq_watcher_start(struct zmq_watcher *watcher, struct ev_loop *loop, void *socket,
                      void (*on_ready)(void *context, int events), void *context);
void zmq_watcher_want(struct zmq_watcher *watcher, int events);
/* Before the socket is closed. A watcher of zeros or one already stopped is accepted. */
void zmq_watcher_stop(struct zmq_watcher *watcher);

/* Every zmq_*() call on a socket that may be watched is followed by this, or preceded by it in the
 * same callback; multipart_send() does it itself. on_ready() needs not do it for its own socket. */
void zmq_watcher_used(void *socket);

#endif
