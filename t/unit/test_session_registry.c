#include "unit.h"

#include <errno.h>

#include "codecs/session_key.h"
#include "workers/relay/attachment.h"
#include "workers/relay/session_registry.h"

/* A store that writes down what it is told, and fails on demand. */
static struct buffer told;
static bool failing;

static int tell(const char *what, struct slice address, uint64_t number)
{
    if (failing) {
        errno = EIO;
        return -1;
    }
    return buffer_printf(&told, "%s %.*s %llu\n", what, (int)address.len, address.data,
                         (unsigned long long)number);
}

static int created(struct store *store, struct slice address, struct slice home, uint64_t ttl_ms)
{
    (void)store;
    (void)home;
    return tell("created", address, ttl_ms);
}

static int deleted(struct store *store, struct slice address)
{
    (void)store;
    return tell("deleted", address, 0);
}

static int accepted(struct store *store, struct slice address, uint64_t first_id,
                    struct blob *const *bodies, size_t count)
{
    (void)store;
    (void)bodies;
    ck_assert_uint_gt(count, 0);
    return tell("accepted", address, first_id);
}

static int confirmed(struct store *store, struct slice address, uint64_t id)
{
    (void)store;
    return tell("confirmed", address, id);
}

static const struct store_engine RECORDING = {.name = "recording",
                                              .session_created = created,
                                              .session_deleted = deleted,
                                              .accepted = accepted,
                                              .confirmed = confirmed};

static struct settings settings;
static struct session_registry registry;
static struct host_budget budget;
static struct metrics metrics;
static struct store store = {.engine = &RECORDING};
static unsigned expired, stored;

static void on_expired(void *context, struct session *session)
{
    (void)context;
    expired++;
    session_end(&registry, session, SESSION_EXPIRED);
}

static void on_stored(void *context)
{
    (void)context;
    stored++;
}

static void start(void)
{
    ck_assert_int_eq(settings_init(&settings), 0);
    budget = (struct host_budget){.limit = 1 << 20};
    metrics = (struct metrics){0};
    failing = false;
    expired = stored = 0;
    registry_init(&registry, &settings, &store, &budget, &metrics, 0);
    registry.on_expired = on_expired;
    registry.on_stored = on_stored;
}

static void stop(void)
{
    registry_free(&registry);
    ck_assert_uint_eq(budget.used, 0);
    settings_free(&settings);
    buffer_free(&told);
}

static struct session *create(const char *actor, const char *secret, uint64_t ttl_ms, uint64_t now)
{
    struct session *session = NULL;
    struct session_order order = {
        .actor = slice_from_string(actor), .secret = slice_from_string(secret), .ttl_ms = ttl_ms};
    ck_assert_int_eq(session_create(&registry, &order, now, &session), OUTCOME_QUEUED);
    return session;
}

static int accept_one(struct session *session, uint64_t *id)
{
    struct blob *body = budget_new_body(&budget, SLICE_LITERAL("[]"));
    ck_assert_ptr_nonnull(body);
    int result = session_accept(&registry, session, &body, 1, id);
    int error = errno;
    budget_release_body(&budget, body);
    errno = error;
    return result;
}

START_TEST(secrets_are_random_unless_given)
{
    start();
    struct session *made = create("bob", "", 0, 0), *other = create("bob", "", 0, 0);
    ck_assert_uint_eq(made->address_len, strlen("sess/bob:") + 22);
    ck_assert(address_is_valid(session_address(made)));
    ck_assert(!slice_equal(session_address(made), session_address(other)));
    ck_assert_ptr_eq(session_find(&registry, session_address(made)), made);
    struct session *given = create("a:b c", "Secret.1", 0, 0);
    ck_assert_slice_eq(session_address(given), "sess/a:b c:Secret.1");
    ck_assert_ptr_null(session_find(&registry, SLICE_LITERAL("sess/bob:")));
    stop();
}
END_TEST

