#include "workers/relay/mesh/peer_monitor.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <zmq.h>

static const int WATCHED_EVENTS = ZMQ_EVENT_CONNECTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED |
                                  ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
                                  ZMQ_EVENT_HANDSHAKE_FAILED_AUTH;

static void on_event(void *context, uint16_t event, uint32_t value)
{
    struct peer_monitor *monitor = context;
    switch (event) {
    case ZMQ_EVENT_CONNECTED:
        monitor->descriptor = (int)value;
        break;
    case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
        monitor->on_link(monitor->context, PEER_LINK_UP);
        break;
    case ZMQ_EVENT_DISCONNECTED:
        monitor->descriptor = -1;
        monitor->on_link(monitor->context, PEER_LINK_LOST);
        break;
    case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
    case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
        monitor->on_link(monitor->context, PEER_LINK_REFUSED);
        break;
    default:
        break;
    }
}

int peer_monitor_start(struct peer_monitor *monitor, struct ev_loop *loop, zsock_t *dealer,
                       void (*on_link)(void *context, enum peer_link_event event), void *context)
{
    monitor->on_link = on_link;
    monitor->context = context;
    monitor->descriptor = -1;
    return socket_events_start(&monitor->events, loop, dealer, WATCHED_EVENTS, on_event, monitor);
}

void peer_monitor_stop(struct peer_monitor *monitor)
{
    socket_events_stop(&monitor->events);
    monitor->descriptor = -1;
}

static bool leads_to(int descriptor, const char *uri)
{
    struct sockaddr_in address = {0};
    socklen_t len = sizeof address;
    char host[INET_ADDRSTRLEN], found[sizeof "tcp://:65535" + INET_ADDRSTRLEN];
    if (getpeername(descriptor, (struct sockaddr *)&address, &len) != 0 ||
        address.sin_family != AF_INET || !inet_ntop(AF_INET, &address.sin_addr, host, sizeof host))
        return false;
    snprintf(found, sizeof found, "tcp://%s:%u", host, ntohs(address.sin_port));
    return strcmp(found, uri) == 0;
}

uint64_t peer_monitor_rtt_us(const struct peer_monitor *monitor, const char *uri)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof info;
    if (!monitor->events.watched || monitor->descriptor < 0 ||
        !leads_to(monitor->descriptor, uri) ||
        getsockopt(monitor->descriptor, IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
        return 0;
    return info.tcpi_rtt;
}
