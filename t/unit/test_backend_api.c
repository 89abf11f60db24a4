/* The backend API against a pretended connection and a pretended relay. */
#include "unit.h"

#include <jansson.h>

#include "codecs/data_frames.h"
#include "workers/client/backend/api.h"

struct exchange {
    struct exchange_request request;
    struct settings settings;
    bool needs_token;
    void *state;
    void (*abandon)(void *state);
    unsigned status; /* of the answer; 0 while there is none */
    struct buffer body;
    char content_type[64];
    char extra[128];
};

/* What the relay was asked and has not answered yet. */
struct asked {
    uint64_t id;
    char home[CLUSTER_ID_MAX + 1];
    uint16_t operation;
    struct buffer payload;
    request_done done;
    void *context;
};
static struct asked asked[16];
static size_t asked_count;
static uint64_t last_id;
static unsigned cancelled;
static bool no_memory;

const struct exchange_request *exchange_request_of(const struct exchange *exchange)
{
    return &exchange->request;
}

const struct settings *exchange_settings(const struct exchange *exchange)
{
    return &exchange->settings;
}

struct relay_link *exchange_relay(const struct exchange *exchange)
{
    (void)exchange;
    return NULL;
}

bool exchange_needs_token(const struct exchange *exchange)
{
    return exchange->needs_token;
}

void exchange_set_state(struct exchange *exchange, void *state, void (*abandon)(void *state))
{
    exchange->state = state;
    exchange->abandon = abandon;
}

void exchange_respond(struct exchange *exchange, unsigned status, const char *content_type,
                      struct slice body, const char *extra_headers)
{
    ck_assert_uint_eq(exchange->status, 0);
    exchange->status = status;
    snprintf(exchange->content_type, sizeof exchange->content_type, "%s", content_type);
    snprintf(exchange->extra, sizeof exchange->extra, "%s", extra_headers ? extra_headers : "");
    ck_assert_int_eq(buffer_append_slice(&exchange->body, body), 0);
    ck_assert_int_eq(buffer_append(&exchange->body, "", 1), 0);
}

/* It works on the connection itself, which is not here: see t/integration/receipts.test.js. */
void receipts_read(struct exchange *exchange, struct slice rest)
{
    (void)rest;
    exchange_respond(exchange, 200, "text/plain", SLICE_LITERAL("receipts"), NULL);
}

uint64_t relay_link_request(struct relay_link *link, struct slice home, uint16_t operation,
                            struct slice payload, request_done done, void *context)
{
    (void)link;
    if (no_memory)
        return 0;
    ck_assert_uint_lt(asked_count, 16);
    struct asked *ask = &asked[asked_count++];
    *ask = (struct asked){++last_id, "", operation, {0}, done, context};
    snprintf(ask->home, sizeof ask->home, "%.*s", (int)home.len, home.data ? home.data : "");
    ck_assert_int_eq(buffer_append_slice(&ask->payload, payload), 0);
    return ask->id;
}

void relay_link_cancel(struct relay_link *link, uint64_t request)
{
    (void)link;
    (void)request;
    cancelled++;
}

static struct exchange *call(const char *method, const char *path, const char *body)
{
    static struct exchange exchange;
    exchange = (struct exchange){0};
    ck_assert_int_eq(settings_init(&exchange.settings), 0);
    exchange.request = (struct exchange_request){.method = slice_from_string(method),
                                                 .path = slice_from_string(path),
                                                 .body = slice_from_string(body)};
    asked_count = 0;
    backend_api_handle(&exchange);
    return &exchange;
}

static void answer(size_t index, uint16_t operation, const struct buffer *payload)
{
    asked[index].done(asked[index].context, REQUEST_ANSWERED, operation,
                      payload ? buffer_slice(payload) : SLICE_EMPTY);
}

static void finish(struct exchange *exchange)
{
    for (size_t i = 0; i < asked_count; i++)
        buffer_free(&asked[i].payload);
    asked_count = 0;
    buffer_free(&exchange->body);
    settings_free(&exchange->settings);
}

