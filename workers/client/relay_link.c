#include "workers/client/relay_link.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/blob.h"
#include "base/clock.h"
#include "base/handle_table.h"
#include "base/invariant.h"
#include "base/log.h"
#include "base/table.h"
#include "io/data_channel.h"

enum { LINK_MAGIC = 0x6c696e6b, ATTACHMENT_MAGIC = 0x61747461, REQUEST_LIMIT_MS = 10000 };

struct attachment {
    uint64_t handle;
    unsigned magic;
    uint16_t address_len;
    uint8_t style;
    bool announced : 1; /* some relay was told: the next one must know the session, or it is gone */
    bool confirmation_owed : 1; /* the channel was congested when `confirmed` changed */
    uint64_t since_us;          /* when the client came: clock_monotonic_us() */
    uint64_t confirmed;         /* the highest ID that the client confirmed; covers all below it */
    uint32_t in_flight;         /* cost of what the present relay delivered and was not taken yet */
    uint32_t owed;              /* the credit for what was taken, below credit_slack() */
    struct relay_link *link;
    const struct attachment_events *events;
    void *owner;
    struct blob *home; /* shared with others of the same */
    char address[];
};

static_assert(offsetof(struct attachment, handle) == 0, "an attachment begins with its handle");

/* A request is in one of two lists: waiting (for its reply; ordered by time limit, because all
 * have the same) or failing (its done() is due in the next round). */
struct request {
    uint64_t id;
    uint64_t due_ms;
    request_done done;
    void *context;
    bool failing;
    struct request *prev, *next;
    UT_hash_handle hh;
};

struct relay_link {
    unsigned magic;
    struct ev_loop *loop;
    struct data_channel *channel; /* NULL while no relay is there */
    uint32_t incarnation;
    size_t window;
    uint32_t last_attachment;
    uint64_t last_request;
    struct handle_table attachments;
    struct blob *last_home; /* that any attachment came with; most have the same */
    struct request *requests;
    struct request *waiting;
    struct request *failing;
    ev_timer timer; /* for the head of either list */
    struct buffer scratch;
};

static void wrote(struct relay_link *link, int put)
{
    if (put == 0)
        data_channel_wrote(link->channel);
    else
        LOG_ERROR("relay-link-frame-lost", "why=\"no memory\"");
}

/* --- requests ------------------------------------------------------------------------------- */

static void arm_timer(struct relay_link *link)
{
    ev_timer_stop(link->loop, &link->timer);
    double delay = 0;
    if (!link->failing) {
        if (!link->waiting)
            return;
        uint64_t now = clock_monotonic_ms();
        if (link->waiting->due_ms > now)
            delay = (double)(link->waiting->due_ms - now) / 1000;
    }
    ev_timer_set(&link->timer, delay, 0.);
    ev_timer_start(link->loop, &link->timer);
}

/* The request was taken out of its list. */
static void finish_request(struct relay_link *link, struct request *request,
                           enum request_failure failure, uint16_t operation, struct slice payload)
{
    request_done done = request->done;
    void *context = request->context;
    HASH_DEL(link->requests, request);
    free(request);
    done(context, failure, operation, payload);
}

static void fail_later(struct relay_link *link, struct request *request)
{
    request->failing = true;
    DL_APPEND(link->failing, request);
}

/* Requests that done() makes meanwhile are not looked at: one that is tried again for ever must
 * not keep us here. */
static void on_timer(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    struct relay_link *link = watcher->data;
    CHECK_MAGIC(link, LINK_MAGIC);
    const uint64_t last = link->last_request;
    const uint64_t now = clock_monotonic_ms();
    struct request *request;
    while ((request = link->failing) && request->id <= last) {
        DL_DELETE(link->failing, request);
        finish_request(link, request, REQUEST_RELAY_DOWN, 0, SLICE_EMPTY);
    }
    while ((request = link->waiting) && request->id <= last && request->due_ms <= now) {
        DL_DELETE(link->waiting, request);
        finish_request(link, request, REQUEST_TIMED_OUT, 0, SLICE_EMPTY);
    }
    arm_timer(link);
}

