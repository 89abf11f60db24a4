/* GET /receipts: what became of messages, as a stream of events, or as a list that may be waited
 * for. Either way the relay of their home is asked again and again: in its order, from where this
 * reader stands, and only while what was read before is being taken. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/units.h"
#include "codecs/http_response.h"
#include "codecs/query_string.h"
#include "workers/client/backend/api.h"
#include "workers/client/connection.h"
#include "workers/client/http_answer.h"

enum {
    LIST_DEFAULT = 100,
    LIST_MAX = 1000,
    WAIT_MAX_MS = 30000,
    /* A stream of which nothing was taken for so long is closed. */
    STALLED_LIMIT_MS = 60000,
    CURSOR_ROOM = 40,
};

struct receipt_reader {
    struct connection *connection;
    bool is_stream;
    uint64_t request;      /* under way; 0: none */
    uint64_t epoch, after; /* where it stands; epoch 0: before the oldest */
    uint32_t limit;
    uint64_t wait_until_ms; /* a list that is empty is not answered before; monotonic */
    uint64_t written_ms;    /* a stream: when something was put into it last */
    uint64_t taken_ms;      /* and when its reader took something */
    char home[CLUSTER_ID_MAX + 1];
};

/* --- the request ------------------------------------------------------------------------------ */

/* "<epoch in hexadecimal>-<number>" */
static bool read_cursor(struct slice text, struct receipt_reader *reader)
{
    char copy[CURSOR_ROOM], *end;
    if (text.len == 0 || text.len >= sizeof copy || text.data[0] == '-' || text.data[0] == ' ')
        return false;
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    reader->epoch = strtoull(copy, &end, 16);
    return *end == '-' && reader->epoch != 0 &&
           parse_u64(slice_from_string(end + 1), &reader->after) == 0;
}

static int format_cursor(uint64_t epoch, uint64_t number, char text[CURSOR_ROOM])
{
    return snprintf(text, CURSOR_ROOM, "%" PRIx64 "-%" PRIu64, epoch, number);
}

static bool read_limit(struct slice text, struct receipt_reader *reader)
{
    uint64_t limit;
    if (parse_u64(text, &limit) != 0 || limit == 0 || limit > LIST_MAX)
        return false;
    reader->limit = (uint32_t)limit;
    return true;
}

static bool read_wait(struct slice text, struct receipt_reader *reader)
{
    uint64_t wait_ms;
    if (parse_duration(text, 1000, &wait_ms) != 0 || wait_ms > WAIT_MAX_MS)
        return false;
    reader->wait_until_ms = clock_monotonic_ms() + wait_ms;
    return true;
}

static bool read_home(struct slice text, struct receipt_reader *reader)
{
    if (!cluster_id_is_valid(text))
        return false;
    memcpy(reader->home, text.data, text.len);
    reader->home[text.len] = '\0';
    return true;
}

static const struct {
    const char *name;
    bool (*read)(struct slice text, struct receipt_reader *reader);
    const char *expected;
} PARAMETERS[] = {
    {"after", read_cursor, "the cursor of a receipt that was read before, as it was given"},
    {"limit", read_limit, "a number from 1 to 1000"},
    {"wait", read_wait, "a duration up to 30 seconds"},
    {"home", read_home, "a cluster ID, like e2dd6de0a6166a3f:15001"},
};
enum { PARAMETER_COUNT = sizeof PARAMETERS / sizeof *PARAMETERS };

/* Answers and returns false when something is wrong. */
static bool read_parameter(struct exchange *exchange, const struct query_parameter *parameter,
                           struct receipt_reader *reader)
{
    char value[CLUSTER_ID_MAX + 1];
    size_t i = 0;
    while (i < PARAMETER_COUNT && !query_name_is(parameter, PARAMETERS[i].name))
        i++;
    if (i == PARAMETER_COUNT) {
        answer_error(exchange, API_BAD_REQUEST,
                     "Unknown parameter in the query; accepted are after, limit, wait and home.");
        return false;
    }
    long len = query_decode_into(parameter->value, value, sizeof value);
    if (len >= 0 && PARAMETERS[i].read(slice_of(value, (size_t)len), reader))
        return true;
    answer_error(exchange, API_BAD_REQUEST, "\"%s\" must be %s.", PARAMETERS[i].name,
                 PARAMETERS[i].expected);
    return false;
}

