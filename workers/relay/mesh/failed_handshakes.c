#include "workers/relay/mesh/failed_handshakes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    EVENTS_PER_ROUND = 16,
    LOG_INTERVAL_MS = 60000,
    WANTED = ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL
};

/* What an operator is most likely to have before him. */
static const char *reason(uint32_t event, uint32_t value)
{
    if (event == ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL)
        return "it was closed before it was one";
    if (value == ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH)
        return "CURVE is on at one side alone";
    if (value == ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC)
        return "it knows another public key of this host";
    return "it does not speak ZMTP";
}

/* First frame: event u16, value u32, both in host order (zmq_socket_monitor(3)). */
static void report(struct failed_handshakes *failed)
{
    uint16_t event;
    uint32_t value;
    uint64_t suppressed;
    if (failed->in.count == 0 || zmq_msg_size(&failed->in.frames[0]) < sizeof event + sizeof value)
        return;
    const char *bytes = zmq_msg_data(&failed->in.frames[0]);
    memcpy(&event, bytes, sizeof event);
    memcpy(&value, bytes + sizeof event, sizeof value);
    ++*failed->count;
    if (log_limit_pass(&failed->log, LOG_INTERVAL_MS, &suppressed))
        LOG_WARNING("mesh-handshake-failed", "why=\"%s\" suppressed=%llu", reason(event, value),
                    (unsigned long long)suppressed);
}

static void on_ready(void *context, int events)
{
    (void)events;
    struct failed_handshakes *failed = context;
    for (int i = 0; i < EVENTS_PER_ROUND; i++) {
        if (multipart_receive(&failed->in, sockets_handle(failed->events)) != 1)
            return;
        report(failed);
    }
}

int failed_handshakes_start(struct failed_handshakes *failed, struct ev_loop *loop, zsock_t *router,
                            uint64_t *count)
{
    static uint64_t counter;
    char endpoint[64];
    snprintf(endpoint, sizeof endpoint, "inproc://failed-handshakes-%llu",
             (unsigned long long)++counter);
    failed->count = count;
    if (zmq_socket_monitor(sockets_handle(router), endpoint, WANTED) != 0)
        return -1;
    failed->watched = sockets_handle(router);
    failed->events = sockets_monitor(endpoint);
    if (failed->events && zmq_watcher_start(&failed->watcher, loop, sockets_handle(failed->events),
                                            on_ready, failed) == 0)
        return 0;
    int saved_errno = errno;
    failed_handshakes_stop(failed);
    errno = saved_errno;
    return -1;
}

void failed_handshakes_stop(struct failed_handshakes *failed)
{
    if (!failed->watched)
        return;
    zmq_watcher_stop(&failed->watcher);
    zmq_socket_monitor(failed->watched, NULL, 0);
    sockets_close(&failed->events);
    multipart_clear(&failed->in);
    free(failed->in.frames);
    free(failed->in.slices);
    failed->watched = NULL;
}
