#include "workers/relay/mesh/sockets.h"

#include <czmq.h>

struct socket_option {
    int name;
    int value;
};

static const struct socket_option COMMON_OPTIONS[] = {
    {ZMQ_LINGER, 250}, /* ms: last words may leave, a dead peer does not hold up a stop */
    {ZMQ_SNDHWM, MESH_HIGH_WATER},
    {ZMQ_RCVHWM, MESH_HIGH_WATER},
    {ZMQ_SNDTIMEO, 0},
    {ZMQ_RCVTIMEO, 0},
    {ZMQ_HANDSHAKE_IVL, 10000}, /* a connection that does not speak ZMTP is closed */
    {ZMQ_TCP_KEEPALIVE, 1},
    /* All that ends the silent connection of a MAGE host to our ROUTER. */
    {ZMQ_TCP_KEEPALIVE_IDLE, 10},
    {ZMQ_TCP_KEEPALIVE_INTVL, 3},
    {ZMQ_TCP_KEEPALIVE_CNT, 3},
};

static const struct socket_option ROUTER_OPTIONS[] = {
    {ZMQ_ROUTER_MANDATORY, 1}, /* EHOSTUNREACH and EAGAIN instead of silent drops */
    /* A peer that reconnects before its old connection is known dead is heard at once. The price:
     * whoever reaches the port can take a peer's identity over here. What we send leaves by our own
     * DEALER to the announced address, so only the fallback path is open to that, which CURVE
     * closes; and what comes in can be forged with or without handover, unless CURVE is on. */
    {ZMQ_ROUTER_HANDOVER, 1},
    {ZMQ_BACKLOG, 128},
};

static const struct socket_option DEALER_OPTIONS[] = {
    /* libzmq answers PING by itself, MAGE's too; the TTL in ours makes a MAGE host drop our old
     * connection, which would otherwise keep a new one with our identity mute (MMRP fact). A ROUTER
     * has no heartbeats of its own: when one is due on a connection that broke after a handover,
     * libzmq 4.3 aborts. There, the TTL of our peers' PINGs ends what is silent. */
    {ZMQ_HEARTBEAT_IVL, 2000},
    {ZMQ_HEARTBEAT_TIMEOUT, MESH_HEARTBEAT_TTL_MS},
    {ZMQ_HEARTBEAT_TTL, MESH_HEARTBEAT_TTL_MS},
    /* Not ZMQ_IMMEDIATE: when a connection ends while a multipart of it is being read, libzmq 4.3
     * then aborts (socket_base_t::hiccuped). Nothing is sent here unless it is connected, and what
     * was not sent when it ends goes with the socket: see peer.c. */
    {ZMQ_RECONNECT_IVL, 100},
    {ZMQ_RECONNECT_IVL_MAX, 2000},
    {ZMQ_CONNECT_TIMEOUT, 5000},
};

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])

void sockets_prepare(void)
{
    static bool prepared;
    if (prepared)
        return;
    prepared = true;
    zsys_handler_set(NULL); /* czmq would take SIGINT and SIGTERM at the first zsock_new() */
    zsys_set_logstream(stderr);
    zsys_set_io_threads(1);
    zsys_set_max_sockets(MESH_SOCKETS_MAX);
}

static int set_options(void *socket, const struct socket_option *options, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (zmq_setsockopt(socket, options[i].name, &options[i].value, sizeof(int)) != 0)
            return -1;
    return 0;
}

static zsock_t *new_socket(int type, const struct socket_option *options, size_t count,
                           int64_t frame_bytes_max)
{
    zsock_t *sock = zsock_new(type);
    if (!sock)
        return NULL;
    void *socket = zsock_resolve(sock);
    if (set_options(socket, COMMON_OPTIONS, COUNT_OF(COMMON_OPTIONS)) != 0 ||
        set_options(socket, options, count) != 0 ||
        zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &frame_bytes_max, sizeof frame_bytes_max) != 0) {
        int saved_errno = errno;
        zsock_destroy(&sock);
        errno = saved_errno;
    }
    return sock;
}

