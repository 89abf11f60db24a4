#include "workers/client/transports/websocket_connection.h"

#include <stdio.h>

#include "codecs/http_response.h"
#include "codecs/message_pack.h"
#include "codecs/websocket.h"
#include "workers/client/http_answer.h"
#include "workers/client/transports/attach.h"

/* --- to the client -------------------------------------------------------------------------- */

/* Our side of the close handshake; the client's is awaited for a limited time. */
static void close_with(struct connection *connection, uint16_t code, const char *reason)
{
    connection_detach(connection);
    if (connection->state == CONNECTION_STREAMING &&
        connection_wrote(connection, websocket_put_close(&connection->out, code, reason) != 0))
        connection_enter(connection, CONNECTION_CLOSING);
}

static bool put_text(struct buffer *out, struct slice text)
{
    return websocket_put_header(out, WEBSOCKET_TEXT, text.len) == 0 &&
           buffer_append_slice(out, text) == 0;
}

static void unset(struct connection *connection, enum end_reason reason)
{
    struct buffer pack = {0};
    bool put = message_pack_put_unset(&pack, end_reason_unset(reason)) == 0 &&
               put_text(&connection->out, buffer_slice(&pack));
    buffer_free(&pack);
    connection->refused = false;
    if (connection_wrote(connection, !put))
        close_with(connection, WEBSOCKET_CLOSE_NORMAL, "");
}

static void refuse(struct connection *connection, enum end_reason reason)
{
    if (!transport_must_hold_refusal(connection, reason))
        unset(connection, reason);
}

static void on_messages(void *owner, struct slice messages, uint32_t count, size_t body_bytes)
{
    struct connection *connection = owner;
    struct buffer *out = &connection->out;
    bool failed = websocket_put_header(out, WEBSOCKET_TEXT, message_pack_len(messages)) != 0 ||
                  message_pack_put(out, messages) != 0;
    connection_wrote_messages(connection, failed, count, body_bytes);
}

static void on_end(void *owner, enum end_reason reason)
{
    struct connection *connection = owner;
    connection->attachment = NULL;
    switch (reason) {
    case END_SUPERSEDED:
        close_with(connection, WEBSOCKET_CLOSE_SUPERSEDED, "a newer connection took over");
        break;
    case END_STOPPING:
        close_with(connection, WEBSOCKET_CLOSE_GOING_AWAY, "the server stops");
        break;
    case END_FAILED:
        close_with(connection, WEBSOCKET_CLOSE_ERROR, "the session store failed");
        break;
    default:
        refuse(connection, reason);
        break;
    }
}

/* --- from the client ------------------------------------------------------------------------ */

static void on_text(struct connection *connection, struct slice text)
{
    uint64_t ids[CONFIRMED_MAX];
    long count = id_list_parse(text, ids, CONFIRMED_MAX);
    if (count < 0)
        close_with(connection, WEBSOCKET_CLOSE_POLICY, "expected message IDs like 1,2,3");
    else if (count > 0 && connection->attachment)
        attachment_confirm(connection->attachment, ids, (size_t)count);
}

static void on_ping(struct connection *connection, struct slice payload)
{
    struct buffer *out = &connection->out;
    connection_wrote(connection, websocket_put_header(out, WEBSOCKET_PONG, payload.len) != 0 ||
                                     buffer_append_slice(out, payload) != 0);
}

/* The client's side of the close handshake: ours follows, unless it came first. */
static void on_close(struct connection *connection, uint16_t code)
{
    connection_detach(connection);
    bool failed = connection->state == CONNECTION_STREAMING &&
                  websocket_put_close(&connection->out, code, "") != 0;
    if (connection_wrote(connection, failed))
        connection_finish(connection);
}

static void on_error(struct connection *connection, uint16_t code, const char *why)
{
    close_with(connection, code, why);
    connection_finish(connection); /* nothing more can be read, so no answer is awaited */
}

static void on_frame(struct connection *connection, const struct websocket_event *event)
{
    bool closing = connection->state != CONNECTION_STREAMING;
    switch (event->type) {
    case WEBSOCKET_EVENT_TEXT:
        if (!closing)
            on_text(connection, event->payload);
        break;
    case WEBSOCKET_EVENT_BINARY:
        if (!closing)
            close_with(connection, WEBSOCKET_CLOSE_UNSUPPORTED, "MAGE only supports text data");
        break;
    case WEBSOCKET_EVENT_PING:
        if (!closing)
            on_ping(connection, event->payload);
        break;
    case WEBSOCKET_EVENT_CLOSE:
        on_close(connection, event->code);
        break;
    case WEBSOCKET_EVENT_ERROR:
        on_error(connection, event->code, event->why);
        break;
    case WEBSOCKET_EVENT_PONG:
    case WEBSOCKET_EVENT_NONE:
        break;
    }
}

