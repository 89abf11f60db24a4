#include "unit.h"

#include <ev.h>

#include "base/clock.h"
#include "workers/client/cors.h"
#include "workers/client/deadlines.h"
#include "workers/client/message_stream_request.h"
#include "workers/client/session_refusals.h"

/* --- deadlines ------------------------------------------------------------------------------ */

struct timed {
    struct deadline deadline;
    uint64_t expired_ms;
    enum deadline_kind kind;
};

static struct deadlines deadlines;
static unsigned expired;

static void note_expired(struct deadline *deadline, enum deadline_kind kind)
{
    struct timed *timed = (struct timed *)deadline;
    ck_assert_int_eq(deadline->kind, DEADLINE_NONE);
    timed->expired_ms = clock_monotonic_ms();
    timed->kind = kind;
    expired++;
    if (kind == DEADLINE_PACE)
        deadline_set(&deadlines, deadline, DEADLINE_POLL);
}

START_TEST(deadlines_expire_in_their_order)
{
    const uint64_t durations[DEADLINE_KINDS] = {
        [DEADLINE_HEADER] = 60, [DEADLINE_POLL] = 30, [DEADLINE_PACE] = 0, [DEADLINE_PING] = 10000};
    struct ev_loop *loop = ev_loop_new(0);
    struct timed header = {0}, poll = {0}, pace = {0}, ping = {0}, cleared = {0};
    deadlines_init(&deadlines, loop, durations, note_expired);
    deadline_set(&deadlines, &ping.deadline, DEADLINE_PING);
    deadline_set(&deadlines, &cleared.deadline, DEADLINE_POLL);
    deadline_set(&deadlines, &header.deadline, DEADLINE_HEADER);
    deadline_set(&deadlines, &poll.deadline, DEADLINE_HEADER);
    deadline_set(&deadlines, &poll.deadline, DEADLINE_POLL);
    deadline_set(&deadlines, &pace.deadline, DEADLINE_PACE);
    deadline_set(&deadlines, &cleared.deadline, DEADLINE_NONE);
    uint64_t start = clock_monotonic_ms();
    while (expired < 4)
        ev_run(loop, EVRUN_ONCE);
    ck_assert_int_eq(header.kind, DEADLINE_HEADER);
    ck_assert_uint_ge(header.expired_ms, start + 60);
    ck_assert_int_eq(poll.kind, DEADLINE_POLL);
    ck_assert_uint_ge(header.expired_ms, poll.expired_ms);
    ck_assert_int_eq(pace.kind, DEADLINE_POLL);
    ck_assert_uint_eq(ping.expired_ms + cleared.expired_ms, 0);
    deadline_set(&deadlines, &ping.deadline, DEADLINE_NONE);
    ck_assert_ptr_null(deadlines.lists[DEADLINE_PING]);
    deadlines_close(&deadlines);
    ev_loop_destroy(loop);
}
END_TEST

/* --- refusals ------------------------------------------------------------------------------- */

START_TEST(refusals_are_remembered_for_a_while)
{
    static struct session_refusals refusals;
    ck_assert(!session_refusals_note(&refusals, 5, 1000));
    ck_assert(session_refusals_recent(&refusals, 5, 1500));
    ck_assert(session_refusals_note(&refusals, 5, 2000));
    ck_assert(!session_refusals_note(&refusals, 5, 2000 + REFUSAL_MEMORY_MS));
    /* A key in the same place takes it over. */
    ck_assert(!session_refusals_note(&refusals, 5 + REFUSALS_REMEMBERED, 100000));
    ck_assert(!session_refusals_recent(&refusals, 5, 100000));
}
END_TEST

/* --- parameters ----------------------------------------------------------------------------- */

static enum message_stream_error parse(const char *query, struct message_stream_request *request)
{
    struct http_request http = {.query = slice_from_string(query)};
    return message_stream_request_parse(&http, request);
}

