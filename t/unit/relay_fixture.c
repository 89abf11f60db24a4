#include "relay_fixture.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "workers/relay/delivery.h"
#include "workers/relay/session_messages.h"

void test_relay_prepare(struct test_relay *test, const char *cluster_id)
{
    memset(test, 0, sizeof *test);
    test->loop = ev_loop_new(EVFLAG_AUTO);
    ck_assert_int_eq(settings_init(&test->settings), 0);
    ck_assert_int_eq(setting_set(&test->settings, setting_row_find("server.mmrp.clusterId"),
                                 slice_from_string(cluster_id)),
                     0);
    ck_assert_int_eq(setting_set(&test->settings, setting_row_find("server.store.engine"),
                                 SLICE_LITERAL("memory")),
                     0);
}

void test_relay_start(struct test_relay *test)
{
    char why[128] = "";
    test->relay = relay_new(test->loop, &test->settings, 0, why, sizeof why);
    ck_assert_msg(test->relay != NULL, "%s", why);
}

void test_relay_stop(struct test_relay *test)
{
    check_balance(test);
    relay_free(test->relay);
    settings_free(&test->settings);
    ev_loop_destroy(test->loop);
}

static void on_deliver(struct test_worker *worker, struct slice payload)
{
    struct frame_deliver deliver;
    struct message message;
    ck_assert_int_eq(get_deliver(payload, &deliver), 0);
    struct frame_reader reader = reader_of(deliver.messages);
    buffer_printf(&worker->journal, "deliver %u:", (uint32_t)deliver.handle);
    while (get_message(&reader, &message))
        buffer_printf(&worker->journal, " %" PRIu64 "=%.*s", message.id, (int)message.body.len,
                      message.body.data);
    ck_assert_int_eq(reader_finish(&reader), 0);
    buffer_append_string(&worker->journal, "\n");
}

static void on_broadcast(struct test_worker *worker, struct slice payload)
{
    struct frame_broadcast broadcast;
    ck_assert_int_eq(get_broadcast(payload, &broadcast), 0);
    struct frame_reader reader = reader_of(broadcast.recipients);
    buffer_printf(&worker->journal, "broadcast %.*s:", (int)broadcast.body.len,
                  broadcast.body.data);
    while (reader_left(&reader) > 0) {
        uint32_t handle = (uint32_t)get_u64(&reader);
        buffer_printf(&worker->journal, " %u=%" PRIu64, handle, get_u64(&reader));
    }
    buffer_append_string(&worker->journal, "\n");
}

static void on_frame(void *context, uint16_t type, struct slice payload)
{
    static const char *const OWN_REASONS[] = {
        [END_SUPERSEDED] = "superseded", [END_STOPPING] = "stopping", [END_FAILED] = "failed"};
    struct test_worker *worker = context;
    struct frame_end end;
    struct frame_reply reply;
    switch (type) {
    case FRAME_DELIVER:
        on_deliver(worker, payload);
        break;
    case FRAME_BROADCAST:
        on_broadcast(worker, payload);
        break;
    case FRAME_END:
        ck_assert_int_eq(get_end(payload, &end), 0);
        buffer_printf(&worker->journal, "end %u: %s\n", (uint32_t)end.handle,
                      end_reason_unset((enum end_reason)end.reason)
                          ? end_reason_unset((enum end_reason)end.reason)
                          : OWN_REASONS[end.reason]);
        break;
    default:
        ck_assert_int_eq(get_reply(payload, &reply), 0);
        ck_assert_uint_eq(reply.request, worker->last_request);
        worker->reply = reply.operation;
        buffer_free(&worker->reply_payload);
        buffer_append_slice(&worker->reply_payload, reply.payload);
    }
}

static void on_lost(void *context)
{
    (void)context;
}

void test_worker_start(struct test_worker *worker, struct test_relay *test, uint32_t incarnation)
{
    static const struct data_channel_handlers HANDLERS = {.on_frame = on_frame, .on_lost = on_lost};
    int fds[2];
    memset(worker, 0, sizeof *worker);
    worker->incarnation = incarnation;
    worker->loop = ev_loop_new(EVFLAG_AUTO);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    worker->channel = data_channel_open(worker->loop, fds[0], RELAY_TO_WORKER, &HANDLERS, worker);
    ck_assert_ptr_nonnull(worker->channel);
    ck_assert_int_eq(relay_link_worker(test->relay, 1, incarnation, fds[1]), 0);
}

void test_worker_stop(struct test_worker *worker)
{
    data_channel_close(worker->channel);
    worker->channel = NULL;
    buffer_free(&worker->journal);
    buffer_free(&worker->reply_payload);
    ev_loop_destroy(worker->loop);
}

