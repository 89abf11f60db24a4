#include "workers/relay/delivery.h"

#include <errno.h>

#include "base/clock.h"
#include "workers/relay/peer_outlet.h"
#include "workers/relay/redelivery.h"
#include "workers/relay/relay.h"
#include "workers/relay/routing.h"
#include "workers/relay/session_messages.h"
#include "workers/relay/worker_link.h"

enum {
    /* One delivery at most, where no window says less: to a MAGE host. */
    PACK_BYTES_MAX = 1 << 20,
    PACK_MESSAGES_MAX = 1000,
    /* Clients confirm a pack's IDs one by one, each with its comma (or %2C), in one request head or
     * WebSocket message. One that does not fit is refused, the pack comes again, for ever. */
    CONFIRMED_ID_ROOM = 16,
    /* Also without server.msgStream.pollPace, what found no memory is tried again after this. */
    RETRY_MS = 50,
};

/* Messages that go out together. */
struct run {
    uint64_t first, last; /* empty: last < first */
    uint64_t bytes;       /* of the bodies */
};

static void on_pace(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)events;
    struct relay *relay = timer->data;
    uint64_t now = clock_monotonic_ms();
    struct attachment *attachment;
    while ((attachment = relay->attachments.paced) && attachment->due_ms <= now) {
        attachment->was_paced = true;
        attachment_set_state(relay, attachment, ATTACHMENT_IDLE);
        delivery_run(relay, attachment);
    }
    if (attachment) {
        ev_timer_stop(loop, timer);
        ev_timer_set(timer, (double)(attachment->due_ms - now) / 1000.0, 0.0);
        ev_timer_start(loop, timer);
    }
}

static uint64_t at_most(uint64_t number, uint64_t limit)
{
    return number < limit ? number : limit;
}

void delivery_start(struct relay *relay)
{
    const struct settings *settings = relay->settings;
    uint64_t pace_ms = settings->poll_pace;
    uint64_t confirmation =
        at_most(settings->limit_header_bytes, settings->limit_websocket_message_bytes);
    relay->attachments.pack_messages = at_most(confirmation / CONFIRMED_ID_ROOM, PACK_MESSAGES_MAX);
    relay->attachments.pace_ms = pace_ms > 0 ? pace_ms : RETRY_MS;
    redelivery_start(relay);
    ev_init(&relay->attachments.pace, on_pace);
    relay->attachments.pace.data = relay;
}

void delivery_stop(struct relay *relay)
{
    redelivery_stop(relay);
    ev_timer_stop(relay->loop, &relay->attachments.pace);
}

static uint64_t cost_of(const struct run *run)
{
    return messages_cost(run->last - run->first + 1, run->bytes);
}

/* For one more body behind the run. */
static bool has_room(const struct attachment *attachment, const struct run *run, size_t body_len)
{
    uint64_t run_cost = cost_of(run), more = messages_cost(1, body_len);
    uint64_t in_flight = attachment->in_flight + run_cost;
    uint64_t window = attachment->window > 0 ? attachment->window : PACK_BYTES_MAX;
    /* The client confirms, and gets the rest with its next poll. */
    if (attachment->style != STYLE_STREAM || attachment->window == 0)
        return run_cost == 0 || run_cost + more <= window;
    /* One message may always be on its way. To a peer's client a run may end beyond the window, so
     * that the peer, which counts the same bytes, knows when the window is used up. */
    if (attachment->outlet->kind == OUTLET_PEER)
        return in_flight < attachment->window;
    bool first = run_cost == 0 && attachment->in_flight <= credit_slack(attachment->window);
    return first || in_flight + more <= attachment->window;
}

static struct run choose_run(const struct relay *relay, const struct attachment *attachment,
                             uint64_t first)
{
    uint64_t messages_max = relay->attachments.pack_messages;
    const struct mailbox *mailbox = &attachment->session->mailbox;
    char notice[MAILBOX_NOTICE_ROOM];
    struct run run = {.first = first, .last = first - 1};
    while (run.last < mailbox->last_id && run.last - first + 1 < messages_max) {
        size_t len = mailbox_body(mailbox, run.last + 1, notice).len;
        if (!has_room(attachment, &run, len))
            break;
        run.last++;
        run.bytes += len;
    }
    return run;
}

/* A DELIVER frame, straight into the channel's buffer. */
static int put_run(struct buffer *out, uint64_t handle, const struct mailbox *mailbox,
                   const struct run *run)
{
    enum { MESSAGE_OVERHEAD = 8 + 4 };
    uint64_t len = (run->last - run->first + 1) * MESSAGE_OVERHEAD + run->bytes;
    size_t mark;
    char notice[MAILBOX_NOTICE_ROOM];
    bool failed = frame_begin(out, FRAME_DELIVER, &mark) != 0 || put_u64(out, handle) != 0 ||
                  put_u32(out, (uint32_t)len) != 0;
    for (uint64_t id = run->first; id <= run->last && !failed; id++)
        failed = put_message(out, id, mailbox_body(mailbox, id, notice)) != 0;
    return frame_end(out, mark, failed);
}

