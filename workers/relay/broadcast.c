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

/* GCC takes a function that does nothing but this to have no effect, and drops calls of it: so it
 * is always inlined. */
#define FETCHING __attribute__((always_inline)) static inline

FETCHING void fetch(const void *object, size_t size)
{
    for (const char *line = object; line < (const char *)object + size; line += CACHE_LINE)
        __builtin_prefetch(line, 1);
}

/* Sessions and attachments lie all over the memory, and waiting for it would be most of the work:
 * so it is asked for some time before the walk comes there. */
FETCHING void fetch_ahead(const struct session_registry *registry, uint32_t at)
{
    uint32_t count = registry->sessions.count;
    if (at + FAR_AHEAD < count)
        fetch(session_at(registry, at + FAR_AHEAD), sizeof(struct session));
    if (at + NEAR_AHEAD >= count)
        return;
    const struct session *near = session_at(registry, at + NEAR_AHEAD);
    fetch(mailbox_slot(&near->mailbox, near->mailbox.entries), sizeof(struct mailbox_entry));
    if (near->attachment)
        fetch(near->attachment, sizeof(struct attachment));
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

/* Those in places from `first` on, before `end`. */
static uint64_t count_mailboxes(const struct session_registry *registry, uint32_t first,
                                uint32_t end)
{
    uint64_t mailboxes = 0;
    for (uint32_t i = first; i < end; i++)
        mailboxes += !session_is_adopted(session_at(registry, i));
    return mailboxes;
}

/* The same sessions. */
static void put_into_share(struct relay *relay, uint32_t first, uint32_t end, struct slice body,
                           struct broadcast_result *result)
{
    struct session_registry *registry = &relay->registry;
    struct broadcast broadcast;
    struct blob *blob = message_body_new(registry, body);
    if (!blob || broadcast_begin(registry, &broadcast, blob, end - first) != 0) {
        uint64_t mailboxes = count_mailboxes(registry, first, end);
        metric_add(&relay->metrics, blob ? METRIC_REFUSED_STORE_FULL : METRIC_REFUSED_HOST_FULL,
                   mailboxes);
        result->over_limit += mailboxes;
    } else {
        for (uint32_t i = first; i < end; i++) {
            fetch_ahead(registry, i);
            if (!session_is_adopted(session_at(registry, i)))
                put_into(relay, session_at(registry, i), body.len, result);
        }
        broadcast_end(registry);
    }
    if (blob)
        budget_release_body(&relay->budget, blob);
}

struct broadcast_result broadcast_here(struct relay *relay, struct slice body)
{
    struct broadcast_result result = {0};
    uint32_t count = relay->registry.sessions.count;
    metric_add(&relay->metrics, METRIC_BROADCASTS, 1);
    for (uint32_t first = 0, end; first < count; first = end) {
        end = count - first > SHARE_MAX ? first + SHARE_MAX : count;
        put_into_share(relay, first, end, body, &result);
    }
    put_shared_frames(relay, body);
    return result;
}