static bool send_request(struct relay_link *link, const struct frame_request *frame)
{
    if (put_request(data_channel_out(link->channel), frame) != 0)
        return false;
    data_channel_wrote(link->channel);
    return true;
}

uint64_t relay_link_request(struct relay_link *link, struct slice home, uint16_t operation,
                            struct slice payload, request_done done, void *context)
{
    CHECK_MAGIC(link, LINK_MAGIC);
    struct request *request = calloc(1, sizeof *request);
    if (!request)
        return 0;
    request->id = ++link->last_request;
    request->due_ms = clock_monotonic_ms() + REQUEST_LIMIT_MS;
    request->done = done;
    request->context = context;
    HASH_ADD(hh, link->requests, id, sizeof request->id, request);
    if (!request->hh.tbl) {
        free(request);
        errno = ENOMEM;
        return 0;
    }
    struct frame_request frame = {request->id, home, operation, payload};
    if (!link->channel) {
        fail_later(link, request);
    } else if (send_request(link, &frame)) {
        DL_APPEND(link->waiting, request);
    } else {
        HASH_DEL(link->requests, request);
        free(request);
        errno = ENOMEM;
        return 0;
    }
    if (!ev_is_active(&link->timer) || request->failing)
        arm_timer(link);
    return request->id;
}

void relay_link_cancel(struct relay_link *link, uint64_t id)
{
    CHECK_MAGIC(link, LINK_MAGIC);
    struct request *request;
    HASH_FIND(hh, link->requests, &id, sizeof id, request);
    if (!request)
        return;
    if (request->failing)
        DL_DELETE(link->failing, request);
    else
        DL_DELETE(link->waiting, request);
    HASH_DEL(link->requests, request);
    free(request);
}

/* --- attachments ---------------------------------------------------------------------------- */

static struct attachment *find_attachment(struct relay_link *link, uint64_t handle)
{
    return (struct attachment *)handle_table_find(&link->attachments, handle);
}

static struct attachment *next_attachment(const struct relay_link *link, size_t *place)
{
    return (struct attachment *)handle_table_next(&link->attachments, place);
}

/* One that is in no table. */
static void destroy_attachment(struct attachment *attachment)
{
    blob_release(attachment->home);
    attachment->magic = 0;
    free(attachment);
}

static void free_attachment(struct attachment *attachment)
{
    handle_table_remove(&attachment->link->attachments, &attachment->handle);
    destroy_attachment(attachment);
}

/* The IDs as the frames want them, in the link's scratch memory. */
static int put_ids(struct relay_link *link, const uint64_t *ids, size_t count)
{
    buffer_clear(&link->scratch);
    for (size_t i = 0; i < count; i++)
        if (put_u64(&link->scratch, ids[i]) != 0)
            return -1;
    return 0;
}

static int announce(struct attachment *attachment, const uint64_t *confirmed, size_t count)
{
    struct relay_link *link = attachment->link;
    if (put_ids(link, confirmed, count) != 0)
        return -1;
    struct frame_attach frame = {.handle = attachment->handle,
                                 .since = attachment->since_us,
                                 .style = attachment->style,
                                 .flags = attachment->announced ? ATTACH_RESUMED : 0,
                                 .address = slice_of(attachment->address, attachment->address_len),
                                 .home = blob_slice(attachment->home),
                                 .confirmed = buffer_slice(&link->scratch)};
    if (put_attach(data_channel_out(link->channel), &frame) != 0)
        return -1;
    data_channel_wrote(link->channel);
    attachment->announced = true;
    attachment->confirmation_owed = false;
    attachment->in_flight = attachment->owed = 0;
    return 0;
}

static uint64_t highest(const uint64_t *ids, size_t count)
{
    uint64_t found = 0;
    for (size_t i = 0; i < count; i++)
        if (ids[i] > found)
            found = ids[i];
    return found;
}

