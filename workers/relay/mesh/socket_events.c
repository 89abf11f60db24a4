#include "workers/relay/mesh/socket_events.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "workers/relay/mesh/multipart.h"

enum { EVENTS_PER_ROUND = 16 };

/* First frame: event u16, value u32, both in host order. */
static void report(struct socket_events *events, struct multipart *in)
{
    uint16_t event;
    uint32_t value;
    if (in->count == 0 || zmq_msg_size(&in->frames[0]) < sizeof event + sizeof value)
        return;
    const char *frame = zmq_msg_data(&in->frames[0]);
    memcpy(&event, frame, sizeof event);
    memcpy(&value, frame + sizeof event, sizeof value);
    events->on_event(events->context, event, value);
}

static void on_ready(void *context, int ready)
{
    (void)ready;
    struct socket_events *events = context;
    struct multipart *in = calloc(1, sizeof *in);
    for (int i = 0; in && i < EVENTS_PER_ROUND; i++) {
        if (multipart_receive(in, sockets_handle(events->events)) != 1)
            break;
        report(events, in);
    }
    multipart_free(in);
}

void socket_events_read(struct socket_events *events)
{
    int ready = 0;
    size_t len = sizeof ready;
    zmq_watcher_used(sockets_handle(events->events));
    if (zmq_getsockopt(sockets_handle(events->events), ZMQ_EVENTS, &ready, &len) == 0 &&
        (ready & ZMQ_POLLIN))
        on_ready(events, ready);
}

int socket_events_start(struct socket_events *events, struct ev_loop *loop, zsock_t *sock,
                        int wanted, void (*on_event)(void *context, uint16_t event, uint32_t value),
                        void *context)
{
    static uint64_t counter;
    char endpoint[64];
    snprintf(endpoint, sizeof endpoint, "inproc://socket-events-%llu",
             (unsigned long long)++counter);
    events->on_event = on_event;
    events->context = context;
    if (zmq_socket_monitor(sockets_handle(sock), endpoint, wanted) != 0)
        return -1;
    events->watched = sockets_handle(sock);
    events->events = sockets_monitor(endpoint);
    if (events->events && zmq_watcher_start(&events->watcher, loop, sockets_handle(events->events),
                                            on_ready, events) == 0)
        return 0;
    int saved_errno = errno;
    socket_events_stop(events);
    errno = saved_errno;
    return -1;
}

void socket_events_stop(struct socket_events *events)
{
    if (!events->watched)
        return;
    zmq_watcher_stop(&events->watcher);
    zmq_socket_monitor(events->watched, NULL, 0);
    sockets_close(&events->events);
    events->watched = NULL;
}