static bool is_open(const struct connection *connection)
{
    return connection->state == CONNECTION_STREAMING || connection->state == CONNECTION_CLOSING;
}

static void is_alive(struct connection *connection)
{
    connection->pinged = false;
    if (connection->state == CONNECTION_STREAMING && !connection->refused)
        connection_set_deadline(connection, DEADLINE_PING);
}

static void on_input(struct connection *connection, struct slice input)
{
    size_t max = connection->worker->settings.limit_websocket_message_bytes;
    struct websocket_event event;
    is_alive(connection);
    do {
        websocket_decode(&connection->role.decoder, &input, max, &event);
        on_frame(connection, &event);
    } while (event.type != WEBSOCKET_EVENT_NONE && is_open(connection));
}

static void on_deadline(struct connection *connection)
{
    if (connection->refused) {
        unset(connection, (enum end_reason)connection->refusal);
    } else if (connection->pinged) {
        connection_close(connection);
    } else {
        connection->pinged = true;
        connection_set_deadline(connection, DEADLINE_PING);
        connection_wrote(connection,
                         websocket_put_header(&connection->out, WEBSOCKET_PING, 0) != 0);
    }
}

static void handle_event(struct connection *connection, enum connection_event event,
                         struct slice input)
{
    switch (event) {
    case CONNECTION_INPUT:
        on_input(connection, input);
        break;
    case CONNECTION_EOF:
        connection_close(connection);
        break;
    case CONNECTION_SENT: /* a slow client's kernel acknowledged bytes */
        is_alive(connection);
        break;
    case CONNECTION_DEADLINE:
        on_deadline(connection);
        break;
    case CONNECTION_STOP:
        close_with(connection, WEBSOCKET_CLOSE_GOING_AWAY, "the server stops");
        break;
    case CONNECTION_GONE:
        websocket_decoder_free(&connection->role.decoder);
        break;
    case CONNECTION_EVENTS:
        break;
    }
}

/* --- upgrade (RFC 6455 section 4.2) ---------------------------------------------------------- */

/* Answers what cannot be upgraded. */
static bool upgrade_is_acceptable(struct connection *connection, const struct http_request *http,
                                  char accept[WEBSOCKET_ACCEPT_ROOM])
{
    if (!slice_equals_string(http->method, "GET") || http->is_http_1_0 ||
        !http_request_has_token(http, "connection", "upgrade") || http->content_length > 0 ||
        http->chunked) {
        http_answer_text(connection, 400,
                         "A WebSocket handshake is a GET of HTTP/1.1 with Connection: Upgrade");
        return false;
    }
    if (!slice_equals_string(http_request_field(http, "sec-websocket-version"), "13")) {
        http_answer(connection, 426, TEXT_TYPE,
                    SLICE_LITERAL("Only version 13 of the WebSocket protocol is served"),
                    "Sec-WebSocket-Version: 13\r\n");
        return false;
    }
    if (!websocket_accept(http_request_field(http, "sec-websocket-key"), accept)) {
        http_answer_text(connection, 400, "Sec-WebSocket-Key is not 16 bytes in base64");
        return false;
    }
    return true;
}

static bool put_upgrade(struct connection *connection, const char *accept)
{
    char extra[128];
    snprintf(extra, sizeof extra,
             "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n", accept);
    return connection_wrote(connection,
                            http_answer_head(connection, 101, NO_TYPE, HTTP_NO_LENGTH, extra) != 0);
}

void websocket_start(struct connection *connection, const struct http_request *http,
                     const struct message_stream_request *request)
{
    static const struct attachment_events EVENTS = {on_messages, on_end};
    char accept[WEBSOCKET_ACCEPT_ROOM];
    if (!upgrade_is_acceptable(connection, http, accept) || !put_upgrade(connection, accept))
        return;
    connection->key_hash = request->key_hash;
    connection->handler = handle_event;
    connection_enter(connection, CONNECTION_STREAMING);
    connection_set_deadline(connection, DEADLINE_PING);
    if (!request->has_key)
        close_with(connection, WEBSOCKET_CLOSE_POLICY, "no sessionKey");
    else if (!request->key_is_valid)
        refuse(connection, END_INVALID_KEY);
    else
        transport_attach(connection, STYLE_STREAM, request, &EVENTS);
}