static void expect_error(struct exchange *exchange, unsigned status, const char *code)
{
    json_t *document = json_loads(buffer_bytes(&exchange->body), 0, NULL);
    json_t *error = json_object_get(document, "error");
    const char *got = json_string_value(json_object_get(error, "code"));
    const char *sentence = json_string_value(json_object_get(error, "message"));
    ck_assert_msg(got && strcmp(got, code) == 0, "got %u %s", exchange->status,
                  buffer_bytes(&exchange->body));
    ck_assert_msg(sentence && strlen(sentence) > 10, "no sentence: %s", code);
    ck_assert_uint_eq(exchange->status, status);
    json_decref(document);
    finish(exchange);
}

static void answer_session(const struct frame_session *session)
{
    struct buffer payload = {0};
    ck_assert_int_eq(put_session_fields(&payload, session), 0);
    answer(0, FRAME_SESSION, &payload);
    buffer_free(&payload);
}

START_TEST(a_session_is_created)
{
    struct exchange *exchange =
        call("POST", "/sessions", "{\"actorId\":\"b\\u00f6b \\\"x\\\"\",\"ttl\":\"1h\"}");
    ck_assert_uint_eq(asked_count, 1);
    ck_assert_int_eq(asked[0].operation, FRAME_CREATE_SESSION);
    struct frame_create_session create;
    ck_assert_int_eq(get_create_session(buffer_slice(&asked[0].payload), &create), 0);
    ck_assert_slice_eq(create.actor, "b\xc3\xb6"
                                     "b \"x\"");
    ck_assert_uint_eq(create.ttl_ms, 3600000);
    answer_session(&(struct frame_session){.outcome = OUTCOME_QUEUED,
                                           .address = SLICE_LITERAL("sess/b \"x\":AbCd"),
                                           .home = SLICE_LITERAL("e2dd:15001"),
                                           .ttl_ms = 3600000});
    ck_assert_uint_eq(exchange->status, 201);
    ck_assert_str_eq(
        buffer_bytes(&exchange->body),
        "{\"sessionKey\":\"b \\\"x\\\":AbCd~e2dd.15001\",\"actorId\":\"b \\\"x\\\"\","
        "\"home\":\"e2dd:15001\",\"ttl\":3600,\"age\":0,\"attached\":false,\"attachment\":null,"
        "\"lastId\":0,\"accepted\":0,\"confirmed\":0,\"dropped\":0,"
        "\"replaced\":0,\"overflowed\":0,\"pending\":0,"
        "\"pendingBytes\":0}\n");
    finish(exchange);
}
END_TEST

START_TEST(an_adopted_session_has_a_key_without_home)
{
    struct exchange *exchange =
        call("POST", "/sessions", "{\"actorId\":\"bob\",\"key\":\"AbCd\",\"home\":\"47a0:15001\"}");
    answer_session(&(struct frame_session){.outcome = OUTCOME_QUEUED,
                                           .address = SLICE_LITERAL("sess/bob:AbCd"),
                                           .home = SLICE_LITERAL("47a0:15001"),
                                           .adopted = 1});
    ck_assert_ptr_nonnull(strstr(buffer_bytes(&exchange->body), "\"sessionKey\":\"bob:AbCd\","));
    finish(exchange);
}
END_TEST