void settle(struct test_relay *test, struct test_worker *worker)
{
    for (int round = 0; round < 8; round++) {
        if (worker)
            ev_run(worker->loop, EVRUN_NOWAIT);
        ev_run(test->loop, EVRUN_NOWAIT);
        if (fake_mesh_pump() > 0)
            round = 0;
    }
}

static uint64_t whole(const struct test_worker *worker, uint32_t handle)
{
    return (uint64_t)worker->incarnation << 32 | handle;
}

static struct slice one_id(struct buffer *ids, uint64_t id)
{
    if (id != 0)
        ck_assert_int_eq(put_u64(ids, id), 0);
    return buffer_slice(ids);
}

void test_attach(struct test_worker *worker, uint32_t handle, enum attachment_style style,
                 const char *address, const char *home, uint64_t confirmed)
{
    struct buffer ids = {0};
    struct frame_attach attach = {.handle = whole(worker, handle),
                                  .since = clock_monotonic_us(),
                                  .style = (uint8_t)style,
                                  .address = slice_from_string(address),
                                  .home = slice_from_string(home),
                                  .confirmed = one_id(&ids, confirmed)};
    ck_assert_int_eq(put_attach(data_channel_out(worker->channel), &attach), 0);
    data_channel_wrote(worker->channel);
    buffer_free(&ids);
}

void test_confirm(struct test_worker *worker, uint32_t handle, uint64_t id)
{
    struct buffer ids = {0};
    struct frame_confirm confirm = {.handle = whole(worker, handle), .confirmed = one_id(&ids, id)};
    ck_assert_int_eq(put_confirm(data_channel_out(worker->channel), &confirm), 0);
    data_channel_wrote(worker->channel);
    buffer_free(&ids);
}

void test_detach(struct test_worker *worker, uint32_t handle)
{
    struct frame_detach detach = {.handle = whole(worker, handle)};
    ck_assert_int_eq(put_detach(data_channel_out(worker->channel), &detach), 0);
    data_channel_wrote(worker->channel);
}

void test_credit(struct test_worker *worker, uint32_t handle, uint32_t bytes)
{
    struct frame_credit credit = {.handle = whole(worker, handle), .bytes = bytes};
    ck_assert_int_eq(put_credit(data_channel_out(worker->channel), &credit), 0);
    data_channel_wrote(worker->channel);
}

void test_credit_for(struct test_worker *worker, uint32_t handle, uint32_t count,
                     uint32_t body_bytes)
{
    test_credit(worker, handle, (uint32_t)messages_cost(count, body_bytes));
}

struct session *test_session(struct test_relay *test, const char *actor, const char *secret)
{
    struct session *session = NULL;
    struct session_order order = {.actor = slice_from_string(actor),
                                  .secret = slice_from_string(secret)};
    ck_assert_int_eq(session_create(&test->relay->registry, &order, clock_monotonic_ms(), &session),
                     OUTCOME_QUEUED);
    return session;
}

int test_send(struct test_relay *test, const char *address, const char *body)
{
    struct relay *relay = test->relay;
    struct session *session = session_find(&relay->registry, slice_from_string(address));
    ck_assert_ptr_nonnull(session);
    struct blob *blob = message_body_new(&relay->registry, slice_from_string(body));
    const struct message_order order = {.bodies = &blob, .count = 1};
    struct acceptance acceptance;
    if (!blob)
        return -1;
    enum outcome outcome = session_accept(&relay->registry, session, &order, &acceptance);
    budget_release_body(&relay->budget, blob);
    if (outcome == OUTCOME_QUEUED && session->attachment)
        delivery_run(relay, session->attachment);
    return outcome == OUTCOME_QUEUED ? 0 : -1;
}

void test_request(struct test_worker *worker, const char *home, uint16_t operation,
                  struct buffer *payload)
{
    struct frame_request request = {.request = ++worker->last_request,
                                    .home = slice_from_string(home),
                                    .operation = operation,
                                    .payload = buffer_slice(payload)};
    worker->reply = 0;
    ck_assert_int_eq(put_request(data_channel_out(worker->channel), &request), 0);
    data_channel_wrote(worker->channel);
    buffer_free(payload);
}

uint64_t figure(struct test_relay *test, enum metric metric)
{
    return test->relay->metrics.values[metric];
}

void check_balance(struct test_relay *test)
{
    ck_assert_uint_eq(figure(test, METRIC_ACCEPTED), metrics_accounted_for(&test->relay->metrics));
}