static bool read_request(struct exchange *exchange, struct receipt_reader *reader)
{
    const struct exchange_request *request = exchange_request_of(exchange);
    struct slice query = request->query;
    struct query_parameter parameter;
    while (query_next(&query, &parameter))
        if (!read_parameter(exchange, &parameter, reader))
            return false;
    if (request->last_event_id.len > 0 && !read_cursor(request->last_event_id, reader)) {
        answer_error(exchange, API_BAD_REQUEST, "Last-Event-ID is not the cursor of a receipt.");
        return false;
    }
    reader->is_stream = memmem(request->accept.data ? request->accept.data : "",
                               request->accept.len, "text/event-stream", 17) != NULL;
    return true;
}

/* --- what is read ----------------------------------------------------------------------------- */

static int put_receipt(struct buffer *out, const struct frame_receipts *answer, uint64_t number,
                       struct slice record)
{
    struct receipt receipt;
    char key[SESSION_KEY_MAX + 1], cursor[CURSOR_ROOM];
    if (get_receipt_record(record, &receipt) != 0)
        return -1;
    size_t key_len = session_key_format(receipt.address, answer->home, key);
    format_cursor(answer->epoch, number, cursor);
    return buffer_printf(out, "{\"cursor\":\"%s\",\"receipt\":", cursor) != 0 ||
                   put_json_string(out, receipt.tag) != 0 ||
                   buffer_append_string(out, ",\"to\":") != 0 ||
                   put_json_string(out, slice_of(key, key_len)) != 0 ||
                   buffer_printf(out,
                                 ",\"id\":%" PRIu64
                                 ",\"outcome\":\"%s\",\"sent\":%s,\"at\":%" PRIu64 "}",
                                 receipt.id, settlement_code((enum settlement)receipt.settlement),
                                 receipt.sent ? "true" : "false", receipt.at_ms) != 0
               ? -1
               : 0;
}

/* A number; or null when it is not known how many, because the store was lost. */
static int put_lost(struct buffer *out, const struct frame_receipts *answer)
{
    return answer->restarted ? buffer_append_string(out, "null")
                             : buffer_append_u64(out, answer->lost);
}

/* Each receipt in its turn, and the reader stands behind the last one. */
static int put_all(struct buffer *out, const struct frame_receipts *answer,
                   struct receipt_reader *reader, const char *separator)
{
    struct frame_reader records = reader_of(answer->receipts);
    uint64_t number = answer->first;
    int failed = 0;
    for (; reader_left(&records) > 0 && failed == 0; number++) {
        char cursor[CURSOR_ROOM];
        format_cursor(answer->epoch, number, cursor);
        if (reader->is_stream)
            failed = buffer_printf(out, "id: %s\nevent: receipt\ndata: ", cursor);
        else if (number > answer->first)
            failed = buffer_append_string(out, separator);
        failed = failed || put_receipt(out, answer, number, get_slice(&records)) != 0 ||
                 (reader->is_stream && buffer_append_string(out, separator) != 0);
    }
    reader->epoch = answer->epoch;
    reader->after = number - 1;
    return failed || reader_finish(&records) != 0 ? -1 : 0;
}

static int put_list(struct buffer *out, const struct frame_receipts *answer,
                    struct receipt_reader *reader)
{
    char cursor[CURSOR_ROOM];
    if (buffer_append_string(out, "{\"receipts\":[") != 0 || put_all(out, answer, reader, ",") != 0)
        return -1;
    format_cursor(reader->epoch, reader->after, cursor);
    return buffer_printf(out, "],\"cursor\":\"%s\",\"lost\":", cursor) != 0 ||
                   put_lost(out, answer) != 0 || buffer_append_string(out, "}\n") != 0
               ? -1
               : 0;
}