START_TEST(parameters_are_decoded)
{
    struct message_stream_request request;
    ck_assert_int_eq(
        parse("x=%zz&transport=long%70olling&sessionKey=b+o%3ab%3As&confirmIds=2%2C1,,", &request),
        MESSAGE_STREAM_OK);
    ck_assert_int_eq(request.transport, TRANSPORT_LONG_POLLING);
    ck_assert(request.has_key && request.key_is_valid);
    ck_assert_str_eq(request.key.address, "sess/b o:b:s");
    ck_assert_uint_eq(request.confirmed_count, 2);
    ck_assert_int_eq(parse("sessionKey=&transport=", &request), MESSAGE_STREAM_OK);
    ck_assert(!request.has_key);
    ck_assert_int_eq(request.transport, TRANSPORT_MISSING);
}
END_TEST

START_TEST(parameters_have_their_errors)
{
    static const struct {
        const char *query;
        enum message_stream_error error;
    } ROWS[] = {
        {"sessionKey=%4", MESSAGE_STREAM_BROKEN_ENCODING},
        {"confirmIds=1&confirmIds=1", MESSAGE_STREAM_REPEATED},
        {"confirm%49ds=1&confirmIds=1", MESSAGE_STREAM_REPEATED},
        {"transport=sse&transport=sse", MESSAGE_STREAM_REPEATED},
        {"confirmIds=-1", MESSAGE_STREAM_BAD_IDS},
        {"lastEventId=x", MESSAGE_STREAM_BAD_IDS},
    };
    struct message_stream_request request;
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        ck_assert_int_eq(parse(ROWS[i].query, &request), ROWS[i].error);
        ck_assert_uint_gt(strlen(message_stream_error_text(ROWS[i].error)), 0);
    }
}
END_TEST

START_TEST(many_ids_are_bounded)
{
    struct message_stream_request request;
    struct buffer query = {0};
    buffer_append_string(&query, "confirmIds=1");
    for (int id = 2; id <= 3 * CONFIRMED_MAX; id++)
        buffer_printf(&query, ",%d", id);
    buffer_append_string(&query, "&lastEventId=7");
    buffer_append(&query, "", 1);
    ck_assert_int_eq(parse(buffer_bytes(&query), &request), MESSAGE_STREAM_OK);
    ck_assert_uint_eq(request.confirmed_count, CONFIRMED_MAX);
    uint64_t highest = 0;
    for (size_t i = 0; i < request.confirmed_count; i++)
        highest = request.confirmed[i] > highest ? request.confirmed[i] : highest;
    ck_assert_uint_eq(highest, 3 * CONFIRMED_MAX);
    buffer_free(&query);
}
END_TEST

/* --- CORS ----------------------------------------------------------------------------------- */

static void expect_cors(const char *origin, const char *credentials, const char *asking,
                        const char *lines)
{
    struct settings settings;
    struct buffer out = {0};
    ck_assert_int_eq(settings_init(&settings), 0);
    if (origin)
        setting_set(&settings, setting_row_find("server.clientHost.cors.origin"),
                    slice_from_string(origin));
    setting_set(&settings, setting_row_find("server.clientHost.cors.credentials"),
                slice_from_string(credentials));
    ck_assert_int_eq(cors_put(&out, &settings, slice_from_string(asking)), 0);
    ck_assert_slice_eq(buffer_slice(&out), lines);
    buffer_free(&out);
    settings_free(&settings);
}

START_TEST(cors_is_as_configured)
{
    expect_cors(NULL, "false", "https://a", "");
    expect_cors("*", "false", "https://a", "access-control-allow-origin: *\r\n");
    expect_cors("https://b", "false", "https://a", "access-control-allow-origin: https://b\r\n");
    expect_cors("https://b", "true", "https://a",
                "access-control-allow-origin: https://b\r\n"
                "access-control-allow-credentials: true\r\n");
    expect_cors("*", "true", "https://a",
                "access-control-allow-origin: https://a\r\nvary: Origin\r\n"
                "access-control-allow-credentials: true\r\n");
    expect_cors("*", "true", "", "vary: Origin\r\naccess-control-allow-credentials: true\r\n");
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, deadlines_expire_in_their_order);
    tcase_add_test(cases, refusals_are_remembered_for_a_while);
    tcase_add_test(cases, parameters_are_decoded);
    tcase_add_test(cases, parameters_have_their_errors);
    tcase_add_test(cases, many_ids_are_bounded);
    tcase_add_test(cases, cors_is_as_configured);
}

UNIT_MAIN("client_parts", add_tests)