START_TEST(a_session_tells_where_its_client_is)
{
    static const struct {
        struct frame_session session;
        const char *expected;
    } CASES[] = {
        {{.attached = 1,
          .attached_at = SLICE_LITERAL("47a0:15001"),
          .attached_style = STYLE_STREAM,
          .attached_ms = 12999},
         "\"attached\":true,\"attachment\":{\"host\":\"47a0:15001\",\"style\":\"stream\","
         "\"seconds\":12},\"lastId\""},
        {{.attached = 1,
          .attached_at = SLICE_LITERAL("e2dd:15001"),
          .attached_style = STYLE_SHORT_POLL},
         "\"attachment\":{\"host\":\"e2dd:15001\",\"style\":\"shortpolling\",\"seconds\":0}"},
        {{.attached = 1}, "\"attached\":true,\"attachment\":null,"},
        {{.attached = 1, .attached_at = SLICE_LITERAL("x"), .attached_style = 9}, "hostGone"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct exchange *exchange = call("GET", "/sessions/bob:AbCd~e2dd.15001", "");
        struct frame_session session = CASES[i].session;
        session.address = SLICE_LITERAL("sess/bob:AbCd");
        session.home = SLICE_LITERAL("e2dd:15001");
        answer_session(&session);
        ck_assert_msg(strstr(buffer_bytes(&exchange->body), CASES[i].expected), "%s",
                      buffer_bytes(&exchange->body));
        finish(exchange);
    }
}
END_TEST

/* Hosts of different age. */
START_TEST(a_home_that_does_not_understand_is_said)
{
    struct buffer payload = {0};
    struct frame_not_understood refusal = {.version = 9};
    ck_assert_int_eq(put_not_understood_fields(&payload, &refusal), 0);
    struct exchange *exchange = call("GET", "/sessions/bob:AbCd~e2dd.15001", "");
    answer(0, FRAME_NOT_UNDERSTOOD, &payload);
    expect_error(exchange, 502, "otherVersion");
    exchange = call("POST", "/messages", "{\"to\":\"a:1~h.1\",\"message\":[[\"e\"]]}");
    answer(0, FRAME_NOT_UNDERSTOOD, &payload);
    ck_assert_ptr_nonnull(strstr(buffer_bytes(&exchange->body), "\"outcome\":\"otherVersion\""));
    finish(exchange);
    buffer_free(&payload);
}
END_TEST

START_TEST(a_session_is_read_and_deleted_at_its_home)
{
    struct exchange *exchange = call("GET", "/sessions/bob%3AAbCd~e2dd.15001", "");
    ck_assert_str_eq(asked[0].home, "e2dd:15001");
    ck_assert_int_eq(asked[0].operation, FRAME_READ_SESSION);
    struct frame_read_session read;
    ck_assert_int_eq(get_read_session(buffer_slice(&asked[0].payload), &read), 0);
    ck_assert_slice_eq(read.address, "sess/bob:AbCd");
    answer_session(&(struct frame_session){.outcome = OUTCOME_NO_SESSION});
    expect_error(exchange, 404, "noSession");

    exchange = call("DELETE", "/sessions/bob:AbCd", "");
    ck_assert_str_eq(asked[0].home, "");
    ck_assert_int_eq(asked[0].operation, FRAME_DELETE_SESSION);
    asked[0].done(asked[0].context, REQUEST_TIMED_OUT, 0, SLICE_EMPTY);
    expect_error(exchange, 504, "timedOut");
}
END_TEST

/* Answers SEND number `index` with one result per address. */
static void answer_send(size_t index, uint8_t outcome, uint64_t first_id)
{
    struct frame_send send;
    struct buffer results = {0}, payload = {0};
    ck_assert_int_eq(get_send(buffer_slice(&asked[index].payload), &send), 0);
    struct frame_reader addresses = reader_of(send.addresses), bodies = reader_of(send.bodies);
    uint32_t count = 0;
    for (; reader_left(&bodies) > 0; count++)
        get_slice(&bodies);
    while (reader_left(&addresses) > 0) {
        get_slice(&addresses);
        struct recipient_result result = {
            .outcome = outcome, .flags = RESULT_ATTACHED, .first_id = first_id, .count = count};
        ck_assert_int_eq(put_recipient_result(&results, &result), 0);
    }
    struct frame_sent sent = {buffer_slice(&results)};
    ck_assert_int_eq(put_sent_fields(&payload, &sent), 0);
    answer(index, FRAME_SENT, &payload);
    buffer_free(&results);
    buffer_free(&payload);
}

START_TEST(recipients_are_split_by_home_and_answered_in_order)
{
    struct exchange *exchange =
        call("POST", "/messages",
             " {\"to\":[\"a:1~h.1\",\"b:2~g.2\",\"nokey\",\"c\\u003a3~h.1\"], \"messages\":"
             "[[[\"e\",{\"x\":1.0}]],[[\"f\"]]]}");
    ck_assert_uint_eq(asked_count, 2);
    ck_assert_str_eq(asked[0].home, "h:1");
    ck_assert_str_eq(asked[1].home, "g:2");
    struct frame_send send;
    ck_assert_int_eq(get_send(buffer_slice(&asked[0].payload), &send), 0);
    struct frame_reader bodies = reader_of(send.bodies);
    ck_assert_slice_eq(get_slice(&bodies), "[[\"e\",{\"x\":1.0}]]");
    answer_send(1, OUTCOME_NO_SESSION, 0);
    ck_assert_uint_eq(exchange->status, 0);
    answer_send(0, OUTCOME_QUEUED, 7);
    ck_assert_uint_eq(exchange->status, 200);
    ck_assert_str_eq(
        buffer_bytes(&exchange->body),
        "{\"results\":[{\"to\":\"a:1~h.1\",\"outcome\":\"queued\",\"ids\":[7,8],\"attached\":true},"
        "{\"to\":\"b:2~g.2\",\"outcome\":\"noSession\",\"message\":\"No such session: it was never "
        "created, or it ended.\"},"
        "{\"to\":\"nokey\",\"outcome\":\"invalidSessionKey\",\"message\":\"Not a session key: "
        "expected actor:secret~home.\"},"
        "{\"to\":\"c\\u003a3~h.1\",\"outcome\":\"queued\",\"ids\":[7,8],\"attached\":true}]}\n");
    finish(exchange);
}
END_TEST

START_TEST(ndjson_answers_line_by_line)
{
    static struct exchange exchange;
    exchange = (struct exchange){0};
    ck_assert_int_eq(settings_init(&exchange.settings), 0);
    exchange.request = (struct exchange_request){
        .method = SLICE_LITERAL("POST"),
        .path = SLICE_LITERAL("/messages"),
        .content_type = SLICE_LITERAL("application/x-ndjson"),
        .body = SLICE_LITERAL("{\"to\":\"a:1~h.1\",\"message\":[[\"e\"]]}\n\nnonsense\r\n"
                              "{\"to\":\"b:1~h.1\",\"message\":[]}")};
    asked_count = 0;
    backend_api_handle(&exchange);
    ck_assert_uint_eq(asked_count, 2);
    answer_send(0, OUTCOME_QUEUED, 1);
    answer_send(1, OUTCOME_OVER_LIMIT, 0);
    ck_assert_str_eq(exchange.content_type, "application/x-ndjson");
    const char *body = buffer_bytes(&exchange.body);
    ck_assert_ptr_nonnull(strstr(body, "{\"line\":1,\"results\":[{\"to\":\"a:1~h.1\","));
    ck_assert_ptr_nonnull(strstr(body, "\n{\"line\":3,\"error\":{\"code\":\"badJson\""));
    ck_assert_ptr_nonnull(strstr(body, "\n{\"line\":4,\"results\":[{\"to\":\"b:1~h.1\","
                                       "\"outcome\":\"overLimit\""));
    finish(&exchange);
}
END_TEST

START_TEST(what_is_under_way_is_cancelled_when_the_client_leaves)
{
    struct exchange *exchange =
        call("POST", "/messages", "{\"to\":[\"a:1~h.1\",\"b:2~g.2\"],\"message\":[[\"e\"]]}");
    cancelled = 0;
    exchange->abandon(exchange->state);
    ck_assert_uint_eq(cancelled, 2);
    finish(exchange);
    exchange = call("GET", "/status", "");
    exchange->abandon(exchange->state);
    ck_assert_uint_eq(cancelled, 3);
    finish(exchange);
}
END_TEST

START_TEST(a_relay_that_dies_or_is_out_of_memory_is_told)
{
    struct exchange *exchange =
        call("POST", "/messages", "{\"to\":\"a:1~h.1\",\"message\":[[\"e\"]]}");
    asked[0].done(asked[0].context, REQUEST_RELAY_DOWN, 0, SLICE_EMPTY);
    ck_assert_ptr_nonnull(strstr(buffer_bytes(&exchange->body), "\"outcome\":\"timedOut\""));
    finish(exchange);
    exchange = call("GET", "/status", "");
    asked[0].done(asked[0].context, REQUEST_RELAY_DOWN, 0, SLICE_EMPTY);
    expect_error(exchange, 503, "relayDown");
    no_memory = true;
    exchange = call("POST", "/messages", "{\"to\":\"a:1~h.1\",\"message\":[[\"e\"]]}");
    no_memory = false;
    ck_assert_ptr_nonnull(strstr(buffer_bytes(&exchange->body), "\"outcome\":\"overLimit\""));
    finish(exchange);
}
END_TEST

START_TEST(broadcast_and_status)
{
    struct buffer payload = {0}, figures = {0};
    struct exchange *exchange = call("POST", "/broadcast", "{\"message\":[[\"e\"]]}");
    ck_assert_int_eq(asked[0].operation, FRAME_BROADCAST_ALL);
    struct frame_broadcast_sent sent = {1000, 2, 1, 0};
    ck_assert_int_eq(put_broadcast_sent_fields(&payload, &sent), 0);
    answer(0, FRAME_BROADCAST_SENT, &payload);
    buffer_free(&payload);
    ck_assert_str_eq(buffer_bytes(&exchange->body),
                     "{\"queued\":1000,\"overLimit\":2,\"peers\":1,\"peersFailed\":0}\n");
    finish(exchange);

    exchange = call("GET", "/status", "");
    ck_assert_int_eq(put_slice(&figures, SLICE_LITERAL("accepted")) | put_u64(&figures, 5) |
                         put_slice(&figures, SLICE_LITERAL("pending")) | put_u64(&figures, 2),
                     0);
    struct frame_status status = {buffer_slice(&figures)};
    ck_assert_int_eq(put_status_fields(&payload, &status), 0);
    answer(0, FRAME_STATUS, &payload);
    ck_assert_str_eq(buffer_bytes(&exchange->body), "{\"accepted\":5,\"pending\":2}\n");
    buffer_free(&figures);
    buffer_free(&payload);
    finish(exchange);
}
END_TEST

START_TEST(this_host_and_its_peers)
{
    struct buffer run = {0}, record = {0}, payload = {0};
    struct peer_record up = {.id = SLICE_LITERAL("b:2"),
                             .uri = SLICE_LITERAL("tcp://10.0.0.2:2"),
                             .state = SLICE_LITERAL("up"),
                             .software = SLICE_LITERAL("0.1.0"),
                             .is_msgserver = 1,
                             .state_ms = 12999,
                             .heard_ms = 1020,
                             .rtt_us = 2034,
                             .received = 1,
                             .sent = 2,
                             .retried = 3,
                             .outbox_full = 4,
                             .lost = 5,
                             .malformed = 6,
                             .strangers = 7,
                             .unroutable = 8,
                             .outbox_count = 9,
                             .outbox_bytes = 10};
    struct peer_record met = {.id = SLICE_LITERAL("m:9"), .state = SLICE_LITERAL("unannounced")};
    ck_assert_int_eq(put_peer_record(&record, &up), 0);
    ck_assert_int_eq(put_slice(&run, buffer_slice(&record)), 0);
    buffer_clear(&record);
    ck_assert_int_eq(put_peer_record(&record, &met), 0);
    ck_assert_int_eq(put_slice(&run, buffer_slice(&record)), 0);
    struct frame_peer_reports reports = {.id = SLICE_LITERAL("a:1"),
                                         .bind_host = SLICE_LITERAL("*"),
                                         .port = 15001,
                                         .game = SLICE_LITERAL("my \"game\""),
                                         .version = SLICE_LITERAL("1.2.3"),
                                         .software = SLICE_LITERAL("0.1.0"),
                                         .peers = buffer_slice(&run)};
    ck_assert_int_eq(put_peer_reports_fields(&payload, &reports), 0);
    struct exchange *exchange = call("GET", "/peers", "");
    ck_assert_int_eq(asked[0].operation, FRAME_READ_PEERS);
    ck_assert_str_eq(asked[0].home, "");
    answer(0, FRAME_PEER_REPORTS, &payload);
    ck_assert_str_eq(
        buffer_bytes(&exchange->body),
        "{\"host\":{\"clusterId\":\"a:1\",\"bind\":\"tcp://*:15001\",\"game\":\"my \\\"game\\\"\","
        "\"version\":\"1.2.3\",\"software\":\"0.1.0\"},\"peers\":["
        "{\"clusterId\":\"b:2\",\"uri\":\"tcp://10.0.0.2:2\",\"state\":\"up\",\"seconds\":12,"
        "\"heardSeconds\":1.020,\"rttMs\":2.034,\"kind\":\"msgserver\",\"software\":\"0.1.0\","
        "\"received\":1,\"sent\":2,\"retried\":3,\"dropped\":{\"outboxFull\":4,\"lost\":5,"
        "\"malformed\":6,\"strangers\":7,\"unroutable\":8},\"outbox\":{\"count\":9,\"bytes\":10}},"
        "{\"clusterId\":\"m:9\",\"uri\":null,\"state\":\"unannounced\",\"seconds\":0,"
        "\"heardSeconds\":0.000,\"rttMs\":null,\"kind\":\"mage\",\"software\":null,"
        "\"received\":0,\"sent\":0,\"retried\":0,\"dropped\":{\"outboxFull\":0,\"lost\":0,"
        "\"malformed\":0,\"strangers\":0,\"unroutable\":0},\"outbox\":{\"count\":0,\"bytes\":0}}]}"
        "\n");
    finish(exchange);

    /* Without a mesh; and what makes no sense. */
    reports.port = 0;
    reports.peers = SLICE_EMPTY;
    buffer_clear(&payload);
    ck_assert_int_eq(put_peer_reports_fields(&payload, &reports), 0);
    exchange = call("GET", "/peers", "");
    answer(0, FRAME_PEER_REPORTS, &payload);
    ck_assert_ptr_nonnull(strstr(buffer_bytes(&exchange->body), "\"bind\":null,"));
    ck_assert_ptr_nonnull(strstr(buffer_bytes(&exchange->body), "\"peers\":[]}\n"));
    finish(exchange);
    exchange = call("GET", "/peers", "");
    reports.peers = SLICE_LITERAL("\1\0\0\0x");
    buffer_clear(&payload);
    ck_assert_int_eq(put_peer_reports_fields(&payload, &reports), 0);
    answer(0, FRAME_PEER_REPORTS, &payload);
    ck_assert_uint_eq(exchange->status, 503);
    finish(exchange);
    buffer_free(&run);
    buffer_free(&record);
    buffer_free(&payload);
}
END_TEST

/* A reply can come from another host. */
START_TEST(answers_that_make_no_sense_are_host_gone)
{
    struct buffer figures = {0}, payload = {0};
    struct frame_status status = {buffer_slice(&figures)};
    ck_assert_int_eq(put_status_fields(&payload, &status), 0);
    struct exchange *exchange = call("GET", "/sessions/bob:AbCd~e2dd.15001", "");
    answer(0, FRAME_STATUS, &payload);
    expect_error(exchange, 502, "hostGone");
    exchange = call("POST", "/messages", "{\"to\":\"a:1~h.1\",\"message\":[[\"e\"]]}");
    answer(0, FRAME_STATUS, &payload);
    ck_assert_ptr_nonnull(strstr(buffer_bytes(&exchange->body), "\"outcome\":\"hostGone\""));
    finish(exchange);
    buffer_free(&payload);

    struct recipient_result result = {
        .outcome = OUTCOME_QUEUED, .first_id = 1, .count = UINT32_MAX};
    ck_assert_int_eq(put_recipient_result(&figures, &result), 0);
    struct frame_sent sent = {buffer_slice(&figures)};
    ck_assert_int_eq(put_sent_fields(&payload, &sent), 0);
    exchange = call("POST", "/messages", "{\"to\":\"a:1~h.1\",\"message\":[[\"e\"]]}");
    answer(0, FRAME_SENT, &payload);
    ck_assert_ptr_nonnull(strstr(buffer_bytes(&exchange->body), "\"outcome\":\"hostGone\""));
    finish(exchange);
    buffer_free(&figures);
    buffer_free(&payload);
}
END_TEST

START_TEST(a_token_is_demanded_when_needed)
{
    static const struct {
        const char *authorization;
        unsigned status;
    } CASES[] = {{"", 401},
                 {"Bearer", 401},
                 {"Bearer wrong!", 401},
                 {"Bearer secret1x", 401},
                 {"Basic secret1", 401},
                 {"Bearer secret1", 200},
                 {"bearer secret1", 200}};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        static struct exchange exchange;
        exchange = (struct exchange){.needs_token = true};
        ck_assert_int_eq(settings_init(&exchange.settings), 0);
        const struct setting_row *row = setting_row_find("derived.backendToken");
        ck_assert_int_eq(setting_set(&exchange.settings, row, SLICE_LITERAL("secret1")), 0);
        exchange.request.method = SLICE_LITERAL("GET");
        exchange.request.path = SLICE_LITERAL("/config");
        exchange.request.authorization = slice_from_string(CASES[i].authorization);
        backend_api_handle(&exchange);
        ck_assert_uint_eq(exchange.status, CASES[i].status);
        if (exchange.status == 401)
            ck_assert_str_eq(exchange.extra, "WWW-Authenticate: Bearer\r\n");
        finish(&exchange);
    }
}
END_TEST

