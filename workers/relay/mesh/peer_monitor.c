#include "workers/relay/mesh/peer_monitor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "workers/relay/mesh/multipart.h"

enum { EVENTS_PER_ROUND = 16 };

static const int WATCHED_EVENTS = ZMQ_EVENT_CONNECTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED |
                                  ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
                                  ZMQ_EVENT_HANDSHAKE_FAILED_AUTH;

/* First frame: event u16, value u32, both in host order (zmq_socket_monitor(3)). */
static void report(struct peer_monitor *monitor, struct multipart *in)
{
    uint16_t event;
    uint32_t value;
    if (in->count == 0 || zmq_msg_size(&in->frames[0]) < sizeof event + sizeof value)
        return;
    const char *frame = zmq_msg_data(&in->frames[0]);
    memcpy(&event, frame, sizeof event);
    memcpy(&value, frame + sizeof event, sizeof value);
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

static void read_events(void *context, int events)
{
    (void)events;
    struct peer_monitor *monitor = context;
    struct multipart *in = calloc(1, sizeof *in);
    for (int i = 0; in && i < EVENTS_PER_ROUND; i++) {
        if (multipart_receive(in, sockets_handle(monitor->events)) != 1)
            break;
        report(monitor, in);
    }
    multipart_free(in);
}

int peer_monitor_start(struct peer_monitor *monitor, struct ev_loop *loop, zsock_t *dealer,
                       void (*on_link)(void *context, enum peer_link_event event), void *context)
{
    static uint64_t counter;
    char endpoint[64];
    snprintf(endpoint, sizeof endpoint, "inproc://peer-monitor-%llu",
             (unsigned long long)++counter);
    monitor->watched = sockets_handle(dealer);
    monitor->on_link = on_link;
    monitor->context = context;
    monitor->descriptor = -1;
    if (zmq_socket_monitor(monitor->watched, endpoint, WATCHED_EVENTS) != 0)
        return -1;
    monitor->events = sockets_monitor(endpoint);
    if (monitor->events &&
        zmq_watcher_start(&monitor->watcher, loop, sockets_handle(monitor->events), read_events,
                          monitor) == 0)
        return 0;
    int saved_errno = errno;
    peer_monitor_stop(monitor);
    errno = saved_errno;
    return -1;
}

void peer_monitor_stop(struct peer_monitor *monitor)
{
    if (!monitor->watched)
        return;
    zmq_watcher_stop(&monitor->watcher);
    zmq_socket_monitor(monitor->watched, NULL, 0);
    sockets_close(&monitor->events);
    monitor->watched = NULL;
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
    if (!monitor->watched || monitor->descriptor < 0 || !leads_to(monitor->descriptor, uri) ||
        getsockopt(monitor->descriptor, IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
        return 0;
    return info.tcpi_rtt;
}