/* Closes `sock` when an option was refused. */
static zsock_t *keep_if(bool complete, zsock_t *sock)
{
    if (complete)
        return sock;
    int saved_errno = errno;
    zsock_destroy(&sock);
    errno = saved_errno;
    return NULL;
}

static bool set_number(void *socket, int name, int value)
{
    return zmq_setsockopt(socket, name, &value, sizeof value) == 0;
}

static bool set_text(void *socket, int name, const char *text)
{
    return zmq_setsockopt(socket, name, text, strlen(text)) == 0;
}

/* A key as text is taken with its NUL (zmq_setsockopt(3)). */
static bool set_key(void *socket, int name, const char *key)
{
    return zmq_setsockopt(socket, name, key, CURVE_KEY_ROOM) == 0;
}

/* Without a handler, libzmq would let in whoever has a key: it is there before, and goes after. */
static bool set_curve_server(void *socket, const struct curve_pair *own)
{
    return set_number(socket, ZMQ_CURVE_SERVER, 1) &&
           set_key(socket, ZMQ_CURVE_SECRETKEY, own->secret_key) &&
           set_text(socket, ZMQ_ZAP_DOMAIN, SOCKETS_ZAP_DOMAIN);
}

static bool set_curve_client(void *socket, const struct curve_pair *own, const char *peer_key)
{
    return set_key(socket, ZMQ_CURVE_SERVERKEY, peer_key) &&
           set_key(socket, ZMQ_CURVE_PUBLICKEY, own->public_key) &&
           set_key(socket, ZMQ_CURVE_SECRETKEY, own->secret_key);
}

zsock_t *sockets_router(int64_t frame_bytes_max, const struct curve_pair *own)
{
    zsock_t *sock =
        new_socket(ZMQ_ROUTER, ROUTER_OPTIONS, COUNT_OF(ROUTER_OPTIONS), frame_bytes_max);
    return sock ? keep_if(!own || set_curve_server(zsock_resolve(sock), own), sock) : NULL;
}

zsock_t *sockets_dealer(struct slice identity, int64_t frame_bytes_max,
                        const struct curve_pair *own, const char *peer_key)
{
    zsock_t *sock =
        new_socket(ZMQ_DEALER, DEALER_OPTIONS, COUNT_OF(DEALER_OPTIONS), frame_bytes_max);
    if (!sock)
        return NULL;
    void *socket = zsock_resolve(sock);
    return keep_if(zmq_setsockopt(socket, ZMQ_ROUTING_ID, identity.data, identity.len) == 0 &&
                       (!own || set_curve_client(socket, own, peer_key)),
                   sock);
}

int sockets_set_send_high_water(zsock_t *sock, int messages)
{
    return set_number(zsock_resolve(sock), ZMQ_SNDHWM, messages) ? 0 : -1;
}

zsock_t *sockets_zap(void)
{
    zsock_t *sock = zsock_new(ZMQ_ROUTER);
    if (!sock)
        return NULL;
    void *socket = zsock_resolve(sock);
    return keep_if(
        set_number(socket, ZMQ_LINGER, 0) && zmq_bind(socket, "inproc://zeromq.zap.01") == 0, sock);
}

zsock_t *sockets_monitor(const char *endpoint)
{
    zsock_t *sock = zsock_new(ZMQ_PAIR);
    return sock ? keep_if(zsock_connect(sock, "%s", endpoint) == 0, sock) : NULL;
}

void *sockets_handle(zsock_t *sock)
{
    return zsock_resolve(sock);
}

void sockets_drop_unsent(zsock_t *sock)
{
    set_number(zsock_resolve(sock), ZMQ_LINGER, 0);
}

void sockets_close(zsock_t **sock)
{
    zsock_destroy(sock);
}