static int put_events(struct buffer *out, const struct frame_receipts *answer,
                      struct receipt_reader *reader)
{
    if ((answer->restarted || answer->lost > 0) &&
        (buffer_append_string(out, "event: lost\ndata: {\"count\":") != 0 ||
         put_lost(out, answer) != 0 || buffer_append_string(out, "}\n\n") != 0))
        return -1;
    return put_all(out, answer, reader, "\n\n");
}

/* --- asking ----------------------------------------------------------------------------------- */

static void ask(struct receipt_reader *reader);

static void answer_list(struct receipt_reader *reader, unsigned status, struct buffer *body)
{
    struct connection *connection = reader->connection;
    connection->role.receipts = NULL;
    free(reader);
    http_answer(connection, status, JSON_TYPE, buffer_slice(body), NO_HEADERS);
}

static void answer_failed(struct receipt_reader *reader, enum request_failure failure)
{
    static const struct {
        unsigned status;
        enum api_error error;
        const char *sentence;
    } ANSWERS[] = {
        [REQUEST_RELAY_DOWN] = {503, API_RELAY_DOWN,
                                "The relay is restarting; try again in a second."},
        [REQUEST_TIMED_OUT] = {504, API_TIMED_OUT, "The home did not answer in time."},
        [REQUEST_NO_MEMORY] = {503, API_NO_MEMORY, "Out of memory; nothing was done."},
    };
    struct buffer body = {0};
    bool gone = failure == REQUEST_ANSWERED; /* with something else than receipts */
    if (buffer_printf(&body, "{\"error\":{\"code\":\"%s\",\"message\":\"%s\"}}\n",
                      gone ? outcome_code(OUTCOME_HOST_GONE)
                           : api_error_code(ANSWERS[failure].error),
                      gone ? "The host that \\\"home\\\" names cannot be reached."
                           : ANSWERS[failure].sentence) == 0)
        answer_list(reader, gone ? 502 : ANSWERS[failure].status, &body);
    else
        connection_wrote(reader->connection, true);
    buffer_free(&body);
}

static void take_list(struct receipt_reader *reader, const struct frame_receipts *answer)
{
    bool empty = answer->receipts.len == 0 && answer->lost == 0 && !answer->restarted;
    if (empty && clock_monotonic_ms() < reader->wait_until_ms) {
        connection_set_deadline(reader->connection, DEADLINE_RECEIPTS);
        return;
    }
    struct buffer body = {0};
    if (put_list(&body, answer, reader) == 0)
        answer_list(reader, 200, &body);
    else
        connection_wrote(reader->connection, true);
    buffer_free(&body);
}

/* Only once the home was heard of: until then an error is an answer like any other. */
static bool start_stream(struct connection *connection)
{
    connection->keep_alive = false;
    connection_enter(connection, CONNECTION_STREAMING);
    return connection_wrote(connection,
                            http_answer_head(connection, 200, "text/event-stream", HTTP_NO_LENGTH,
                                             "cache-control: no-cache\r\n") != 0);
}

static void take_events(struct receipt_reader *reader, const struct frame_receipts *answer)
{
    struct connection *connection = reader->connection;
    bool empty = answer->receipts.len == 0;
    if (connection->state != CONNECTION_STREAMING && !start_stream(connection))
        return;
    if (!connection->blocked) /* it took all there was: what it is given now may take its time */
        reader->taken_ms = clock_monotonic_ms();
    size_t before = buffer_len(&connection->out);
    int failed = put_events(&connection->out, answer, reader);
    if (buffer_len(&connection->out) > before)
        reader->written_ms = clock_monotonic_ms();
    if (!connection_wrote(connection, failed != 0))
        return;
    if (empty || connection_is_congested(connection))
        connection_set_deadline(connection, DEADLINE_RECEIPTS);
    else
        ask(reader);
}