static const struct {
    const char *method, *path, *body;
    unsigned status;
    const char *code;
} BAD_CALLS[] = {
    {"GET", "/", "", 404, "notFound"},
    {"GET", "/nothing", "", 404, "notFound"},
    {"GET", "/sessions/", "", 404, "notFound"},
    {"POST", "/messages/", "", 404, "notFound"},
    {"GET", "/sessions", "", 405, "methodNotAllowed"},
    {"PUT", "/sessions/bob:k", "", 405, "methodNotAllowed"},
    {"GET", "/messages", "", 405, "methodNotAllowed"},
    {"GET", "/broadcast", "", 405, "methodNotAllowed"},
    {"POST", "/status", "", 405, "methodNotAllowed"},
    {"POST", "/sessions", "", 400, "badJson"},
    {"POST", "/sessions", "{", 400, "badJson"},
    {"POST", "/sessions", "{\"actorId\":\"a\",\"actorId\":\"b\"}", 400, "badJson"},
    {"POST", "/sessions", "[]", 400, "badRequest"},
    {"POST", "/sessions", "\"bob\"", 400, "badJson"},
    {"POST", "/sessions", "{}", 400, "badRequest"},
    {"POST", "/sessions", "{\"actorId\":\"\"}", 400, "badRequest"},
    {"POST", "/sessions", "{\"actorId\":5}", 400, "badRequest"},
    {"POST", "/sessions", "{\"actorId\":null}", 400, "badRequest"},
    {"POST", "/sessions", "{\"actorId\":\"a\\nb\"}", 400, "badRequest"},
    {"POST", "/sessions", "{\"actor\":\"bob\"}", 400, "badRequest"},
    {"POST", "/sessions", "{\"actorId\":\"a\",\"ttl\":0}", 400, "badRequest"},
    {"POST", "/sessions", "{\"actorId\":\"a\",\"ttl\":-5}", 400, "badRequest"},
    {"POST", "/sessions", "{\"actorId\":\"a\",\"ttl\":1.5}", 400, "badRequest"},
    {"POST", "/sessions", "{\"actorId\":\"a\",\"ttl\":\"soon\"}", 400, "badRequest"},
    {"POST", "/sessions", "{\"actorId\":\"a\",\"ttl\":99999999999}", 400, "badRequest"},
    {"POST", "/sessions", "{\"actorId\":\"a\",\"key\":\"x y\"}", 400, "badRequest"},
    {"POST", "/sessions", "{\"actorId\":\"a\",\"key\":\"\"}", 400, "badRequest"},
    {"POST", "/sessions", "{\"actorId\":\"a\",\"key\":\"x~y\"}", 400, "badRequest"},
    {"POST", "/sessions", "{\"actorId\":\"a\",\"home\":\"h:1\"}", 400, "badRequest"},
    {"POST", "/sessions", "{\"actorId\":\"a\",\"key\":\"k\",\"home\":\"h\"}", 400, "badRequest"},
    {"GET", "/sessions/bob", "", 400, "invalidSessionKey"},
    {"GET", "/sessions/bob%3", "", 400, "invalidSessionKey"},
    {"GET", "/sessions/bob:k~", "", 400, "invalidSessionKey"},
    {"DELETE", "/sessions/%00:k", "", 400, "invalidSessionKey"},
    {"POST", "/messages", "", 400, "badJson"},
    {"POST", "/messages", "{\"to\":\"a:1\"", 400, "badJson"},
    {"POST", "/messages", "{\"to\":\"a:1\",\"message\":[[\"e\"]]} x", 400, "badJson"},
    {"POST", "/messages", "[]", 400, "badRequest"},
    {"POST", "/messages", "{}", 400, "badRequest"},
    {"POST", "/messages", "{\"message\":[[\"e\"]]}", 400, "badRequest"},
    {"POST", "/messages", "{\"to\":\"a:1\"}", 400, "badRequest"},
    {"POST", "/messages", "{\"to\":5,\"message\":[[\"e\"]]}", 400, "badRequest"},
    {"POST", "/messages", "{\"to\":[],\"message\":[[\"e\"]]}", 400, "badRequest"},
    {"POST", "/messages", "{\"to\":[\"a:1\",null],\"message\":[[\"e\"]]}", 400, "badRequest"},
    {"POST", "/messages", "{\"to\":\"a:1\",\"to\":\"b:1\",\"message\":[]}", 400, "badRequest"},
    {"POST", "/messages", "{\"to\":\"a:1\",\"messages\":[]}", 400, "badRequest"},
    {"POST", "/messages", "{\"to\":\"a:1\",\"messages\":{}}", 400, "badRequest"},
    {"POST", "/messages", "{\"to\":\"a:1\",\"message\":[],\"messages\":[[]]}", 400, "badRequest"},
    {"POST", "/messages", "{\"to\":\"a:1\",\"message\":\"text\"}", 400, "badMessage"},
    {"POST", "/messages", "{\"to\":\"a:1\",\"message\":[\"e\"]}", 400, "badMessage"},
    {"POST", "/messages", "{\"to\":\"a:1\",\"message\":[[1]]}", 400, "badMessage"},
    {"POST", "/messages", "{\"to\":\"a:1\",\"message\":[[\"e\",1,2]]}", 400, "badMessage"},
    {"POST", "/messages", "{\"to\":\"a:1\",\"messages\":[[[\"e\"]],7]}", 400, "badMessage"},
    {"POST", "/messages", "{\"to\":\"a:1\",\"message\":[[\"\xff\"]]}", 400, "badJson"},
    {"POST", "/messages", "{\"to\":\"a:1\",\"massage\":[[\"e\"]]}", 400, "badRequest"},
    {"POST", "/broadcast", "", 400, "badJson"},
    {"POST", "/broadcast", "{\"to\":\"a:1\",\"message\":[[\"e\"]]}", 400, "badRequest"},
    {"POST", "/broadcast", "{\"message\":{}}", 400, "badMessage"},
};

