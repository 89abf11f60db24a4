#include "workers/relay/redelivery.h"

#include "base/clock.h"
#include "workers/relay/delivery.h"
#include "workers/relay/relay.h"

static void arm(struct relay *relay, uint64_t now_ms)
{
    struct attachments *attachments = &relay->attachments;
    const struct attachment *first = attachments->unconfirmed;
    ev_timer_stop(relay->loop, &attachments->redelivery);
    if (!first)
        return;
    uint64_t left_ms = first->redeliver_ms > now_ms ? first->redeliver_ms - now_ms : 0;
    ev_timer_set(&attachments->redelivery, (double)left_ms / 1000.0, 0.0);
    ev_timer_start(relay->loop, &attachments->redelivery);
}

void redelivery_forget(struct relay *relay, struct attachment *attachment)
{
    if (attachment->redeliver_ms == 0)
        return;
    DL_DELETE2(relay->attachments.unconfirmed, attachment, redeliver_prev, redeliver_next);
    attachment->redeliver_ms = 0;
}

static bool has_unconfirmed(const struct attachment *attachment)
{
    if (attachment->away)
        return remote_home_has_unconfirmed(attachment);
    return mailbox_first_waiting(&attachment->session->mailbox) <= attachment->sent_up_to;
}

/* The period is the same for all, so that the list stays in order by appending. */
static void begin(struct relay *relay, struct attachment *attachment, uint64_t now_ms)
{
    redelivery_forget(relay, attachment);
    attachment->redeliver_ms = now_ms + relay->settings->redeliver_after;
    DL_APPEND2(relay->attachments.unconfirmed, attachment, redeliver_prev, redeliver_next);
}

void redelivery_note(struct relay *relay, struct attachment *attachment)
{
    /* A peer's client is its host's affair. */
    if (relay->settings->redeliver_after == 0 || attachment->style != STYLE_STREAM ||
        attachment->outlet->kind != OUTLET_WORKER)
        return;
    if (!has_unconfirmed(attachment)) {
        redelivery_forget(relay, attachment);
        return;
    }
    uint64_t now_ms = clock_monotonic_ms();
    begin(relay, attachment, now_ms);
    if (!ev_is_active(&relay->attachments.redelivery))
        arm(relay, now_ms);
}

static void redeliver(struct relay *relay, struct attachment *attachment)
{
    if (attachment->state != ATTACHMENT_IDLE ||
        attachment->in_flight > credit_slack(attachment->window))
        return;
    metric_add(&relay->metrics, METRIC_REDELIVERIES, 1);
    if (attachment->away) {
        remote_home_redeliver(relay, attachment);
    } else {
        attachment->sent_up_to = 0;
        delivery_run(relay, attachment);
    }
}

static void on_due(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct relay *relay = timer->data;
    uint64_t now_ms = clock_monotonic_ms();
    struct attachment *attachment;
    while ((attachment = relay->attachments.unconfirmed) && attachment->redeliver_ms <= now_ms) {
        if (!has_unconfirmed(attachment)) {
            redelivery_forget(relay, attachment);
            continue;
        }
        begin(relay, attachment, now_ms);
        redeliver(relay, attachment);
    }
    arm(relay, now_ms);
}

void redelivery_start(struct relay *relay)
{
    ev_init(&relay->attachments.redelivery, on_due);
    relay->attachments.redelivery.data = relay;
}

void redelivery_stop(struct relay *relay)
{
    ev_timer_stop(relay->loop, &relay->attachments.redelivery);
}
