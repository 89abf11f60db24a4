#include "workers/relay/mesh/zmq_watcher.h"

#include <errno.h>
#include <zmq.h>

static int ready_events(const struct zmq_watcher *watcher)
{
    int events = 0;
    size_t len = sizeof events;
    while (zmq_getsockopt(watcher->socket, ZMQ_EVENTS, &events, &len) != 0)
        if (errno != EINTR)
            return 0;
    return events & watcher->wanted;
}

static void before_blocking(struct ev_loop *loop, ev_prepare *prepare, int events)
{
    (void)events;
    struct zmq_watcher *watcher = prepare->data;
    if (ready_events(watcher))
        ev_idle_start(loop, &watcher->idle);
    else
        ev_io_start(loop, &watcher->io);
}

static void after_waking(struct ev_loop *loop, ev_check *check, int events)
{
    (void)events;
    struct zmq_watcher *watcher = check->data;
    ev_io_stop(loop, &watcher->io);
    ev_idle_stop(loop, &watcher->idle);
    int ready = ready_events(watcher);
    if (ready)
        watcher->on_ready(watcher->context, ready);
}

static void wake_only(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    (void)io;
    (void)events;
}

static void keep_awake(struct ev_loop *loop, ev_idle *idle, int events)
{
    (void)loop;
    (void)idle;
    (void)events;
}

int zmq_watcher_start(struct zmq_watcher *watcher, struct ev_loop *loop, void *socket,
                      void (*on_ready)(void *context, int events), void *context)
{
    int fd = -1;
    size_t len = sizeof fd;
    if (zmq_getsockopt(socket, ZMQ_FD, &fd, &len) != 0)
        return -1;
    watcher->loop = loop;
    watcher->socket = socket;
    watcher->wanted = ZMQ_POLLIN;
    watcher->on_ready = on_ready;
    watcher->context = context;
    ev_prepare_init(&watcher->prepare, before_blocking);
    ev_check_init(&watcher->check, after_waking);
    ev_idle_init(&watcher->idle, keep_awake);
    ev_io_init(&watcher->io, wake_only, fd, EV_READ);
    watcher->prepare.data = watcher->check.data = watcher;
    /* Last of all prepare watchers: another one may send on this socket and so swallow the edge. */
    ev_set_priority(&watcher->prepare, EV_MINPRI);
    ev_prepare_start(loop, &watcher->prepare);
    ev_check_start(loop, &watcher->check);
    return 0;
}

void zmq_watcher_want(struct zmq_watcher *watcher, int events)
{
    watcher->wanted = events;
}

void zmq_watcher_stop(struct zmq_watcher *watcher)
{
    if (!watcher->loop)
        return;
    ev_prepare_stop(watcher->loop, &watcher->prepare);
    ev_check_stop(watcher->loop, &watcher->check);
    ev_idle_stop(watcher->loop, &watcher->idle);
    ev_io_stop(watcher->loop, &watcher->io);
    watcher->loop = NULL;
}