static uint64_t next_handle(struct relay_link *link)
{
    uint64_t handle;
    do
        handle = (uint64_t)link->incarnation << 32 | ++link->last_attachment;
    while (link->last_attachment == 0 || find_attachment(link, handle));
    return handle;
}

/* A reference to the home's name, or NULL with errno ENOMEM. */
static struct blob *share_home(struct relay_link *link, struct slice home)
{
    if (!link->last_home || !slice_equal(blob_slice(link->last_home), home)) {
        struct blob *name = blob_new(home);
        if (!name)
            return NULL;
        if (link->last_home)
            blob_release(link->last_home);
        link->last_home = name;
    }
    return blob_retain(link->last_home);
}

struct attachment *attachment_new(struct relay_link *link, enum attachment_style style,
                                  struct slice address, struct slice home,
                                  const uint64_t *confirmed, size_t confirmed_count,
                                  const struct attachment_events *events, void *owner)
{
    CHECK_MAGIC(link, LINK_MAGIC);
    INVARIANT(address.len <= UINT16_MAX && home.len <= UINT16_MAX, "an address beyond its limit");
    struct attachment *attachment = calloc(1, sizeof *attachment + address.len);
    if (!attachment)
        return NULL;
    attachment->home = share_home(link, home);
    if (!attachment->home) {
        free(attachment);
        return NULL;
    }
    attachment->magic = ATTACHMENT_MAGIC;
    attachment->style = (uint8_t)style;
    attachment->address_len = (uint16_t)address.len;
    attachment->handle = next_handle(link);
    attachment->since_us = clock_monotonic_us();
    attachment->confirmed = highest(confirmed, confirmed_count);
    attachment->link = link;
    attachment->events = events;
    attachment->owner = owner;
    memcpy(attachment->address, address.data, address.len);
    if (handle_table_add(&link->attachments, &attachment->handle) != 0) {
        destroy_attachment(attachment);
        return NULL;
    }
    if (link->channel && announce(attachment, confirmed, confirmed_count) != 0) {
        free_attachment(attachment);
        return NULL;
    }
    return attachment;
}

void attachment_detach(struct attachment *attachment)
{
    CHECK_MAGIC(attachment, ATTACHMENT_MAGIC);
    struct relay_link *link = attachment->link;
    if (link->channel) {
        struct frame_detach frame = {attachment->handle};
        wrote(link, put_detach(data_channel_out(link->channel), &frame));
    }
    free_attachment(attachment);
}

static void send_confirmation(struct attachment *attachment, const uint64_t *ids, size_t count)
{
    struct relay_link *link = attachment->link;
    attachment->confirmation_owed = false;
    if (put_ids(link, ids, count) != 0) {
        wrote(link, -1);
        return;
    }
    struct frame_confirm frame = {attachment->handle, attachment->owed,
                                  buffer_slice(&link->scratch)};
    attachment->owed = 0;
    if (put_confirm(data_channel_out(link->channel), &frame) == 0)
        data_channel_wrote_for_later(link->channel);
    else
        wrote(link, -1);
}

void attachment_confirm(struct attachment *attachment, const uint64_t *ids, size_t count)
{
    CHECK_MAGIC(attachment, ATTACHMENT_MAGIC);
    struct relay_link *link = attachment->link;
    uint64_t confirmed = highest(ids, count);
    /* What an earlier confirmation covers is not sent again, so that a client cannot flood the
     * relay with repetitions. */
    if (confirmed <= attachment->confirmed)
        return;
    attachment->confirmed = confirmed;
    if (!link->channel)
        return; /* goes with the ATTACH to the next relay */
    if (data_channel_congested(link->channel))
        attachment->confirmation_owed = true; /* the last one, which covers those before it */
    else
        send_confirmation(attachment, ids, count);
}

