#include "workers/relay/mesh/router_socket.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/units.h"
#include "workers/relay/mesh/router_monitor.h"
#include "workers/relay/mesh/zmq_watcher.h"

enum { RECEIVED_PER_ROUND = 128, RECEIVED_BYTES_PER_ROUND = 128 << 10 };

struct router_socket {
    zsock_t *sock;
    void *socket; /* its handle */
    struct zmq_watcher watcher;
    struct router_monitor monitor;
    ev_timer settled;
    double settle_again;   /* not before; by ev_now() */
    double restless_until; /* connections were made */
    struct ev_loop *loop;
    struct multipart in;
    size_t reads;    /* frames, since libzmq looked what became of its connections */
    size_t expected; /* frames of the next message at most, by those before */
    bool has_curve;
    router_received *on_received;
    void *context;
    uint16_t port;
};

/* What the ZAP handler said of the connection by which the message came: every frame has it but the
 * first, which the ROUTER made. */
static struct slice user_id_of(const struct router_socket *router)
{
    const struct multipart *in = &router->in;
    return slice_from_string(
        router->has_curve && in->count > 1 ? zmq_msg_gets(&in->frames[1], "User-Id") : NULL);
}

/* libzmq 4.3 confuses its connections when one ends while a multipart of another is being read
 * (fq_t::pipe_terminated): it aborts, or frames of two get into one message. Ends that come from
 * the other side are ones that were read up to; but when a new connection takes the identity of one
 * that is still there, the old one ends in the midst of all, some time after libzmq looked and
 * found the new one. It looks when ZMQ_EVENTS is asked, when there is nothing to be read, and with
 * every 100th frame: in the midst of a message, this alone. So, before the message in which that
 * frame may be, we look whether a connection was made, and then read nothing until the other must
 * be over; and for a while libzmq is made to look between messages too. (Any question to a socket
 * costs as much as reading half a message.) */
static const double SETTLE_S = 0.002, SETTLE_INTERVAL_S = 0.02;
enum { READS_PER_LOOK = 100, READS_UNKNOWN = READS_PER_LOOK };

static bool may_look_within(const struct router_socket *router)
{
    return router->reads + router->expected >= READS_PER_LOOK;
}

/* `rc`: of multipart_receive(). */
static void count_reads(struct router_socket *router, int rc)
{
    size_t count = router->in.count;
    if (rc == 0)
        router->reads = 0;
    else if (rc < 0 || router->in.overlong || router->reads == READS_UNKNOWN)
        router->reads = READS_UNKNOWN; /* until there is nothing to be read */
    else
        router->reads = (router->reads + count) % READS_PER_LOOK;
    if (rc > 0)
        router->expected = count >= router->expected ? count : router->expected - 1;
}

static void let_ended_connections_go(const struct router_socket *router)
{
    int events;
    size_t len = sizeof events;
    zmq_getsockopt(router->socket, ZMQ_EVENTS, &events, &len);
}

/* Not more often than by intervals: connecting must not be a way to stop the reading. */
static bool must_settle(struct router_socket *router)
{
    ev_tstamp now = ev_now(router->loop);
    bool connected = router_monitor_take_connected(&router->monitor);
    if (connected)
        router->restless_until = now + SETTLE_INTERVAL_S;
    if (now < router->restless_until)
        let_ended_connections_go(router);
    if (!connected || now < router->settle_again)
        return false;
    router->settle_again = now + SETTLE_INTERVAL_S;
    zmq_watcher_want(&router->watcher, 0);
    ev_timer_set(&router->settled, SETTLE_S, 0.);
    ev_timer_start(router->loop, &router->settled);
    return true;
}

static void on_settled(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct router_socket *router = timer->data;
    let_ended_connections_go(router);
    zmq_watcher_want(&router->watcher, ZMQ_POLLIN);
}

static void on_ready(void *context, int events)
{
    (void)events;
    struct router_socket *router = context;
    size_t bytes = 0;
    for (int i = 0; i < RECEIVED_PER_ROUND && bytes < RECEIVED_BYTES_PER_ROUND; i++) {
        if ((i == 0 || may_look_within(router)) && must_settle(router))
            break;
        int rc = multipart_receive(&router->in, router->socket);
        int error = errno;
        count_reads(router, rc);
        if (rc == 0)
            break;
        if (rc < 0)
            LOG_ERROR("mesh-read-failed", "why=\"%s\"", zmq_strerror(error));
        else
            router->on_received(router->context, &router->in, user_id_of(router));
        bytes += router->in.bytes;
    }
    multipart_clear(&router->in);
}

/* The port that "*" became. Returns 0, or -1 with errno. */
static int read_port(struct router_socket *router)
{
    char endpoint[512];
    size_t len = sizeof endpoint;
    if (zmq_getsockopt(sockets_handle(router->sock), ZMQ_LAST_ENDPOINT, endpoint, &len) != 0)
        return -1;
    const char *colon = strrchr(endpoint, ':');
    uint64_t port = 0;
    if (!colon || parse_u64(slice_from_string(colon + 1), &port) != 0 || port > UINT16_MAX) {
        errno = EPROTO;
        return -1;
    }
    router->port = (uint16_t)port;
    return 0;
}

struct router_socket *router_socket_open(struct ev_loop *loop, const struct router_options *options,
                                         router_received *on_received, void *context, char *why,
                                         size_t why_room)
{
    char endpoint[512];
    snprintf(endpoint, sizeof endpoint, "tcp://%s:%s", options->host, options->port);
    struct router_socket *router = calloc(1, sizeof *router);
    if (router) {
        router->on_received = on_received;
        router->context = context;
        router->loop = loop;
        ev_timer_init(&router->settled, on_settled, SETTLE_S, 0.);
        router->settled.data = router;
        router->has_curve = options->own != NULL;
        router->sock = sockets_router(options->frame_bytes_max, options->own);
        router->socket = router->sock ? sockets_handle(router->sock) : NULL;
    }
    if (router && router->sock &&
        router_monitor_start(&router->monitor, loop, router->sock,
                             options->own ? options->failed_handshakes : NULL) == 0 &&
        zmq_bind(sockets_handle(router->sock), endpoint) == 0 && read_port(router) == 0 &&
        zmq_watcher_start(&router->watcher, loop, sockets_handle(router->sock), on_ready, router) ==
            0)
        return router;
    snprintf(why, why_room, "cannot listen for MMRP peers on %s: %s", endpoint,
             zmq_strerror(errno));
    router_socket_close(router);
    return NULL;
}

void router_socket_close(struct router_socket *router)
{
    if (!router)
        return;
    if (router->loop)
        ev_timer_stop(router->loop, &router->settled);
    zmq_watcher_stop(&router->watcher);
    router_monitor_stop(&router->monitor);
    multipart_clear(&router->in);
    free(router->in.frames);
    free(router->in.slices);
    sockets_close(&router->sock);
    free(router);
}

uint16_t router_socket_port(const struct router_socket *router)
{
    return router->port;
}

void *router_socket_handle(const struct router_socket *router)
{
    return sockets_handle(router->sock);
}