static int send_run(struct relay *relay, struct attachment *attachment, const struct run *run)
{
    struct mailbox *mailbox = &attachment->session->mailbox;
    if (attachment->outlet->kind == OUTLET_PEER) {
        if (routing_send_pack(relay, attachment, run->first, run->last) != 0)
            return -1;
    } else {
        struct worker_link *link = worker_link_of(attachment->outlet);
        if (put_run(data_channel_out(link->channel), attachment->handle, mailbox, run) != 0)
            return -1;
        data_channel_wrote(link->channel);
    }
    metric_add(&relay->metrics, METRIC_DELIVERED, run->last - run->first + 1);
    attachment->sent_up_to = run->last;
    attachment->in_flight += (uint32_t)cost_of(run);
    if (run->last > mailbox->sent_up_to)
        mailbox->sent_up_to = run->last;
    redelivery_note(relay, attachment);
    return 0;
}

static void send_failed(struct relay *relay, struct attachment *attachment, int error)
{
    if (error == EAGAIN && attachment->outlet->kind == OUTLET_PEER) {
        peer_outlet_of(attachment->outlet)->blocked = true;
        attachment_set_state(relay, attachment, ATTACHMENT_CONGESTED);
    } else if (error == EHOSTUNREACH) {
        attachment_close(relay, attachment); /* the peer announces its client when it is back */
    } else {
        attachment_set_state(relay, attachment, ATTACHMENT_PACED);
    }
}

static void run_stream(struct relay *relay, struct attachment *attachment, uint64_t first)
{
    const struct mailbox *mailbox = &attachment->session->mailbox;
    while (first <= mailbox->last_id) {
        if (outlet_is_congested(attachment->outlet)) {
            attachment_set_state(relay, attachment, ATTACHMENT_CONGESTED);
            return;
        }
        struct run run = choose_run(relay, attachment, first);
        if (run.last < run.first) {
            attachment_set_state(relay, attachment, ATTACHMENT_FULL);
            return;
        }
        if (send_run(relay, attachment, &run) != 0) {
            send_failed(relay, attachment, errno);
            return;
        }
        first = run.last + 1;
    }
    attachment_set_state(relay, attachment, ATTACHMENT_IDLE);
}

static void run_poll(struct relay *relay, struct attachment *attachment, uint64_t first)
{
    struct session *session = attachment->session;
    if (outlet_is_congested(attachment->outlet)) {
        attachment_set_state(relay, attachment, ATTACHMENT_CONGESTED);
        return;
    }
    struct run run = choose_run(relay, attachment, first);
    uint32_t count = (uint32_t)(run.last + 1 - run.first);
    bool repeated = count > 0 && session->polled_count == count && session->polled_last == run.last;
    if (repeated && !attachment->was_paced && relay->settings->poll_pace > 0) {
        attachment_set_state(relay, attachment, ATTACHMENT_PACED);
        return;
    }
    if (send_run(relay, attachment, &run) != 0) {
        send_failed(relay, attachment, errno);
        return;
    }
    session->polled_count = count;
    session->polled_last = run.last;
    attachment_close(relay, attachment);
}

void delivery_run(struct relay *relay, struct attachment *attachment)
{
    session_drop_due(&relay->registry, attachment->session);
    const struct mailbox *mailbox = &attachment->session->mailbox;
    uint64_t first = mailbox_first_waiting(mailbox);
    if (attachment->style == STYLE_STREAM) {
        if (first <= attachment->sent_up_to)
            first = attachment->sent_up_to + 1;
        run_stream(relay, attachment, first);
    } else if (first <= mailbox->last_id || attachment->style == STYLE_SHORT_POLL) {
        run_poll(relay, attachment, first);
    } else {
        attachment_set_state(relay, attachment, ATTACHMENT_IDLE);
    }
}

void delivery_attach(struct relay *relay, struct attachment *attachment, struct session *session,
                     uint64_t confirmed)
{
    struct attachment *other = session->attachment;
    if (other && attachment_is_older(attachment, other)) {
        attachment_refuse(relay, attachment, session);
        return;
    }
    if (other)
        attachment_end(relay, other, END_SUPERSEDED);
    attachment->session = session;
    session->attachment = attachment;
    session_hold(&relay->registry, session);
    if (!session_confirm(&relay->registry, session, confirmed))
        relay_end_session(relay, session, SESSION_BROKEN, END_HOST_GONE);
    else
        delivery_run(relay, attachment);
}

void delivery_credit(struct relay *relay, struct attachment *attachment, uint32_t bytes)
{
    attachment->in_flight -= bytes < attachment->in_flight ? bytes : attachment->in_flight;
    if (attachment->away)
        remote_home_credit(relay, attachment);
    else if (attachment->state == ATTACHMENT_FULL)
        delivery_run(relay, attachment);
}

void delivery_go_on(struct relay *relay, struct outlet *outlet)
{
    struct attachment *attachment;
    while ((attachment = outlet->congested) && !outlet_is_congested(outlet)) {
        /* A peer's outlet goes away with its last attachment. */
        bool may_go = outlet->kind == OUTLET_PEER && !outlet->attachments->next;
        attachment_set_state(relay, attachment, ATTACHMENT_IDLE);
        if (attachment->away)
            remote_home_go_on(relay, attachment);
        else
            delivery_run(relay, attachment);
        if (may_go)
            return;
    }
}

void delivery_confirm(struct relay *relay, struct session *session, uint64_t id)
{
    if (!session_confirm(&relay->registry, session, id))
        relay_end_session(relay, session, SESSION_BROKEN, END_HOST_GONE);
    else if (session->attachment)
        redelivery_note(relay, session->attachment);
}

uint64_t delivery_highest(struct slice ids)
{
    struct frame_reader reader = reader_of(ids);
    uint64_t highest = 0;
    while (reader_left(&reader) > 0) {
        uint64_t id = get_u64(&reader);
        if (id > highest)
            highest = id;
    }
    return highest;
}
