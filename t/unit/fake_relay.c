#include "fake_relay.h"

#include <stdarg.h>
#include <sys/socket.h>

#include "unit.h"

static void write_ids(struct buffer *journal, struct slice ids)
{
    struct frame_reader reader = reader_of(ids);
    for (bool first = true; reader_left(&reader) > 0; first = false)
        ck_assert_int_eq(buffer_printf(journal, "%s%llu", first ? "" : ",",
                                       (unsigned long long)get_u64(&reader)),
                         0);
    ck_assert_int_eq(reader_finish(&reader), 0);
    buffer_append_string(journal, "\n");
}

static void on_attach(struct fake_relay *relay, struct slice payload)
{
    struct frame_attach frame;
    ck_assert_int_eq(get_attach(payload, &frame), 0);
    ck_assert_uint_lt(relay->attachments, FAKE_RELAY_ATTACHMENTS);
    relay->since[relay->attachments] = frame.since;
    relay->handles[relay->attachments++] = frame.handle;
    buffer_printf(&relay->journal,
                  "attach style=%u flags=%u address=%.*s home=%.*s confirmed=", frame.style,
                  frame.flags, (int)frame.address.len, frame.address.data, (int)frame.home.len,
                  frame.home.data);
    write_ids(&relay->journal, frame.confirmed);
}

static void on_detach(struct fake_relay *relay, uint64_t handle)
{
    size_t index = 0;
    while (index < relay->attachments && relay->handles[index] != handle)
        index++;
    ck_assert_uint_lt(index, relay->attachments);
    relay->detached++;
    buffer_printf(&relay->journal, "detach %zu\n", index);
}

static void on_frame(void *context, uint16_t type, struct slice payload)
{
    struct fake_relay *relay = context;
    struct frame_confirm confirm;
    struct frame_detach detach;
    struct frame_credit credit;
    struct frame_request request;
    switch (type) {
    case FRAME_ATTACH:
        on_attach(relay, payload);
        break;
    case FRAME_CONFIRM:
        ck_assert_int_eq(get_confirm(payload, &confirm), 0);
        relay->credit += confirm.credit;
        if (confirm.credit > 0)
            buffer_printf(&relay->journal, "credit %u\n", confirm.credit);
        buffer_append_string(&relay->journal, "confirm ");
        write_ids(&relay->journal, confirm.confirmed);
        break;
    case FRAME_DETACH:
        ck_assert_int_eq(get_detach(payload, &detach), 0);
        on_detach(relay, detach.handle);
        break;
    case FRAME_CREDIT:
        ck_assert_int_eq(get_credit(payload, &credit), 0);
        relay->credit += credit.bytes;
        buffer_printf(&relay->journal, "credit %u\n", credit.bytes);
        break;
    default:
        ck_assert_int_eq(get_request(payload, &request), 0);
        relay->last_request = request.request;
        buffer_printf(&relay->journal, "request op=%u home=%.*s\n", request.operation,
                      (int)request.home.len, request.home.data);
        break;
    }
}

static void on_lost(void *context)
{
    struct fake_relay *relay = context;
    relay->lost = true;
}

int fake_relay_open(struct fake_relay *relay, struct ev_loop *loop)
{
    static const struct data_channel_handlers HANDLERS = {.on_frame = on_frame, .on_lost = on_lost};
    int fds[2];
    *relay = (struct fake_relay){.loop = loop};
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    relay->channel = data_channel_open(loop, fds[0], WORKER_TO_RELAY, &HANDLERS, relay);
    ck_assert_ptr_nonnull(relay->channel);
    return fds[1];
}

void fake_relay_close(struct fake_relay *relay)
{
    data_channel_close(relay->channel);
    buffer_free(&relay->journal);
    *relay = (struct fake_relay){0};
}

bool fake_relay_was_told(const struct fake_relay *relay, const char *line)
{
    struct slice journal = buffer_slice(&relay->journal);
    size_t len = strlen(line);
    for (const char *at = journal.data; at && at < journal.data + journal.len;) {
        const char *end = memchr(at, '\n', (size_t)(journal.data + journal.len - at));
        if ((size_t)(end - at) == len && memcmp(at, line, len) == 0)
            return true;
        at = end + 1;
    }
    return false;
}

void fake_relay_forget(struct fake_relay *relay)
{
    buffer_free(&relay->journal);
    relay->attachments = relay->detached = relay->credit = 0;
}

void fake_relay_deliver(struct fake_relay *relay, size_t index, uint64_t first_id, ...)
{
    ck_assert_uint_lt(index, relay->attachments);
    struct buffer run = {0};
    va_list bodies;
    va_start(bodies, first_id);
    for (const char *body; (body = va_arg(bodies, const char *)); first_id++)
        ck_assert_int_eq(put_message(&run, first_id, slice_from_string(body)), 0);
    va_end(bodies);
    struct frame_deliver frame = {relay->handles[index], buffer_slice(&run)};
    ck_assert_int_eq(put_deliver(data_channel_out(relay->channel), &frame), 0);
    data_channel_wrote(relay->channel);
    buffer_free(&run);
}

void fake_relay_broadcast(struct fake_relay *relay, const char *body, size_t from, size_t count,
                          uint64_t id)
{
    struct buffer recipients = {0};
    for (size_t i = from; i < from + count; i++, id++) {
        ck_assert_int_eq(put_u64(&recipients, relay->handles[i]), 0);
        ck_assert_int_eq(put_u64(&recipients, id), 0);
    }
    struct frame_broadcast frame = {slice_from_string(body), buffer_slice(&recipients)};
    ck_assert_int_eq(put_broadcast(data_channel_out(relay->channel), &frame), 0);
    data_channel_wrote(relay->channel);
    buffer_free(&recipients);
}

void fake_relay_end(struct fake_relay *relay, size_t index, enum end_reason reason)
{
    ck_assert_uint_lt(index, relay->attachments);
    struct frame_end frame = {relay->handles[index], (uint8_t)reason};
    ck_assert_int_eq(put_end(data_channel_out(relay->channel), &frame), 0);
    data_channel_wrote(relay->channel);
}

void fake_relay_reply(struct fake_relay *relay, uint64_t request, uint16_t operation,
                      struct slice payload)
{
    struct frame_reply frame = {request, operation, payload};
    ck_assert_int_eq(put_reply(data_channel_out(relay->channel), &frame), 0);
    data_channel_wrote(relay->channel);
}

static void on_tick(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)watcher;
    (void)events;
}

void fake_relay_run_once(struct ev_loop *loop)
{
    ev_timer tick;
    ev_timer_init(&tick, on_tick, 0.02, 0.);
    ev_timer_start(loop, &tick);
    ev_run(loop, EVRUN_ONCE);
    ev_timer_stop(loop, &tick);
}