START_TEST(bad_calls_get_a_clear_error)
{
    for (size_t i = 0; i < sizeof BAD_CALLS / sizeof *BAD_CALLS; i++) {
        struct exchange *exchange = call(BAD_CALLS[i].method, BAD_CALLS[i].path, BAD_CALLS[i].body);
        ck_assert_msg(exchange->status != 0, "no answer to %s %s %s", BAD_CALLS[i].method,
                      BAD_CALLS[i].path, BAD_CALLS[i].body);
        ck_assert_uint_eq(asked_count, 0);
        expect_error(exchange, BAD_CALLS[i].status, BAD_CALLS[i].code);
    }
}
END_TEST

START_TEST(a_message_above_the_limit_is_refused)
{
    size_t len = 70000;
    char *body = malloc(len + 64);
    int at = sprintf(body, "{\"to\":\"a:1\",\"message\":[[\"e\",\"");
    memset(body + at, 'x', len);
    strcpy(body + at + len, "\"]]}");
    expect_error(call("POST", "/messages", body), 413, "messageTooLarge");
    free(body);
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, a_session_is_created);
    tcase_add_test(cases, an_adopted_session_has_a_key_without_home);
    tcase_add_test(cases, a_session_tells_where_its_client_is);
    tcase_add_test(cases, a_home_that_does_not_understand_is_said);
    tcase_add_test(cases, a_session_is_read_and_deleted_at_its_home);
    tcase_add_test(cases, recipients_are_split_by_home_and_answered_in_order);
    tcase_add_test(cases, ndjson_answers_line_by_line);
    tcase_add_test(cases, what_is_under_way_is_cancelled_when_the_client_leaves);
    tcase_add_test(cases, a_relay_that_dies_or_is_out_of_memory_is_told);
    tcase_add_test(cases, broadcast_and_status);
    tcase_add_test(cases, this_host_and_its_peers);
    tcase_add_test(cases, answers_that_make_no_sense_are_host_gone);
    tcase_add_test(cases, a_token_is_demanded_when_needed);
    tcase_add_test(cases, bad_calls_get_a_clear_error);
    tcase_add_test(cases, a_message_above_the_limit_is_refused);
}

UNIT_MAIN("backend_api", add_tests)