static void on_reply(void *context, enum request_failure failure, uint16_t operation,
                     struct slice payload)
{
    struct receipt_reader *reader = context;
    struct frame_receipts answer;
    reader->request = 0;
    bool sound = failure == REQUEST_ANSWERED && operation == FRAME_RECEIPTS &&
                 get_receipts(payload, &answer) == 0;
    bool may_wait = reader->connection->state == CONNECTION_STREAMING ||
                    clock_monotonic_ms() < reader->wait_until_ms;
    if (!sound && may_wait)
        connection_set_deadline(reader->connection, DEADLINE_RECEIPTS); /* it may come back */
    else if (!sound)
        answer_failed(reader, failure);
    else if (reader->is_stream)
        take_events(reader, &answer);
    else
        take_list(reader, &answer);
}

static void ask(struct receipt_reader *reader)
{
    struct connection *connection = reader->connection;
    struct buffer payload = {0};
    struct frame_read_receipts read = {reader->epoch, reader->after, reader->limit};
    if (put_read_receipts_fields(&payload, &read) == 0)
        reader->request =
            relay_link_request(connection->worker->relay, slice_from_string(reader->home),
                               FRAME_READ_RECEIPTS, buffer_slice(&payload), on_reply, reader);
    buffer_free(&payload);
    if (reader->request == 0)
        connection_set_deadline(connection, DEADLINE_RECEIPTS);
}

static void on_deadline(struct receipt_reader *reader)
{
    struct connection *connection = reader->connection;
    uint64_t now_ms = clock_monotonic_ms();
    if (reader->is_stream && connection->blocked && now_ms >= reader->taken_ms + STALLED_LIMIT_MS) {
        connection_close(connection);
        return;
    }
    if (connection->state == CONNECTION_STREAMING &&
        now_ms >= reader->written_ms + connection->worker->settings.sse_heartbeat) {
        reader->written_ms = now_ms;
        if (!connection_wrote(connection, buffer_append_string(&connection->out, ":\n\n") != 0))
            return;
    }
    if (connection_is_congested(connection))
        connection_set_deadline(connection, DEADLINE_RECEIPTS);
    else if (reader->request == 0)
        ask(reader);
}

/* A list is answered with what there is; a stream ends, and goes on elsewhere. */
static void on_stop(struct receipt_reader *reader)
{
    if (reader->connection->state == CONNECTION_STREAMING)
        connection_finish(reader->connection);
    else
        reader->wait_until_ms = 0;
}

static void let_go(struct receipt_reader *reader)
{
    if (reader->request != 0)
        relay_link_cancel(reader->connection->worker->relay, reader->request);
    reader->connection->role.receipts = NULL;
    free(reader);
}

static void handle_event(struct connection *connection, enum connection_event event,
                         struct slice input)
{
    struct receipt_reader *reader = connection->role.receipts;
    switch (event) {
    case CONNECTION_INPUT:
        if (connection->state == CONNECTION_WAITING)
            connection_keep_input(connection, input);
        break;
    case CONNECTION_EOF:
        if (connection->state == CONNECTION_STREAMING)
            connection_close(connection);
        break;
    case CONNECTION_SENT:
        if (reader)
            reader->taken_ms = clock_monotonic_ms();
        break;
    case CONNECTION_DEADLINE:
        if (reader)
            on_deadline(reader);
        break;
    case CONNECTION_STOP:
        if (reader)
            on_stop(reader);
        break;
    case CONNECTION_GONE:
        if (reader)
            let_go(reader);
        break;
    case CONNECTION_EVENTS:
        break;
    }
}

void receipts_read(struct exchange *exchange, struct slice rest)
{
    (void)rest;
    struct receipt_reader *reader = calloc(1, sizeof *reader);
    if (!reader) {
        answer_failure(exchange, REQUEST_NO_MEMORY);
        return;
    }
    reader->limit = LIST_DEFAULT;
    if (!read_request(exchange, reader)) {
        free(reader);
        return;
    }
    struct connection *connection = exchange_leave(exchange);
    reader->connection = connection;
    reader->written_ms = reader->taken_ms = clock_monotonic_ms();
    connection->role.receipts = reader;
    connection->handler = handle_event;
    ask(reader);
}
