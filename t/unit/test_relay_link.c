#include "unit.h"

#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "fake_relay.h"
#include "workers/client/relay_link.h"

enum { WINDOW = 4096 };

static struct ev_loop *loop;
static struct fake_relay relay;
static struct relay_link *worker;

struct owner {
    struct attachment *attachment;
    struct buffer seen; /* "1=[] 2=[] " */
    size_t bytes;
    unsigned deliveries;
    int ended; /* an end_reason, or -1 */
};

static void note_messages(void *context, struct slice messages, uint32_t count, size_t body_bytes)
{
    struct owner *owner = context;
    struct frame_reader reader = reader_of(messages);
    struct message message;
    uint32_t found = 0;
    for (; get_message(&reader, &message); found++)
        buffer_printf(&owner->seen, "%llu=%.*s ", (unsigned long long)message.id,
                      (int)message.body.len, message.body.data);
    ck_assert_uint_eq(found, count);
    owner->bytes += body_bytes;
    owner->deliveries++;
}

static void note_end(void *context, enum end_reason reason)
{
    struct owner *owner = context;
    owner->ended = (int)reason;
    owner->attachment = NULL;
}

static const struct attachment_events EVENTS = {note_messages, note_end};

static void attach(struct owner *owner, enum attachment_style style, const char *address)
{
    static const uint64_t CONFIRMED[] = {3, 4};
    *owner = (struct owner){.ended = -1};
    owner->attachment = attachment_new(worker, style, slice_from_string(address),
                                       SLICE_LITERAL("aa:1"), CONFIRMED, 2, &EVENTS, owner);
    ck_assert_ptr_nonnull(owner->attachment);
}

static void setup(void)
{
    loop = ev_loop_new(0);
    worker = relay_link_new(loop, 7, WINDOW);
}

static void connect_relay(void)
{
    ck_assert_int_eq(relay_link_connect(worker, fake_relay_open(&relay, loop)), 0);
}

static void teardown(void)
{
    relay_link_free(worker);
    if (relay.channel)
        fake_relay_close(&relay);
    ev_loop_destroy(loop);
}

START_TEST(an_attachment_lives_until_it_is_detached)
{
    connect_relay();
    struct owner bob;
    attach(&bob, STYLE_STREAM, "sess/bob:x");
    LOOP_UNTIL(loop, relay.attachments == 1);
    ck_assert(fake_relay_was_told(
        &relay, "attach style=0 flags=0 address=sess/bob:x home=aa:1 confirmed=3,4"));
    ck_assert_uint_eq(relay.handles[0] >> 32, 7);
    fake_relay_deliver(&relay, 0, 5, "[]", "[[\"a\"]]", NULL);
    fake_relay_deliver(&relay, 0, 7, "[]", NULL);
    LOOP_UNTIL(loop, bob.deliveries == 2);
    ck_assert_slice_eq(buffer_slice(&bob.seen), "5=[] 6=[[\"a\"]] 7=[] ");
    ck_assert_uint_eq(bob.bytes, 11);
    attachment_credit(bob.attachment, messages_cost(3, 11));
    attachment_confirm(bob.attachment, (uint64_t[]){5, 6}, 2);
    attachment_confirm(bob.attachment, (uint64_t[]){6, 0}, 2); /* says nothing new */
    attachment_detach(bob.attachment);
    LOOP_UNTIL(loop, relay.detached == 1);
    ck_assert(fake_relay_was_told(&relay, "credit 107"));
    ck_assert(fake_relay_was_told(&relay, "confirm 5,6"));
    ck_assert(!fake_relay_was_told(&relay, "confirm 6,0"));
    fake_relay_deliver(&relay, 0, 8, "[]", NULL); /* stale: ignored */
    fake_relay_end(&relay, 0, END_EXPIRED);
    fake_relay_run_once(loop);
    fake_relay_run_once(loop);
    ck_assert_uint_eq(bob.deliveries, 2);
    ck_assert_int_eq(bob.ended, -1);
    buffer_free(&bob.seen);
}
END_TEST