START_TEST(what_cannot_be_created_is_said)
{
    start();
    struct session *session = NULL;
    create("bob", "x", 0, 0);
    struct session_order order = {.actor = SLICE_LITERAL("bob"), .secret = SLICE_LITERAL("x")};
    ck_assert_int_eq(session_create(&registry, &order, 0, &session), OUTCOME_EXISTS);
    order.secret = SLICE_LITERAL("no/slash");
    ck_assert_int_eq(session_create(&registry, &order, 0, &session), OUTCOME_INVALID_KEY);
    order = (struct session_order){.actor = SLICE_EMPTY};
    ck_assert_int_eq(session_create(&registry, &order, 0, &session), OUTCOME_INVALID_KEY);
    order = (struct session_order){.actor = SLICE_LITERAL("b"), .home = SLICE_LITERAL("nonsense")};
    ck_assert_int_eq(session_create(&registry, &order, 0, &session), OUTCOME_INVALID_KEY);
    order.home = SLICE_EMPTY;
    registry.session_limit = 1;
    ck_assert_int_eq(session_create(&registry, &order, 0, &session), OUTCOME_OVER_LIMIT);
    registry.session_limit = 10;
    budget.limit = budget.used + 10;
    ck_assert_int_eq(session_create(&registry, &order, 0, &session), OUTCOME_OVER_LIMIT);
    budget.limit = 1 << 20;
    failing = true;
    ck_assert_int_eq(session_create(&registry, &order, 0, &session), OUTCOME_OVER_LIMIT);
    ck_assert_uint_eq(metrics.values[METRIC_SESSIONS], 1);
    failing = false;
    stop();
}
END_TEST

START_TEST(sessions_end_when_their_time_is_over)
{
    start();
    create("short", "x", 1000, 0);
    create("middle", "x", 5000, 0);
    create("long", "x", 10ull * SESSION_TICK_MS * SESSION_WHEEL_SLOTS, 0);
    registry_tick(&registry, 900);
    ck_assert_uint_eq(expired, 0);
    registry_tick(&registry, 1500);
    ck_assert_uint_eq(expired, 1);
    ck_assert_ptr_null(session_find(&registry, SLICE_LITERAL("sess/short:x")));
    for (uint64_t now = 1500; now <= 6000; now += 500)
        registry_tick(&registry, now);
    ck_assert_uint_eq(expired, 2);
    uint64_t round = (uint64_t)SESSION_TICK_MS * SESSION_WHEEL_SLOTS;
    for (int i = 1; i < 10; i++)
        registry_tick(&registry, i * round);
    ck_assert_uint_eq(expired, 2);
    registry_tick(&registry, 10 * round + SESSION_TICK_MS);
    ck_assert_uint_eq(expired, 3);
    stop();
}
END_TEST

START_TEST(time_stands_still_while_a_client_is_attached)
{
    start();
    struct session *session = create("bob", "x", 1000, 0);
    session_hold(&registry, session);
    session_hold(&registry, session);
    registry_tick(&registry, 60000);
    ck_assert_uint_eq(expired, 0);
    session_release(&registry, session, 60000);
    registry_tick(&registry, 60999);
    ck_assert_uint_eq(expired, 0);
    session_release(&registry, session, 60999);
    registry_tick(&registry, 61900);
    ck_assert_uint_eq(expired, 0);
    registry_tick(&registry, 62500);
    ck_assert_uint_eq(expired, 1);
    stop();
}
END_TEST

START_TEST(the_store_is_told_of_all_in_order)
{
    start();
    uint64_t id;
    struct session *session = create("bob", "x", 2000, 0);
    ck_assert_int_eq(accept_one(session, &id), 0);
    ck_assert_int_eq(accept_one(session, &id), 0);
    ck_assert_uint_eq(id, 2);
    session->mailbox.sent_up_to = 1;
    ck_assert(session_confirm(&registry, session, 1));
    ck_assert(session_confirm(&registry, session, 1));
    session_end(&registry, session, SESSION_DELETED);
    ck_assert_slice_eq(buffer_slice(&told), "created sess/bob:x 2000\n"
                                            "accepted sess/bob:x 1\n"
                                            "accepted sess/bob:x 2\n"
                                            "confirmed sess/bob:x 1\n"
                                            "deleted sess/bob:x 0\n");
    ck_assert_uint_eq(stored, 5);
    ck_assert_uint_eq(metrics.values[METRIC_ACCEPTED], 2);
    ck_assert_uint_eq(metrics.values[METRIC_CONFIRMED], 1);
    ck_assert_uint_eq(metrics.values[METRIC_DROPPED_DELETED], 1);
    ck_assert_uint_eq(metrics.values[METRIC_PENDING], 0);
    stop();
}
END_TEST

