#include "workers/relay/worker_link.h"

#include <stdlib.h>

#include "base/invariant.h"
#include "base/log.h"
#include "workers/relay/delivery.h"
#include "workers/relay/relay.h"
#include "workers/relay/requests.h"

enum { LINK_MAGIC = 0x6c696e6b };

static void on_attach(struct worker_link *link, struct slice payload)
{
    struct relay *relay = link->relay;
    struct frame_attach attach;
    INVARIANT(get_attach(payload, &attach) == 0 && attach.style <= STYLE_SHORT_POLL &&
                  attach.handle >> 32 == link->incarnation && attach.confirmed.len % 8 == 0,
              "an ATTACH frame is broken");
    INVARIANT(!attachment_find(relay, attach.handle), "a handle was used twice");
    bool resumed = (attach.flags & ATTACH_RESUMED) != 0;
    const bool here = relay_is_home(relay, attach.home);
    struct session *session = session_find(&relay->registry, attach.address);
    if (here && !session) {
        worker_link_put_end(link, attach.handle, resumed ? END_HOST_GONE : END_NO_SESSION);
        return;
    }
    if (here && session_is_adopted(session))
        attach.home = session_home(session);
    const bool adopted =
        session && session_is_adopted(session) && slice_equal(attach.home, session_home(session));
    struct attachment *attachment =
        attachment_new(relay, &link->outlet, (enum attachment_style)attach.style, attach.handle);
    if (!attachment) {
        worker_link_put_end(link, attach.handle, END_FAILED);
        return;
    }
    attachment->since_us = attach.since;
    attachment->window = (uint32_t)relay->settings->limit_attachment_window;
    if (here && !adopted)
        delivery_attach(relay, attachment, session, delivery_highest(attach.confirmed));
    else
        remote_home_attach(relay, attachment, &attach, adopted);
}

static struct attachment *find_or_count(struct worker_link *link, uint64_t handle)
{
    struct attachment *attachment = attachment_find(link->relay, handle);
    if (attachment && attachment->outlet == &link->outlet)
        return attachment;
    metric_add(&link->relay->metrics, METRIC_STALE, 1);
    return NULL;
}

static void on_confirm(struct worker_link *link, struct slice payload)
{
    struct frame_confirm confirm;
    INVARIANT(get_confirm(payload, &confirm) == 0 && confirm.confirmed.len % 8 == 0,
              "a CONFIRM frame is broken");
    struct attachment *attachment = find_or_count(link, confirm.handle);
    if (!attachment)
        return;
    if (confirm.credit > 0)
        delivery_credit(link->relay, attachment, confirm.credit);
    if (attachment->session)
        delivery_confirm(link->relay, attachment->session, delivery_highest(confirm.confirmed));
    else
        remote_home_confirm(link->relay, attachment, confirm.confirmed);
}

static void on_detach(struct worker_link *link, struct slice payload)
{
    struct frame_detach detach;
    INVARIANT(get_detach(payload, &detach) == 0, "a DETACH frame is broken");
    struct attachment *attachment = find_or_count(link, detach.handle);
    if (!attachment)
        return;
    remote_home_disconnect(link->relay, attachment);
    attachment_close(link->relay, attachment);
}

static void on_credit(struct worker_link *link, struct slice payload)
{
    struct frame_credit credit;
    INVARIANT(get_credit(payload, &credit) == 0, "a CREDIT frame is broken");
    struct attachment *attachment = find_or_count(link, credit.handle);
    if (attachment)
        delivery_credit(link->relay, attachment, credit.bytes);
}

static void on_request(struct worker_link *link, struct slice payload)
{
    struct frame_request request;
    INVARIANT(get_request(payload, &request) == 0, "a REQUEST frame is broken");
    requests_handle(link->relay, link, &request);
}

static void (*const FRAME_HANDLERS[FRAME_DATA_TYPES])(struct worker_link *, struct slice) = {
    [FRAME_ATTACH] = on_attach, [FRAME_CONFIRM] = on_confirm, [FRAME_DETACH] = on_detach,
    [FRAME_CREDIT] = on_credit, [FRAME_REQUEST] = on_request,
};

static void on_frame(void *context, uint16_t type, struct slice payload)
{
    struct worker_link *link = context;
    CHECK_MAGIC(link, LINK_MAGIC);
    FRAME_HANDLERS[type](link, payload);
}

static void on_lost(void *context)
{
    struct worker_link *link = context;
    CHECK_MAGIC(link, LINK_MAGIC);
    LOG_NOTICE("worker-lost", "slot=%u incarnation=%u", link->slot, link->incarnation);
    worker_link_free(link);
}

static void on_drained(void *context)
{
    struct worker_link *link = context;
    CHECK_MAGIC(link, LINK_MAGIC);
    delivery_go_on(link->relay, &link->outlet);
}

static const struct data_channel_handlers HANDLERS = {
    .on_frame = on_frame,
    .on_lost = on_lost,
    .on_drained = on_drained,
};

struct worker_link *worker_link_new(struct relay *relay, uint32_t slot, uint32_t incarnation,
                                    int fd)
{
    struct worker_link *link = calloc(1, sizeof *link);
    if (!link)
        return NULL;
    link->magic = LINK_MAGIC;
    link->outlet.kind = OUTLET_WORKER;
    link->relay = relay;
    link->slot = slot;
    link->incarnation = incarnation;
    link->channel = data_channel_open(relay->loop, fd, WORKER_TO_RELAY, &HANDLERS, link);
    if (!link->channel) {
        free(link);
        return NULL;
    }
    DL_APPEND(relay->links, link);
    metric_add(&relay->metrics, METRIC_WORKERS, 1);
    return link;
}

void worker_link_free(struct worker_link *link)
{
    struct relay *relay = link->relay;
    for (struct attachment *attachment = link->outlet.attachments, *next; attachment;
         attachment = next) {
        next = attachment->next;
        remote_home_disconnect(relay, attachment);
        attachment_close(relay, attachment);
    }
    DL_DELETE(relay->links, link);
    metric_sub(&relay->metrics, METRIC_WORKERS, 1);
    data_channel_close(link->channel);
    buffer_free(&link->recipients);
    link->magic = 0;
    free(link);
}

struct worker_link *worker_link_find(const struct relay *relay, uint32_t incarnation)
{
    struct worker_link *link = relay->links;
    while (link && link->incarnation != incarnation)
        link = link->next;
    return link;
}

/* An END or a REPLY that finds no memory is lost: the worker's time limits clean up after it. */
static void wrote(struct worker_link *link, int result)
{
    if (result == 0)
        data_channel_wrote(link->channel);
    else
        LOG_ERROR("frame-lost", "slot=%u why=\"no memory\"", link->slot);
}

void worker_link_put_end(struct worker_link *link, uint64_t handle, enum end_reason reason)
{
    struct frame_end end = {.handle = handle, .reason = (uint8_t)reason};
    wrote(link, put_end(data_channel_out(link->channel), &end));
}

void worker_link_put_reply(struct worker_link *link, uint64_t request, uint16_t operation,
                           struct slice payload)
{
    struct frame_reply reply = {.request = request, .operation = operation, .payload = payload};
    wrote(link, put_reply(data_channel_out(link->channel), &reply));
}