START_TEST(little_credit_waits_for_a_confirmation)
{
    static char body[WINDOW / 4];
    memset(body, ' ', sizeof body - 1);
    connect_relay();
    struct owner bob;
    attach(&bob, STYLE_STREAM, "sess/bob:x");
    LOOP_UNTIL(loop, relay.attachments == 1);
    fake_relay_deliver(&relay, 0, 5, "[]", body, NULL);
    LOOP_UNTIL(loop, bob.deliveries == 1);
    attachment_credit(bob.attachment, messages_cost(1, 2));
    fake_relay_run_once(loop);
    ck_assert(!fake_relay_was_told(&relay, "credit 34"));
    attachment_credit(bob.attachment, messages_cost(1, sizeof body - 1)); /* much by now */
    LOOP_UNTIL(loop, relay.credit == messages_cost(2, 2 + sizeof body - 1));
    fake_relay_deliver(&relay, 0, 7, "[]", NULL);
    LOOP_UNTIL(loop, bob.deliveries == 2);
    attachment_credit(bob.attachment, messages_cost(1, 2));
    attachment_confirm(bob.attachment, (uint64_t[]){7}, 1);
    LOOP_UNTIL(loop, fake_relay_was_told(&relay, "confirm 7"));
    ck_assert_uint_eq(relay.credit, messages_cost(3, 4 + sizeof body - 1));
    buffer_free(&bob.seen);
}
END_TEST

START_TEST(polls_are_over_after_their_delivery)
{
    connect_relay();
    struct owner longer, shorter;
    attach(&longer, STYLE_LONG_POLL, "sess/bob:x");
    attach(&shorter, STYLE_SHORT_POLL, "sess/eve:x");
    LOOP_UNTIL(loop, relay.attachments == 2);
    fake_relay_deliver(&relay, 0, 1, "[]", NULL);
    fake_relay_deliver(&relay, 0, 2, "[]", NULL);
    fake_relay_deliver(&relay, 1, 1, NULL);
    LOOP_UNTIL(loop, shorter.deliveries == 1);
    ck_assert_uint_eq(longer.deliveries, 1);
    ck_assert_uint_eq(shorter.bytes, 0);
    ck_assert_uint_eq(relay.detached, 0);
    buffer_free(&longer.seen);
}
END_TEST

START_TEST(ends_come_with_their_reason)
{
    connect_relay();
    struct owner bob;
    attach(&bob, STYLE_STREAM, "sess/bob:x");
    LOOP_UNTIL(loop, relay.attachments == 1);
    fake_relay_end(&relay, 0, END_SUPERSEDED);
    LOOP_UNTIL(loop, bob.ended >= 0);
    ck_assert_int_eq(bob.ended, END_SUPERSEDED);
}
END_TEST

START_TEST(a_broadcast_reaches_each_with_its_own_id)
{
    connect_relay();
    struct owner owners[3];
    for (int i = 0; i < 3; i++)
        attach(&owners[i], i == 1 ? STYLE_LONG_POLL : STYLE_STREAM, "sess/x:y");
    LOOP_UNTIL(loop, relay.attachments == 3);
    fake_relay_broadcast(&relay, "[[\"all\"]]", 0, 3, 300);
    LOOP_UNTIL(loop, owners[2].deliveries == 1);
    ck_assert_slice_eq(buffer_slice(&owners[0].seen), "300=[[\"all\"]] ");
    ck_assert_slice_eq(buffer_slice(&owners[1].seen), "301=[[\"all\"]] ");
    ck_assert_slice_eq(buffer_slice(&owners[2].seen), "302=[[\"all\"]] ");
    for (int i = 0; i < 3; i++)
        buffer_free(&owners[i].seen);
}
END_TEST

