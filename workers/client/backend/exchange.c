#include "workers/client/backend/exchange.h"

#include <stdlib.h>

#include "base/invariant.h"
#include "workers/client/backend/exchange_start.h"
#include "workers/client/http_answer.h"

enum { EXCHANGE_MAGIC = 0x65786368 };

struct exchange {
    unsigned magic;
    struct connection *connection;
    struct exchange_request request; /* views of the bytes */
    struct buffer bytes, rest;
    void *state; /* the API's */
    void (*abandon)(void *state);
};

static void free_exchange(struct exchange *exchange)
{
    buffer_free(&exchange->bytes);
    buffer_free(&exchange->rest);
    exchange->magic = 0;
    free(exchange);
}

static void handle_event(struct connection *connection, enum connection_event event,
                         struct slice input)
{
    struct exchange *exchange = connection->role.exchange;
    switch (event) {
    case CONNECTION_INPUT:
        connection_keep_input(connection, input);
        break;
    case CONNECTION_GONE:
        if (!exchange)
            break; /* no memory for its answer */
        connection->role.exchange = NULL;
        if (exchange->abandon)
            exchange->abandon(exchange->state);
        free_exchange(exchange);
        break;
    case CONNECTION_EOF:  /* a backend may close its sending side and wait for the answer */
    case CONNECTION_STOP: /* the relay answers in time, or the worker's limit ends it */
    case CONNECTION_SENT:
    case CONNECTION_DEADLINE:
    case CONNECTION_EVENTS:
        break;
    }
}

static struct exchange_request view_of(const struct http_request *http, struct slice body)
{
    return (struct exchange_request){.method = http->method,
                                     .path = http->path,
                                     .query = http->query,
                                     .content_type = http_request_field(http, "content-type"),
                                     .authorization = http_request_field(http, "authorization"),
                                     .accept = http_request_field(http, "accept"),
                                     .last_event_id = http_request_field(http, "last-event-id"),
                                     .body = body};
}

void exchange_start(struct connection *connection, const struct http_request *request,
                    struct slice body, struct buffer *bytes, struct buffer *rest)
{
    struct exchange *exchange = malloc(sizeof *exchange);
    if (!exchange) {
        buffer_free(bytes);
        if (rest)
            buffer_free(rest);
        connection_wrote(connection, true);
        return;
    }
    *exchange = (struct exchange){.magic = EXCHANGE_MAGIC,
                                  .connection = connection,
                                  .request = view_of(request, body),
                                  .bytes = *bytes,
                                  .rest = rest ? *rest : (struct buffer){0}};
    *bytes = (struct buffer){0};
    if (rest)
        *rest = (struct buffer){0};
    connection->role.exchange = exchange;
    connection->handler = handle_event;
    connection_enter(connection, CONNECTION_WAITING);
    backend_api_handle(exchange);
}

const struct exchange_request *exchange_request_of(const struct exchange *exchange)
{
    CHECK_MAGIC(exchange, EXCHANGE_MAGIC);
    return &exchange->request;
}

const struct settings *exchange_settings(const struct exchange *exchange)
{
    CHECK_MAGIC(exchange, EXCHANGE_MAGIC);
    return &exchange->connection->worker->settings;
}

struct relay_link *exchange_relay(const struct exchange *exchange)
{
    CHECK_MAGIC(exchange, EXCHANGE_MAGIC);
    return exchange->connection->worker->relay;
}

/* Who may open the Unix socket is a matter of file permissions. */
bool exchange_needs_token(const struct exchange *exchange)
{
    CHECK_MAGIC(exchange, EXCHANGE_MAGIC);
    return !exchange->connection->over_unix_socket;
}

void exchange_set_state(struct exchange *exchange, void *state, void (*abandon)(void *state))
{
    CHECK_MAGIC(exchange, EXCHANGE_MAGIC);
    exchange->state = state;
    exchange->abandon = abandon;
}

void exchange_respond(struct exchange *exchange, unsigned status, const char *content_type,
                      struct slice body, const char *extra_headers)
{
    CHECK_MAGIC(exchange, EXCHANGE_MAGIC);
    struct connection *connection = exchange->connection;
    connection->role.exchange = NULL;
    http_answer(connection, status, content_type, body, extra_headers);
    free_exchange(exchange);
}

struct connection *exchange_leave(struct exchange *exchange)
{
    CHECK_MAGIC(exchange, EXCHANGE_MAGIC);
    struct connection *connection = exchange->connection;
    connection->role.exchange = NULL;
    free_exchange(exchange);
    return connection;
}
