#include "workers/relay/broadcast.h"

#include "base/log.h"
#include "workers/relay/delivery.h"
#include "workers/relay/redelivery.h"
#include "workers/relay/relay.h"
#include "workers/relay/session_messages.h"
#include "workers/relay/worker_link.h"

/* The store keeps room for all recipients before it takes a body, and forgets them at once: neither
 * is to be much for it. More mailboxes get another copy. */
enum { SHARE_MAX = 100000 };

enum { CACHE_LINE = 64, NEAR_AHEAD = 6, FAR_AHEAD = 12 };

/* Whether the attachment may share a frame: a stream of a worker of ours that was sent everything
 * and has room for the body. */
static bool may_share(const struct attachment *attachment, size_t body_len)
{
    return attachment->outlet->kind == OUTLET_WORKER && attachment->style == STYLE_STREAM &&
           attachment->state == ATTACHMENT_IDLE && !outlet_is_congested(attachment->outlet) &&
           (attachment->in_flight <= credit_slack(attachment->window) ||
            attachment->in_flight + messages_cost(1, body_len) <= attachment->window);
}

static bool share(struct relay *relay, struct attachment *attachment, uint64_t id, size_t body_len)
{
    struct buffer *recipients = &worker_link_of(attachment->outlet)->recipients;
    size_t mark = buffer_len(recipients);
    if (put_u64(recipients, attachment->handle) != 0 || put_u64(recipients, id) != 0) {
        buffer_truncate(recipients, mark);
        return false;
    }
    attachment->sent_up_to = id;
    attachment->in_flight += (uint32_t)messages_cost(1, body_len);
    attachment->session->mailbox.sent_up_to = id;
    metric_add(&relay->metrics, METRIC_DELIVERED, 1);
    redelivery_note(relay, attachment);
    return true;
}

/* The frame found no memory: its recipients are served one by one, when they can be. */
static void unshare(struct relay *relay, struct slice recipients, size_t body_len)
{
    struct frame_reader reader = reader_of(recipients);
    while (reader_left(&reader) > 0) {
        struct attachment *attachment = attachment_find(relay, get_u64(&reader));
        uint64_t id = get_u64(&reader);
        attachment->sent_up_to = id - 1;
        attachment->in_flight -= (uint32_t)messages_cost(1, body_len);
        metric_sub(&relay->metrics, METRIC_DELIVERED, 1);
        attachment_set_state(relay, attachment, ATTACHMENT_PACED);
    }
    LOG_ERROR("broadcast-delayed", "why=\"no memory\"");
}

static void put_shared_frames(struct relay *relay, struct slice body)
{
    for (struct worker_link *link = relay->links; link; link = link->next) {
        struct frame_broadcast frame = {.body = body,
                                        .recipients = buffer_slice(&link->recipients)};
        if (frame.recipients.len == 0)
            continue;
        if (put_broadcast(data_channel_out(link->channel), &frame) == 0)
            data_channel_wrote(link->channel);
        else
            unshare(relay, frame.recipients, body.len);
        buffer_free(&link->recipients);
    }
}

/* Sessions and attachments lie all over the memory, and waiting for it would be most of the work:
 * so it is asked for some time before. */
struct scout {
    const struct session *near, *far; /* ahead of the walk */
};

static void fetch(const void *object, size_t size)
{
    for (const char *line = object; line < (const char *)object + size; line += CACHE_LINE)
        __builtin_prefetch(line, 1);
}

static void step(struct scout *scout)
{
    if (scout->near) {
        if (scout->near->attachment)
            fetch(scout->near->attachment, sizeof *scout->near->attachment);
        scout->near = scout->near->hh.next;
    }
    if (scout->far) {
        fetch(scout->far, sizeof *scout->far);
        scout->far = scout->far->hh.next;
    }
}

static struct scout send_scout(const struct session *session)
{
    struct scout scout = {.far = session};
    for (int i = 0; i < FAR_AHEAD; i++) {
        if (i == FAR_AHEAD - NEAR_AHEAD)
            scout.near = session;
        step(&scout);
    }
    return scout;
}

static void put_into(struct relay *relay, struct session *session, size_t body_len,
                     struct broadcast_result *result)
{
    struct attachment *attachment = session->attachment;
    bool shared = attachment && may_share(attachment, body_len);
    struct acceptance acceptance;
    if (broadcast_accept(&relay->registry, session, &acceptance) != OUTCOME_QUEUED) {
        result->over_limit++;
        return;
    }
    result->queued++;
    if (attachment && (!shared || !share(relay, attachment, acceptance.first_id, body_len)))
        delivery_run(relay, attachment);
}

/* Those from `session` on, up to SHARE_MAX. Returns the first one after them. */
static struct session *put_into_share(struct relay *relay, struct session *session,
                                      struct slice body, struct broadcast_result *result)
{
    struct session_registry *registry = &relay->registry;
    struct broadcast broadcast;
    uint64_t left = SHARE_MAX, mailboxes = 0;
    struct session *end = session;
    for (; end && left > 0; end = end->hh.next, left--)
        mailboxes += end->home == NULL;
    if (mailboxes == 0)
        return end;
    struct blob *blob = message_body_new(registry, body);
    if (!blob)
        metric_add(&relay->metrics, METRIC_REFUSED_HOST_FULL, mailboxes);
    if (!blob || broadcast_begin(registry, &broadcast, blob, mailboxes) != OUTCOME_QUEUED) {
        result->over_limit += mailboxes;
    } else {
        struct scout scout = send_scout(session);
        for (; session != end; session = session->hh.next) {
            step(&scout);
            if (!session->home)
                put_into(relay, session, body.len, result);
        }
        broadcast_end(registry);
    }
    if (blob)
        budget_release_body(&relay->budget, blob);
    return end;
}

struct broadcast_result broadcast_here(struct relay *relay, struct slice body)
{
    struct broadcast_result result = {0};
    struct session *session = relay->registry.sessions;
    metric_add(&relay->metrics, METRIC_BROADCASTS, 1);
    while (session)
        session = put_into_share(relay, session, body, &result);
    put_shared_frames(relay, body);
    return result;
}
