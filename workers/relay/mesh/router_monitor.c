#include "workers/relay/mesh/router_monitor.h"

#include <zmq.h>

enum {
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

static void on_event(void *context, uint16_t event, uint32_t value)
{
    struct router_monitor *monitor = context;
    if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED)
        monitor->connected = true;
    else
        report_failure(monitor, event, value);
}

bool router_monitor_take_connected(struct router_monitor *monitor)
{
    socket_events_read(&monitor->events);
    bool connected = monitor->connected;
    monitor->connected = false;
    return connected;
}

int router_monitor_start(struct router_monitor *monitor, struct ev_loop *loop, zsock_t *router,
                         uint64_t *failed)
{
    monitor->failed = failed;
    return socket_events_start(&monitor->events, loop, router,
                               ZMQ_EVENT_HANDSHAKE_SUCCEEDED | (failed ? FAILURES : 0), on_event,
                               monitor);
}

void router_monitor_stop(struct router_monitor *monitor)
{
    socket_events_stop(&monitor->events);
}
