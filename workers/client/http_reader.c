#include "workers/client/http_reader.h"

#include <stdlib.h>

#include "base/invariant.h"
#include "codecs/http_request.h"
#include "workers/client/backend/exchange.h"
#include "workers/client/backend/exchange_start.h"
#include "workers/client/client_listener.h"
#include "workers/client/http_answer.h"

/* A request whose body is arriving. */
struct pending_request {
    struct buffer head;
    struct buffer body; /* of a backend; a client's is thrown away */
    struct http_body decoder;
};

static void free_pending(struct connection *connection)
{
    struct pending_request *pending = connection->role.pending;
    connection->role.pending = NULL;
    if (!pending)
        return;
    buffer_free(&pending->head);
    buffer_free(&pending->body);
    free(pending);
}

/* False once the connection ends or belongs to a stream: no request follows. */
static bool takes_requests(const struct connection *connection)
{
    return connection->state == CONNECTION_HEAD || connection->state == CONNECTION_BODY ||
           connection->state == CONNECTION_WAITING;
}

/* --- bodies --------------------------------------------------------------------------------- */

/* The request is whole. Its head is parsed anew, because its bytes have moved meanwhile. */
static void body_done(struct connection *connection)
{
    struct pending_request pending = *connection->role.pending;
    free(connection->role.pending);
    connection->role.pending = NULL;
    struct http_request request;
    enum http_error error;
    size_t len = buffer_len(&pending.head);
    INVARIANT(http_request_parse(buffer_slice(&pending.head), len, &request, &error) == (long)len,
              "a request head that can be parsed only once");
    if (connection->is_backend) {
        exchange_start(connection, &request, buffer_slice(&pending.body), &pending.head,
                       &pending.body);
        return;
    }
    client_listener_handle(connection, &request);
    buffer_free(&pending.head);
}

/* Takes bytes of the body from the front of `*input`. */
static void feed_body(struct connection *connection, struct slice *input)
{
    struct pending_request *pending = connection->role.pending;
    enum http_body_progress progress = HTTP_BODY_MORE;
    enum http_error error = HTTP_OK;
    while (progress == HTTP_BODY_MORE && input->len > 0) {
        struct slice decoded = SLICE_EMPTY;
        progress = http_body_feed(&pending->decoder, input, &decoded, &error);
        if (connection->is_backend && buffer_append_slice(&pending->body, decoded) != 0) {
            connection_wrote(connection, true);
            return;
        }
    }
    if (progress == HTTP_BODY_DONE) {
        body_done(connection);
    } else if (progress == HTTP_BODY_ERROR) {
        free_pending(connection);
        http_answer_error(connection, error);
    } else {
        connection_set_deadline(connection, DEADLINE_HEADER);
    }
}

/* Keeps a copy of the head: its bytes leave the input before the body is whole. */
static int set_pending(struct connection *connection, const struct pending_request *start,
                       size_t head_len)
{
    struct pending_request *pending = malloc(sizeof *pending);
    connection->role.pending = pending;
    if (!pending)
        return -1;
    *pending = *start;
    return buffer_append(&pending->head, buffer_bytes(&connection->in), head_len);
}

static void start_body(struct connection *connection, const struct http_request *request,
                       const struct pending_request *start, size_t head_len)
{
    bool failed = set_pending(connection, start, head_len) != 0;
    if (!failed && request->expects_continue && buffer_len(&connection->in) == head_len)
        failed = buffer_append_string(&connection->out, "HTTP/1.1 100 Continue\r\n\r\n") != 0;
    if (!connection_wrote(connection, failed))
        return;
    connection_enter(connection, CONNECTION_BODY);
    buffer_consume(&connection->in, head_len);
}

/* --- heads ---------------------------------------------------------------------------------- */

/* Whoever has the connection now reads the bytes behind the head as its own. */
static void hand_over(struct connection *connection)
{
    struct buffer rest = connection->in;
    connection->in = (struct buffer){0};
    if (buffer_len(&rest) > 0)
        connection->handler(connection, CONNECTION_INPUT, buffer_slice(&rest));
    buffer_free(&rest);
}

/* A backend's request that is all there: its bytes go on where they are. */
static void handle_whole(struct connection *connection, const struct http_request *request,
                         size_t head_len)
{
    struct buffer bytes = connection->in;
    struct slice body = slice_of(buffer_bytes(&bytes) + head_len, (size_t)request->content_length);
    struct slice next = slice_of(body.data + body.len, buffer_len(&bytes) - head_len - body.len);
    connection->in = (struct buffer){0};
    if (next.len > 0)
        connection_keep_input(connection, next);
    if (connection->state == CONNECTION_CLOSED)
        buffer_free(&bytes);
    else
        exchange_start(connection, request, body, &bytes, NULL);
}

static void handle_bodiless(struct connection *connection, const struct http_request *request,
                            size_t head_len)
{
    if (connection->is_backend) {
        handle_whole(connection, request, head_len);
        return;
    }
    client_listener_handle(connection, request);
    if (connection->state == CONNECTION_CLOSED)
        return;
    buffer_consume(&connection->in, head_len);
    if (connection->state == CONNECTION_STREAMING || connection->state == CONNECTION_CLOSING)
        hand_over(connection);
}