void attachment_credit(struct attachment *attachment, size_t bytes)
{
    CHECK_MAGIC(attachment, ATTACHMENT_MAGIC);
    struct relay_link *link = attachment->link;
    /* What an earlier relay delivered is not this one's to get credit for. */
    if (bytes > attachment->in_flight)
        bytes = attachment->in_flight;
    if (bytes == 0 || !link->channel)
        return;
    attachment->in_flight -= (uint32_t)bytes;
    attachment->owed += (uint32_t)bytes;
    if (attachment->owed < credit_slack(link->window))
        return;
    struct frame_credit frame = {attachment->handle, attachment->owed};
    attachment->owed = 0;
    wrote(link, put_credit(data_channel_out(link->channel), &frame));
}

/* --- frames of the relay -------------------------------------------------------------------- */

static void deliver(struct attachment *attachment, struct slice messages, uint32_t count,
                    size_t body_bytes)
{
    void (*on_messages)(void *, struct slice, uint32_t, size_t) = attachment->events->on_messages;
    void *owner = attachment->owner;
    uint64_t cost = messages_cost(count, body_bytes);
    INVARIANT(cost <= UINT32_MAX - attachment->in_flight, "more in flight than any window allows");
    attachment->in_flight += (uint32_t)cost;
    if (attachment->style != STYLE_STREAM)
        free_attachment(attachment);
    on_messages(owner, messages, count, body_bytes);
}

static void handle_deliver(struct relay_link *link, struct slice payload)
{
    struct frame_deliver frame;
    INVARIANT(get_deliver(payload, &frame) == 0, "a broken DELIVER frame");
    struct frame_reader reader = reader_of(frame.messages);
    struct message message;
    uint32_t count = 0;
    size_t body_bytes = 0;
    while (get_message(&reader, &message)) {
        count++;
        body_bytes += message.body.len;
    }
    INVARIANT(reader_finish(&reader) == 0, "a broken run of messages");
    struct attachment *attachment = find_attachment(link, frame.handle);
    if (attachment)
        deliver(attachment, frame.messages, count, body_bytes);
}

/* One run is made, and each recipient's ID written over the one before. */
static void handle_broadcast(struct relay_link *link, struct slice payload)
{
    struct frame_broadcast frame;
    INVARIANT(get_broadcast(payload, &frame) == 0, "a broken BROADCAST frame");
    struct buffer run = {0};
    if (put_message(&run, 0, frame.body) != 0) {
        LOG_ERROR("broadcast-lost", "why=\"no memory\"");
        return;
    }
    struct frame_reader reader = reader_of(frame.recipients);
    while (reader_left(&reader) > 0) {
        uint64_t handle = get_u64(&reader);
        uint64_t id = get_u64(&reader);
        INVARIANT(!reader.broken, "a broken run of recipients");
        for (int i = 0; i < 8; i++)
            buffer_bytes(&run)[i] = (char)(id >> (8 * i));
        struct attachment *attachment = find_attachment(link, handle);
        if (attachment)
            deliver(attachment, buffer_slice(&run), 1, frame.body.len);
    }
    buffer_free(&run);
}

static void handle_end(struct relay_link *link, struct slice payload)
{
    struct frame_end frame;
    INVARIANT(get_end(payload, &frame) == 0 && frame.reason < END_REASONS, "a broken END frame");
    struct attachment *attachment = find_attachment(link, frame.handle);
    if (!attachment)
        return;
    void (*on_end)(void *, enum end_reason) = attachment->events->on_end;
    void *owner = attachment->owner;
    free_attachment(attachment);
    on_end(owner, (enum end_reason)frame.reason);
}

static void handle_reply(struct relay_link *link, struct slice payload)
{
    struct frame_reply frame;
    INVARIANT(get_reply(payload, &frame) == 0, "a broken REPLY frame");
    struct request *request;
    HASH_FIND(hh, link->requests, &frame.request, sizeof frame.request, request);
    if (!request || request->failing)
        return;
    DL_DELETE(link->waiting, request);
    finish_request(link, request, REQUEST_ANSWERED, frame.operation, frame.payload);
}

