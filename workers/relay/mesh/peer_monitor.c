#include "workers/relay/mesh/peer_monitor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "workers/relay/mesh/multipart.h"

enum { EVENTS_PER_ROUND = 16 };

static const struct {
    uint16_t zmq_event;
    enum peer_link_event link;
} LINK_EVENTS[] = {
    {ZMQ_EVENT_HANDSHAKE_SUCCEEDED, PEER_LINK_UP},
    {ZMQ_EVENT_DISCONNECTED, PEER_LINK_LOST},
};
enum { LINK_EVENT_COUNT = sizeof LINK_EVENTS / sizeof *LINK_EVENTS };

/* First frame: event u16, value u32, both in host order (zmq_socket_monitor(3)). */
static void report(struct peer_monitor *monitor, struct multipart *in)
{
    uint16_t event = 0;
    if (in->count == 0 || zmq_msg_size(&in->frames[0]) < sizeof event)
        return;
    memcpy(&event, zmq_msg_data(&in->frames[0]), sizeof event);
    for (size_t i = 0; i < LINK_EVENT_COUNT; i++)
        if (LINK_EVENTS[i].zmq_event == event)
            monitor->on_link(monitor->context, LINK_EVENTS[i].link);
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
    int mask = 0;
    for (size_t i = 0; i < LINK_EVENT_COUNT; i++)
        mask |= LINK_EVENTS[i].zmq_event;
    monitor->watched = sockets_handle(dealer);
    monitor->on_link = on_link;
    monitor->context = context;
    if (zmq_socket_monitor(monitor->watched, endpoint, mask) != 0)
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
