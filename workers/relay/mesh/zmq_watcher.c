#include "workers/relay/mesh/zmq_watcher.h"

#include <errno.h>
#include <zmq.h>

#include "base/invariant.h"

/* What all watchers share. It is set up by the first, and stopped with the last. */
static struct {
    struct ev_loop *loop;
    struct zmq_watcher *all;         /* uthash, by socket */
    struct zmq_watcher *in_question; /* utlist: to be asked; the loop does not block meanwhile */
    struct zmq_watcher *turn;        /* utlist: being asked in this round */
    ev_check check;
    ev_prepare prepare;
    ev_idle idle;
} shared;

static int ready_events(const struct zmq_watcher *watcher)
{
    int events = 0;
    size_t len = sizeof events;
    while (zmq_getsockopt(watcher->socket, ZMQ_EVENTS, &events, &len) != 0)
        if (errno != EINTR)
            return 0;
    return events & watcher->wanted;
}

/* --- in question ----------------------------------------------------------------------- */

static void put_in_question(struct zmq_watcher *watcher)
{
    if (watcher->queue)
        return;
    watcher->queue = &shared.in_question;
    DL_APPEND(shared.in_question, watcher);
    ev_idle_start(shared.loop, &shared.idle);
}

static void take_out_of_question(struct zmq_watcher *watcher)
{
    if (!watcher->queue)
        return;
    DL_DELETE(*watcher->queue, watcher);
    watcher->queue = NULL;
    if (!shared.in_question)
        ev_idle_stop(shared.loop, &shared.idle);
}

static void begin_turn(void)
{
    struct zmq_watcher *watcher;
    DL_FOREACH(shared.in_question, watcher)
        watcher->queue = &shared.turn;
    DL_CONCAT(shared.turn, shared.in_question);
    shared.in_question = NULL;
}

static void before_blocking(struct ev_loop *loop, ev_prepare *prepare, int events)
{
    (void)loop;
    (void)prepare;
    (void)events;
    struct zmq_watcher *watcher, *next;
    DL_FOREACH_SAFE(shared.in_question, watcher, next)
        if (!ready_events(watcher))
            take_out_of_question(watcher);
}

/* on_ready() uses its socket as a rule, but need not: what was ready stays in question. */
static void after_waking(struct ev_loop *loop, ev_check *check, int events)
{
    (void)loop;
    (void)check;
    (void)events;
    begin_turn();
    while (shared.turn) {
        struct zmq_watcher *watcher = shared.turn;
        take_out_of_question(watcher);
        int ready = ready_events(watcher);
        if (!ready)
            continue;
        put_in_question(watcher);
        watcher->on_ready(watcher->context, ready);
    }
}

static void on_fired(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    (void)events;
    put_in_question(io->data);
}

static void keep_awake(struct ev_loop *loop, ev_idle *idle, int events)
{
    (void)loop;
    (void)idle;
    (void)events;
}

void zmq_watcher_used(void *socket)
{
    struct zmq_watcher *watcher = NULL;
    if (shared.all)
        HASH_FIND_PTR(shared.all, &socket, watcher);
    if (watcher)
        put_in_question(watcher);
}

/* --- starting and stopping ----------------------------------------------------------- */

static void share(struct ev_loop *loop)
{
    shared.loop = loop;
    ev_prepare_init(&shared.prepare, before_blocking);
    ev_check_init(&shared.check, after_waking);
    ev_idle_init(&shared.idle, keep_awake);
    /* Descriptors first, then the sockets, before all else in the round: what came is handled
     * before time limits for it. The last before blocking, as others may send then. */
    ev_set_priority(&shared.check, EV_MAXPRI - 1);
    ev_set_priority(&shared.prepare, EV_MINPRI);
    ev_prepare_start(loop, &shared.prepare);
    ev_check_start(loop, &shared.check);
}

static void unshare(void)
{
    ev_prepare_stop(shared.loop, &shared.prepare);
    ev_check_stop(shared.loop, &shared.check);
    ev_idle_stop(shared.loop, &shared.idle);
    shared.loop = NULL;
}

int zmq_watcher_start(struct zmq_watcher *watcher, struct ev_loop *loop, void *socket,
                      void (*on_ready)(void *context, int events), void *context)
{
    int fd = -1;
    size_t len = sizeof fd;
    INVARIANT(!shared.loop || shared.loop == loop, "ZeroMQ sockets in two loops");
    if (zmq_getsockopt(socket, ZMQ_FD, &fd, &len) != 0)
        return -1;
    *watcher = (struct zmq_watcher){
        .socket = socket, .wanted = ZMQ_POLLIN, .on_ready = on_ready, .context = context};
    HASH_ADD_PTR(shared.all, socket, watcher);
    if (!watcher->hh.tbl) {
        errno = ENOMEM;
        return -1;
    }
    if (!shared.loop)
        share(loop);
    watcher->loop = loop;
    ev_io_init(&watcher->io, on_fired, fd, EV_READ);
    ev_set_priority(&watcher->io, EV_MAXPRI);
    watcher->io.data = watcher;
    ev_io_start(loop, &watcher->io);
    put_in_question(watcher); /* it may have been used before */
    return 0;
}

void zmq_watcher_want(struct zmq_watcher *watcher, int events)
{
    if (!watcher->loop || watcher->wanted == events)
        return;
    watcher->wanted = events;
    put_in_question(watcher);
}

void zmq_watcher_stop(struct zmq_watcher *watcher)
{
    if (!watcher->loop)
        return;
    take_out_of_question(watcher);
    ev_io_stop(watcher->loop, &watcher->io);
    HASH_DEL(shared.all, watcher);
    watcher->loop = NULL;
    if (!shared.all)
        unshare();
}