static void on_frame(void *context, uint16_t type, struct slice payload)
{
    struct relay_link *link = context;
    CHECK_MAGIC(link, LINK_MAGIC);
    static void (*const HANDLERS[FRAME_DATA_TYPES])(struct relay_link *, struct slice) = {
        [FRAME_DELIVER] = handle_deliver,
        [FRAME_BROADCAST] = handle_broadcast,
        [FRAME_END] = handle_end,
        [FRAME_REPLY] = handle_reply,
    };
    HANDLERS[type](link, payload);
}

/* --- the link itself ------------------------------------------------------------------------ */

static void drop_channel(struct relay_link *link)
{
    data_channel_close(link->channel);
    link->channel = NULL;
    while (link->waiting) {
        struct request *request = link->waiting;
        DL_DELETE(link->waiting, request);
        fail_later(link, request);
    }
    arm_timer(link);
}

static void on_drained(void *context)
{
    struct relay_link *link = context;
    CHECK_MAGIC(link, LINK_MAGIC);
    size_t place = 0;
    for (struct attachment *attachment; (attachment = next_attachment(link, &place));)
        if (attachment->confirmation_owed)
            send_confirmation(attachment, &attachment->confirmed, 1);
}

static void on_lost(void *context)
{
    struct relay_link *link = context;
    CHECK_MAGIC(link, LINK_MAGIC);
    LOG_WARNING("relay-lost", "attachments=%zu requests=%u", link->attachments.count,
                HASH_COUNT(link->requests));
    drop_channel(link);
}

struct relay_link *relay_link_new(struct ev_loop *loop, uint32_t incarnation, size_t window)
{
    struct relay_link *link = calloc(1, sizeof *link);
    if (!link)
        return NULL;
    link->magic = LINK_MAGIC;
    link->loop = loop;
    link->incarnation = incarnation;
    link->window = window;
    ev_timer_init(&link->timer, on_timer, 0., 0.);
    link->timer.data = link;
    return link;
}

void relay_link_free(struct relay_link *link)
{
    if (!link)
        return;
    CHECK_MAGIC(link, LINK_MAGIC);
    data_channel_close(link->channel);
    ev_timer_stop(link->loop, &link->timer);
    size_t place = 0;
    for (struct attachment *attachment; (attachment = next_attachment(link, &place));)
        destroy_attachment(attachment);
    handle_table_free(&link->attachments);
    if (link->last_home)
        blob_release(link->last_home);
    struct request *request, *next_request;
    HASH_CLEAR(hh, link->requests);
    DL_FOREACH_SAFE(link->waiting, request, next_request)
        free(request);
    DL_FOREACH_SAFE(link->failing, request, next_request)
        free(request);
    buffer_free(&link->scratch);
    link->magic = 0;
    free(link);
}

int relay_link_connect(struct relay_link *link, int fd)
{
    CHECK_MAGIC(link, LINK_MAGIC);
    static const struct data_channel_handlers HANDLERS = {
        .on_frame = on_frame, .on_lost = on_lost, .on_drained = on_drained};
    if (link->channel)
        drop_channel(link);
    link->channel = data_channel_open(link->loop, fd, RELAY_TO_WORKER, &HANDLERS, link);
    if (!link->channel) {
        close(fd);
        return -1;
    }
    size_t place = 0;
    for (struct attachment *attachment; (attachment = next_attachment(link, &place));)
        if (announce(attachment, &attachment->confirmed, attachment->confirmed > 0) != 0)
            LOG_ERROR("attachment-not-resumed", "why=\"no memory\"");
    LOG_INFO("relay-linked", "attachments=%zu", link->attachments.count);
    return 0;
}

bool relay_link_is_up(const struct relay_link *link)
{
    CHECK_MAGIC(link, LINK_MAGIC);
    return link->channel != NULL;
}

void relay_link_free_room(struct relay_link *link)
{
    CHECK_MAGIC(link, LINK_MAGIC);
    if (link->channel)
        data_channel_free_room(link->channel);
    buffer_free(&link->scratch);
}