START_TEST(what_the_store_refuses_has_not_happened)
{
    start();
    uint64_t id;
    struct session *session = create("bob", "x", 0, 0);
    failing = true;
    ck_assert_int_eq(accept_one(session, &id), -1);
    ck_assert_int_eq(errno, EIO);
    ck_assert_uint_eq(session->mailbox.last_id, 0);
    ck_assert_ptr_null(session->mailbox.ring);
    failing = false;
    ck_assert_int_eq(accept_one(session, &id), 0);
    ck_assert_uint_eq(id, 1);
    session->mailbox.sent_up_to = 1;
    failing = true;
    ck_assert(session_confirm(&registry, session, 1));
    ck_assert_uint_eq(session->mailbox.pending, 1);
    failing = false;
    stop();
}
END_TEST

START_TEST(a_confirmation_covers_what_was_sent_and_nothing_else)
{
    start();
    uint64_t id;
    struct session *session = create("bob", "x", 0, 0);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(accept_one(session, &id), 0);
    ck_assert(session_confirm(&registry, session, 0));
    ck_assert(session_confirm(&registry, session, 4));
    ck_assert_uint_eq(session->mailbox.pending, 4);
    session->mailbox.sent_up_to = 3;
    ck_assert(session_confirm(&registry, session, 4));
    ck_assert_uint_eq(session->mailbox.pending, 1);
    ck_assert(!session_confirm(&registry, session, 5));
    stop();
}
END_TEST

START_TEST(full_mailboxes_refuse_all_or_nothing)
{
    start();
    registry.mailbox_limits.messages = 2;
    uint64_t id;
    struct session *session = create("bob", "x", 0, 0);
    struct blob *body = budget_new_body(&budget, SLICE_LITERAL("[]"));
    struct blob *three[] = {body, body, body};
    ck_assert_int_eq(session_accept(&registry, session, three, 3, &id), -1);
    ck_assert_int_eq(errno, EDQUOT);
    ck_assert_uint_eq(session->mailbox.last_id, 0);
    ck_assert_int_eq(session_accept(&registry, session, three, 2, &id), 0);
    ck_assert_int_eq(session_accept(&registry, session, three, 1, &id), -1);
    ck_assert_uint_eq(metrics.values[METRIC_REFUSED_MAILBOX_FULL], 4);
    budget_release_body(&budget, body);
    stop();
}
END_TEST

START_TEST(an_idle_client_takes_less_than_600_bytes)
{
    enum { ALLOCATION = 16, ADDRESS = 48, BUCKETS = 2 * 16 };
    ck_assert_uint_lt(sizeof(struct session) + ADDRESS + ALLOCATION + sizeof(struct attachment) +
                          ALLOCATION + BUCKETS,
                      600);
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, secrets_are_random_unless_given);
    tcase_add_test(cases, what_cannot_be_created_is_said);
    tcase_add_test(cases, sessions_end_when_their_time_is_over);
    tcase_add_test(cases, time_stands_still_while_a_client_is_attached);
    tcase_add_test(cases, the_store_is_told_of_all_in_order);
    tcase_add_test(cases, what_the_store_refuses_has_not_happened);
    tcase_add_test(cases, a_confirmation_covers_what_was_sent_and_nothing_else);
    tcase_add_test(cases, full_mailboxes_refuse_all_or_nothing);
    tcase_add_test(cases, an_idle_client_takes_less_than_600_bytes);
}

UNIT_MAIN("session_registry", add_tests)
