#include "workers/relay/mesh/router_monitor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    EVENTS_PER_ROUND = 16,
    LOG_INTERVAL_MS = 60000,
    FAILURES = ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL
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

static void report_failure(struct router_monitor *monitor, uint32_t event, uint32_t value)
{
    uint64_t suppressed;
    ++*monitor->failed;
    if (log_limit_pass(&monitor->log, LOG_INTERVAL_MS, &suppressed))
        LOG_WARNING("mesh-handshake-failed", "why=\"%s\" suppressed=%llu", reason(event, value),
                    (unsigned long long)suppressed);
}

/* First frame: event u16, value u32, both in host order (zmq_socket_monitor(3)). */
static void take(struct router_monitor *monitor)
{
    uint16_t event;
    uint32_t value;
    const struct multipart *in = &monitor->in;
    if (in->count == 0 || zmq_msg_size(&in->frames[0]) < sizeof event + sizeof value)
        return;
    const char *bytes = zmq_msg_data(&in->frames[0]);
    memcpy(&event, bytes, sizeof event);
    memcpy(&value, bytes + sizeof event, sizeof value);
    if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED)
        monitor->connected = true;
    else
        report_failure(monitor, event, value);
}

static void on_ready(void *context, int events)
{
    (void)events;
    struct router_monitor *monitor = context;
    for (int i = 0; i < EVENTS_PER_ROUND; i++) {
        if (multipart_receive(&monitor->in, sockets_handle(monitor->events)) != 1)
            return;
        take(monitor);
    }
}

bool router_monitor_take_connected(struct router_monitor *monitor)
{
    on_ready(monitor, 0);
    bool connected = monitor->connected;
    monitor->connected = false;
    return connected;
}

int router_monitor_start(struct router_monitor *monitor, struct ev_loop *loop, zsock_t *router,
                         uint64_t *failed)
{
    static uint64_t counter;
    char endpoint[64];
    snprintf(endpoint, sizeof endpoint, "inproc://router-monitor-%llu",
             (unsigned long long)++counter);
    monitor->failed = failed;
    if (zmq_socket_monitor(sockets_handle(router), endpoint,
                           ZMQ_EVENT_HANDSHAKE_SUCCEEDED | (failed ? FAILURES : 0)) != 0)
        return -1;
    monitor->watched = sockets_handle(router);
    monitor->events = sockets_monitor(endpoint);
    if (monitor->events &&
        zmq_watcher_start(&monitor->watcher, loop, sockets_handle(monitor->events), on_ready,
                          monitor) == 0)
        return 0;
    int saved_errno = errno;
    router_monitor_stop(monitor);
    errno = saved_errno;
    return -1;
}

void router_monitor_stop(struct router_monitor *monitor)
{
    if (!monitor->watched)
        return;
    zmq_watcher_stop(&monitor->watcher);
    zmq_socket_monitor(monitor->watched, NULL, 0);
    sockets_close(&monitor->events);
    multipart_clear(&monitor->in);
    free(monitor->in.frames);
    free(monitor->in.slices);
    monitor->watched = NULL;
}
