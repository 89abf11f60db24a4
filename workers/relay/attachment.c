#include "workers/relay/attachment.h"

#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/invariant.h"
#include "workers/relay/peer_outlet.h"
#include "workers/relay/redelivery.h"
#include "workers/relay/relay.h"
#include "workers/relay/routing.h"
#include "workers/relay/worker_link.h"

static_assert(offsetof(struct attachment, handle) == 0, "an attachment begins with its handle");

enum { ATTACHMENT_MAGIC = 0x61746368 };

static const enum metric STYLE_METRICS[] = {
    [STYLE_STREAM] = METRIC_ATTACHED_STREAM,
    [STYLE_LONG_POLL] = METRIC_ATTACHED_LONG_POLL,
    [STYLE_SHORT_POLL] = METRIC_ATTACHED_SHORT_POLL,
};

struct attachment *attachment_new(struct relay *relay, struct outlet *outlet,
                                  enum attachment_style style, uint64_t handle)
{
    struct attachment *attachment = slab_allocate(&relay->attachments.slab);
    if (!attachment)
        return NULL;
    attachment->magic = ATTACHMENT_MAGIC;
    attachment->style = style;
    attachment->state = ATTACHMENT_IDLE;
    attachment->handle = handle;
    attachment->outlet = outlet;
    if (handle != 0 && handle_table_add(&relay->attachments.by_handle, &attachment->handle) != 0) {
        slab_release(&relay->attachments.slab, attachment);
        return NULL;
    }
    DL_APPEND(outlet->attachments, attachment);
    metric_add(&relay->metrics, STYLE_METRICS[style], 1);
    if (outlet->kind == OUTLET_PEER)
        metric_add(&relay->metrics, METRIC_ATTACHED_FROM_PEERS, 1);
    return attachment;
}

struct attachment *attachment_find(const struct relay *relay, uint64_t handle)
{
    return (struct attachment *)handle_table_find(&relay->attachments.by_handle, handle);
}

static struct attachment **waiting_list(struct relay *relay, struct attachment *attachment)
{
    switch ((enum attachment_state)attachment->state) {
    case ATTACHMENT_CONGESTED:
        return &attachment->outlet->congested;
    case ATTACHMENT_PACED:
        return &relay->attachments.paced;
    default:
        return NULL;
    }
}

/* The delay is the same for all, so that the list stays in order by appending. */
static void start_pacing(struct relay *relay, struct attachment *attachment)
{
    attachment->due_ms = clock_monotonic_ms() + relay->attachments.pace_ms;
    if (!ev_is_active(&relay->attachments.pace)) {
        ev_timer_set(&relay->attachments.pace, (double)relay->attachments.pace_ms / 1000.0, 0.0);
        ev_timer_start(relay->loop, &relay->attachments.pace);
    }
}

void attachment_set_state(struct relay *relay, struct attachment *attachment,
                          enum attachment_state state)
{
    CHECK_MAGIC(attachment, ATTACHMENT_MAGIC);
    INVARIANT(attachment->state != ATTACHMENT_OVER, "an attachment that is over cannot change");
    if (attachment->state == state)
        return;
    struct attachment **list = waiting_list(relay, attachment);
    if (list)
        DL_DELETE2(*list, attachment, wait_prev, wait_next);
    attachment->state = state;
    list = waiting_list(relay, attachment);
    if (list)
        DL_APPEND2(*list, attachment, wait_prev, wait_next);
    if (state == ATTACHMENT_PACED)
        start_pacing(relay, attachment);
}

static void leave_session(struct relay *relay, struct attachment *attachment)
{
    struct session *session = attachment->session;
    if (!session)
        return;
    INVARIANT(session->attachment == attachment, "a session and its attachment disagree");
    session->attachment = NULL;
    attachment->session = NULL;
    session_release(&relay->registry, session, clock_monotonic_ms());
}

void attachment_close(struct relay *relay, struct attachment *attachment)
{
    attachment_set_state(relay, attachment, ATTACHMENT_OVER);
    leave_session(relay, attachment);
    redelivery_forget(relay, attachment);
    remote_home_leave(relay, attachment);
    if (attachment->handle != 0)
        handle_table_remove(&relay->attachments.by_handle, &attachment->handle);
    struct outlet *outlet = attachment->outlet;
    DL_DELETE(outlet->attachments, attachment);
    metric_sub(&relay->metrics, STYLE_METRICS[attachment->style], 1);
    attachment->magic = 0;
    free(attachment->route);
    slab_release(&relay->attachments.slab, attachment);
    if (outlet->kind == OUTLET_PEER) {
        metric_sub(&relay->metrics, METRIC_ATTACHED_FROM_PEERS, 1);
        peer_outlet_left(relay, peer_outlet_of(outlet));
    }
}

static void tell_end(struct relay *relay, const struct attachment *attachment,
                     const struct session *session, enum end_reason reason)
{
    if (attachment->outlet->kind == OUTLET_WORKER)
        worker_link_put_end(worker_link_of(attachment->outlet), attachment->handle, reason);
    else
        routing_send_end(relay, attachment, session_address(session), reason);
    if (reason == END_SUPERSEDED)
        metric_add(&relay->metrics, METRIC_SUPERSEDED, 1);
}

void attachment_end(struct relay *relay, struct attachment *attachment, enum end_reason reason)
{
    tell_end(relay, attachment, attachment->session, reason);
    attachment_close(relay, attachment);
}

/* Clocks of different hosts are not compared, so that time on the way makes a peer's client seem to
 * be newer than it is; two of one peer are told apart exactly. */
bool attachment_is_older(const struct attachment *attachment, const struct attachment *other)
{
    if (attachment->route && other->route &&
        slice_equal(attachment->route->hops[0], other->route->hops[0]))
        return attachment->route->since_us < other->route->since_us;
    return attachment->since_us < other->since_us;
}

void attachment_refuse(struct relay *relay, struct attachment *attachment,
                       const struct session *session)
{
    tell_end(relay, attachment, session, END_SUPERSEDED);
    attachment_close(relay, attachment);
}

bool outlet_is_congested(const struct outlet *outlet)
{
    return outlet->kind == OUTLET_WORKER
               ? data_channel_congested(((const struct worker_link *)outlet)->channel)
               : ((const struct peer_outlet *)outlet)->blocked;
}

struct return_route *return_route_copy(const struct slice *hops, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += hops[i].len;
    struct return_route *route = malloc(sizeof *route + count * sizeof *hops + bytes);
    if (!route)
        return NULL;
    char *at = (char *)&route->hops[count];
    route->refreshed_ms = clock_monotonic_ms();
    route->len = count;
    for (size_t i = 0; i < count; i++) {
        if (hops[i].len > 0)
            memcpy(at, hops[i].data, hops[i].len);
        route->hops[i] = slice_of(at, hops[i].len);
        at += hops[i].len;
    }
    return route;
}

bool return_route_equal(const struct return_route *route, const struct slice *hops, size_t count)
{
    if (!route || route->len != count)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!slice_equal(route->hops[i], hops[i]))
            return false;
    return true;
}