START_TEST(a_new_relay_hears_of_every_attachment)
{
    struct owner early, late;
    attach(&early, STYLE_STREAM, "sess/early:x");
    ck_assert(!relay_link_is_up(worker));
    connect_relay();
    attach(&late, STYLE_LONG_POLL, "sess/late:x");
    LOOP_UNTIL(loop, relay.attachments == 2);
    /* No relay knew the first one before: it is new, not resumed. */
    ck_assert(fake_relay_was_told(
        &relay, "attach style=0 flags=0 address=sess/early:x home=aa:1 confirmed=4"));
    uint64_t handle = relay.handles[0], since = relay.since[0];
    fake_relay_deliver(&relay, 0, 5, "[]", NULL);
    LOOP_UNTIL(loop, early.deliveries == 1);
    fake_relay_close(&relay);
    LOOP_UNTIL(loop, !relay_link_is_up(worker));
    attachment_confirm(early.attachment, (uint64_t[]){9}, 1);
    attachment_detach(late.attachment);
    connect_relay();
    LOOP_UNTIL(loop, relay.attachments == 1);
    ck_assert(fake_relay_was_told(
        &relay, "attach style=0 flags=1 address=sess/early:x home=aa:1 confirmed=9"));
    ck_assert_uint_eq(relay.handles[0], handle);
    ck_assert_uint_eq(relay.since[0], since);
    /* Credit for what the first relay delivered is not the second's. */
    attachment_credit(early.attachment, messages_cost(1, 2));
    attachment_confirm(early.attachment, (uint64_t[]){10}, 1);
    LOOP_UNTIL(loop, fake_relay_was_told(&relay, "confirm 10"));
    ck_assert_uint_eq(relay.credit, 0);
    /* A second relay while the first one is still there takes over as well. */
    struct fake_relay first = relay;
    connect_relay();
    LOOP_UNTIL(loop, relay.attachments == 1);
    data_channel_close(first.channel);
    buffer_free(&first.journal);
    buffer_free(&early.seen);
}
END_TEST

struct answer {
    int count;
    enum request_failure failure;
    uint16_t operation;
    struct buffer payload;
    bool again;
};

static void note_answer(void *context, enum request_failure failure, uint16_t operation,
                        struct slice payload)
{
    struct answer *answer = context;
    answer->count++;
    answer->failure = failure;
    answer->operation = operation;
    buffer_append_slice(&answer->payload, payload);
    if (answer->again)
        ck_assert_uint_ne(relay_link_request(worker, SLICE_EMPTY, FRAME_READ_STATUS, SLICE_EMPTY,
                                             note_answer, context),
                          0);
}

START_TEST(requests_are_answered_once)
{
    connect_relay();
    struct answer one = {0}, two = {0};
    uint64_t first = relay_link_request(worker, SLICE_LITERAL("bb:2"), FRAME_SEND,
                                        SLICE_LITERAL("xyz"), note_answer, &one);
    uint64_t second =
        relay_link_request(worker, SLICE_EMPTY, FRAME_SEND, SLICE_EMPTY, note_answer, &two);
    ck_assert_uint_ne(first, second);
    LOOP_UNTIL(loop, relay.last_request == second);
    ck_assert(fake_relay_was_told(&relay, "request op=4 home=bb:2"));
    relay_link_cancel(worker, second);
    relay_link_cancel(worker, second);
    fake_relay_reply(&relay, second, FRAME_SENT, SLICE_LITERAL("late"));
    fake_relay_reply(&relay, first, FRAME_SENT, SLICE_LITERAL("fine"));
    fake_relay_reply(&relay, first, FRAME_SENT, SLICE_LITERAL("twice"));
    LOOP_UNTIL(loop, one.count > 0);
    fake_relay_run_once(loop);
    ck_assert_int_eq(one.count, 1);
    ck_assert_int_eq(two.count, 0);
    ck_assert_int_eq(one.failure, REQUEST_ANSWERED);
    ck_assert_int_eq(one.operation, FRAME_SENT);
    ck_assert_slice_eq(buffer_slice(&one.payload), "fine");
    buffer_free(&one.payload);
}
END_TEST