/* Said before the body, or strangers could have us keep as many large ones as they like. */
static bool is_stranger(const struct connection *connection, const struct http_request *request)
{
    return connection->is_backend && !connection->over_unix_socket &&
           !backend_api_authorizes(&connection->worker->settings,
                                   http_request_field(request, "authorization"));
}

static void refuse_stranger(struct connection *connection)
{
    connection->keep_alive = false;
    http_answer(
        connection, 401, JSON_TYPE,
        SLICE_LITERAL("{\"error\":{\"code\":\"unauthorized\",\"message\":\"Send the token of "
                      "server.backendHost.tokenFile.\"}}\n"),
        "WWW-Authenticate: Bearer\r\n");
}

static void handle_head(struct connection *connection, const struct http_request *request,
                        size_t head_len)
{
    const struct settings *settings = &connection->worker->settings;
    struct pending_request start = {0};
    enum http_error error;
    connection->keep_alive = request->keep_alive;
    connection->http_1_0 = request->is_http_1_0;
    connection->head_only = slice_equals_string(request->method, "HEAD");
    uint64_t max = connection->is_backend ? settings->limit_backend_body_bytes : CLIENT_BODY_MAX;
    switch (http_body_start(&start.decoder, request, max, &error)) {
    case HTTP_BODY_ERROR:
        http_answer_error(connection, error);
        break;
    case HTTP_BODY_MORE:
        if (is_stranger(connection, request))
            refuse_stranger(connection);
        else if (connection->is_backend && !request->chunked &&
                 buffer_len(&connection->in) - head_len >= request->content_length)
            handle_whole(connection, request, head_len);
        else
            start_body(connection, request, &start, head_len);
        break;
    case HTTP_BODY_DONE:
        handle_bodiless(connection, request, head_len);
        break;
    }
}

/* Returns false when more bytes are needed. */
static bool process_head(struct connection *connection)
{
    struct http_request request;
    enum http_error error;
    long len =
        http_request_parse(buffer_slice(&connection->in),
                           connection->worker->settings.limit_header_bytes, &request, &error);
    if (len < 0) {
        connection->head_only = false;
        http_answer_error(connection, error);
    } else if (len > 0) {
        handle_head(connection, &request, (size_t)len);
    }
    return len != 0;
}

static void process_body(struct connection *connection)
{
    struct buffer taken = connection->in;
    connection->in = (struct buffer){0};
    struct slice rest = buffer_slice(&taken);
    feed_body(connection, &rest);
    if (takes_requests(connection))
        connection_keep_input(connection, rest);
    buffer_free(&taken);
}

/* Handles what is in `in`, until bytes are missing or an answer must be awaited. */
static void process(struct connection *connection)
{
    bool more = true;
    while (more && buffer_len(&connection->in) > 0) {
        if (connection->state == CONNECTION_HEAD && !connection_is_congested(connection))
            more = process_head(connection);
        else if (connection->state == CONNECTION_BODY)
            process_body(connection);
        else
            more = false;
    }
}

/* A head that arrives in small pieces is parsed once per line, not once per piece. Its first bytes
 * are looked at in any case: who speaks TLS here, say, sends no line and waits for an answer. */
static bool is_worth_parsing(const struct connection *connection, struct slice input)
{
    return buffer_len(&connection->in) == 0 || memchr(input.data, '\n', input.len) ||
           buffer_len(&connection->in) + input.len >=
               connection->worker->settings.limit_header_bytes;
}

static void on_input(struct connection *connection, struct slice input)
{
    if (connection->state == CONNECTION_BODY)
        feed_body(connection, &input);
    if (!takes_requests(connection) || input.len == 0)
        return;
    bool worth_parsing = is_worth_parsing(connection, input);
    connection_keep_input(connection, input);
    if (worth_parsing)
        process(connection);
}

static void on_deadline(struct connection *connection)
{
    if (connection->state == CONNECTION_HEAD && buffer_len(&connection->in) == 0) {
        connection_close(connection);
        return;
    }
    free_pending(connection);
    connection->keep_alive = false;
    connection->head_only = false;
    http_answer_text(connection, 408, "The request did not arrive in time");
}

/* Requests that arrived before it are still answered. */
static void on_sent(struct connection *connection)
{
    process(connection);
    if (connection->eof && connection->state == CONNECTION_HEAD &&
        !connection_is_congested(connection))
        connection_finish(connection);
}

void http_reader_handle(struct connection *connection, enum connection_event event,
                        struct slice input)
{
    switch (event) {
    case CONNECTION_INPUT:
        on_input(connection, input);
        break;
    case CONNECTION_EOF:
        if (connection->state == CONNECTION_BODY)
            connection_close(connection);
        else
            on_sent(connection);
        break;
    case CONNECTION_SENT:
        on_sent(connection);
        break;
    case CONNECTION_DEADLINE:
        on_deadline(connection);
        break;
    case CONNECTION_STOP:
        /* A request whose body is arriving gets its answer if it comes in time. Who is owed nothing
         * need not be waited for. */
        if (connection->state == CONNECTION_HEAD && buffer_len(&connection->out) == 0)
            connection_close(connection);
        else if (connection->state == CONNECTION_HEAD)
            connection_finish(connection);
        break;
    case CONNECTION_GONE:
        if (connection->role.pending)
            free_pending(connection);
        break;
    case CONNECTION_EVENTS:
        break;
    }
}
