#include "workers/client/client_listener.h"

#include <stdio.h>
#include <stdlib.h>

#include "codecs/query_string.h"
#include "workers/client/cors.h"
#include "workers/client/http_answer.h"
#include "workers/client/message_stream_request.h"
#include "workers/client/transports/poll.h"
#include "workers/client/transports/sse.h"
#include "workers/client/transports/websocket_connection.h"

#define CHECK_ROUTE  "/check.txt"
#define CONFIG_ROUTE "/msgstream/config"

static const char *route_of(const struct settings *settings, enum transport transport)
{
    switch (transport) {
    case TRANSPORT_LONG_POLLING:
        return settings->longpolling_route;
    case TRANSPORT_SHORT_POLLING:
        return settings->shortpolling_route;
    case TRANSPORT_WEBSOCKET:
        return settings->websocket_route;
    case TRANSPORT_SSE:
        return settings->sse_route;
    case TRANSPORT_MISSING:
    case TRANSPORT_UNKNOWN:
        break;
    }
    return NULL;
}

static bool is_message_stream_route(const struct settings *settings, struct slice path)
{
    for (int transport = TRANSPORT_LONG_POLLING; transport <= TRANSPORT_SSE; transport++)
        if (path_matches_route(path, route_of(settings, (enum transport)transport)))
            return true;
    return false;
}

/* The answer, whenever it comes, gets these lines. Returns false when the connection is closed. */
static bool remember_cors(struct connection *connection, const struct http_request *request)
{
    const struct settings *settings = &connection->worker->settings;
    if (!cors_is_on(settings))
        return true;
    struct buffer lines = {0};
    if (cors_put(&lines, settings, http_request_field(request, "origin")) != 0 ||
        buffer_append(&lines, "", 1) != 0) {
        buffer_free(&lines);
        return connection_wrote(connection, true);
    }
    free(connection->cors);
    connection->cors = buffer_bytes(&lines); /* nothing was consumed: the start of its memory */
    return true;
}

static void answer_options(struct connection *connection, const struct http_request *request)
{
    struct buffer lines = {0};
    struct slice asked = http_request_field(request, "access-control-request-headers");
    bool failed = cors_put_preflight(&lines, &connection->worker->settings, asked) != 0 ||
                  buffer_append(&lines, "", 1) != 0;
    if (connection_wrote(connection, failed))
        http_answer(connection, 200, NO_TYPE, SLICE_EMPTY, buffer_bytes(&lines));
    buffer_free(&lines);
}

static void answer_check(struct connection *connection)
{
    if (relay_link_is_up(connection->worker->relay))
        http_answer_text(connection, 200, "OK");
    else
        http_answer_text(connection, 503, "The relay is not there");
}

static void answer_unknown_transport(struct connection *connection,
                                     const struct message_stream_request *request)
{
    char text[32 + TRANSPORT_NAME_MAX];
    /* The original's text for a missing one, too. */
    snprintf(text, sizeof text, "Unknown HTTP transport: %s",
             request->transport == TRANSPORT_MISSING ? "undefined" : request->transport_name);
    http_answer_text(connection, 400, text);
}

static void answer_head(struct connection *connection, enum transport transport)
{
    http_answer(connection, 200, transport == TRANSPORT_SSE ? EVENT_STREAM_TYPE : JSON_TYPE,
                SLICE_EMPTY, NO_CACHE);
}

static void start_transport(struct connection *connection,
                            const struct message_stream_request *request)
{
    if (request->transport == TRANSPORT_WEBSOCKET) {
        http_answer_text(connection, 400, "The websocket transport needs a WebSocket handshake");
    } else if (connection->head_only) {
        answer_head(connection, request->transport);
    } else if (!request->has_key) {
        http_answer_text(connection, 400, "No sessionKey");
    } else if (request->transport == TRANSPORT_SSE) {
        sse_start(connection, request);
    } else {
        poll_start(connection, request);
    }
}

static bool wants_websocket(const struct settings *settings, const struct http_request *http)
{
    return http_request_has_token(http, "upgrade", "websocket") &&
           path_matches_route(http->path, settings->websocket_route);
}

static void handle_message_stream(struct connection *connection, const struct http_request *http)
{
    const struct settings *settings = &connection->worker->settings;
    struct message_stream_request request;
    enum message_stream_error error = message_stream_request_parse(http, &request);
    if (error != MESSAGE_STREAM_OK) {
        http_answer_text(connection, 400, message_stream_error_text(error));
        return;
    }
    if (wants_websocket(settings, http)) {
        websocket_start(connection, http, &request);
        return;
    }
    if (request.transport == TRANSPORT_MISSING &&
        http_request_has_token(http, "accept", EVENT_STREAM_TYPE))
        request.transport = TRANSPORT_SSE;
    const char *route = route_of(settings, request.transport);
    if (route && path_matches_route(http->path, route))
        start_transport(connection, &request);
    else
        answer_unknown_transport(connection, &request);
}

void client_listener_handle(struct connection *connection, const struct http_request *request)
{
    const struct settings *settings = &connection->worker->settings;
    bool is_check = path_matches_route(request->path, CHECK_ROUTE);
    bool is_config = path_matches_route(request->path, CONFIG_ROUTE);
    if (!is_check && !is_config && !is_message_stream_route(settings, request->path)) {
        http_answer_text(connection, 404, "Not Found");
        return;
    }
    if (!remember_cors(connection, request))
        return;
    if (slice_equals_string(request->method, "OPTIONS"))
        answer_options(connection, request);
    else if (is_check)
        answer_check(connection);
    else if (is_config)
        http_answer(connection, 200, JSON_TYPE, slice_from_string(settings->public_config),
                    NO_CACHE);
    else
        handle_message_stream(connection, request);
}