START_TEST(requests_end_when_the_relay_does)
{
    struct answer down = {.again = true}, lost = {0};
    ck_assert_uint_ne(
        relay_link_request(worker, SLICE_EMPTY, FRAME_SEND, SLICE_EMPTY, note_answer, &down), 0);
    ck_assert_int_eq(down.count, 0);
    LOOP_UNTIL(loop, down.count >= 3);
    down.again = false;
    int before = down.count;
    LOOP_UNTIL(loop, down.count == before + 1);
    ck_assert_int_eq(down.failure, REQUEST_RELAY_DOWN);
    connect_relay();
    uint64_t id =
        relay_link_request(worker, SLICE_EMPTY, FRAME_SEND, SLICE_EMPTY, note_answer, &lost);
    LOOP_UNTIL(loop, relay.last_request == id);
    fake_relay_close(&relay);
    LOOP_UNTIL(loop, lost.count == 1);
    ck_assert_int_eq(lost.failure, REQUEST_RELAY_DOWN);
}
END_TEST

/* Reads what there is; returns the ID of the last confirmation in it. */
static uint64_t read_frames(int fd, struct buffer *bytes, size_t *total)
{
    uint64_t confirmed = 0;
    ssize_t got;
    while ((got = recv(fd, buffer_reserve(bytes, 65536), 65536, MSG_DONTWAIT)) > 0) {
        struct frame frame;
        struct frame_confirm confirm;
        buffer_added(bytes, (size_t)got);
        *total += (size_t)got;
        long len;
        while ((len = frame_parse(buffer_slice(bytes), 65536, &frame)) > 0) {
            if (frame.type == FRAME_CONFIRM) {
                ck_assert_int_eq(get_confirm(frame.payload, &confirm), 0);
                struct frame_reader reader = reader_of(confirm.confirmed);
                confirmed = get_u64(&reader);
            }
            buffer_consume(bytes, (size_t)len);
        }
    }
    return confirmed;
}

START_TEST(confirmations_do_not_pile_up)
{
    enum { CONFIRMATIONS = 1000000 };
    int fds[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    ck_assert_int_eq(relay_link_connect(worker, fds[1]), 0);
    struct owner bob;
    attach(&bob, STYLE_STREAM, "sess/bob:x");
    for (uint64_t id = 5; id <= CONFIRMATIONS; id++)
        attachment_confirm(bob.attachment, &id, 1);
    struct buffer bytes = {0};
    size_t total = 0;
    uint64_t last;
    do {
        fake_relay_run_once(loop);
        last = read_frames(fds[0], &bytes, &total);
    } while (last != CONFIRMATIONS);
    ck_assert_uint_lt(total, DATA_CHANNEL_HIGH + 1024);
    buffer_free(&bytes);
    close(fds[0]);
}
END_TEST

START_TEST(what_is_under_way_is_freed_with_the_link)
{
    connect_relay();
    struct owner bob;
    struct answer none = {0};
    attach(&bob, STYLE_STREAM, "sess/bob:x");
    relay_link_request(worker, SLICE_EMPTY, FRAME_SEND, SLICE_EMPTY, note_answer, &none);
    ck_assert_int_eq(none.count, 0);
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, an_attachment_lives_until_it_is_detached);
    tcase_add_test(cases, little_credit_waits_for_a_confirmation);
    tcase_add_test(cases, polls_are_over_after_their_delivery);
    tcase_add_test(cases, ends_come_with_their_reason);
    tcase_add_test(cases, a_broadcast_reaches_each_with_its_own_id);
    tcase_add_test(cases, a_new_relay_hears_of_every_attachment);
    tcase_add_test(cases, requests_are_answered_once);
    tcase_add_test(cases, requests_end_when_the_relay_does);
    tcase_add_test(cases, confirmations_do_not_pile_up);
    tcase_add_test(cases, what_is_under_way_is_freed_with_the_link);
}

UNIT_MAIN("relay_link", add_tests)
