#include "workers/client/transports/sse.h"

#include "base/clock.h"
#include "codecs/http_response.h"
#include "codecs/message_pack.h"
#include "workers/client/http_answer.h"
#include "workers/client/transports/attach.h"

/* After an end that a new connection at once would only repeat: two browser tabs with one session
 * would supersede each other in a loop. */
#define RETRY_LATER "retry: 5000\n\n"
/* After the end of a stream whose messages are to be confirmed. */
#define RETRY_SOON "retry: 100\n\n"

/* The answer has no length: it ends with the connection. */
static bool put_head(struct connection *connection)
{
    if (connection->head_sent)
        return true;
    connection->keep_alive = false;
    connection->head_sent = true;
    connection_set_deadline(connection, DEADLINE_SSE_HEARTBEAT);
    return connection_wrote(connection,
                            http_answer_head(connection, 200, EVENT_STREAM_TYPE, HTTP_NO_LENGTH,
                                             "cache-control: no-cache\r\n" NO_CACHE) != 0);
}

static void end_stream(struct connection *connection, const char *last_words)
{
    connection_detach(connection);
    if (put_head(connection) &&
        connection_wrote(connection, buffer_append_string(&connection->out, last_words) != 0))
        connection_finish(connection);
}

static void refuse(struct connection *connection, enum end_reason reason)
{
    bool repeated = session_refusals_note(&connection->worker->refusals, connection->key_hash,
                                          clock_monotonic_ms());
    if (repeated && !connection->head_sent) {
        connection->keep_alive = false;
        if (connection_wrote(connection, http_answer_head(connection, 204, NO_TYPE, HTTP_NO_LENGTH,
                                                          NO_CACHE) != 0))
            connection_finish(connection);
        return;
    }
    if (put_head(connection) &&
        connection_wrote(connection,
                         event_stream_put_unset(&connection->out, end_reason_unset(reason)) != 0))
        end_stream(connection, RETRY_LATER);
}

static bool is_enough(const struct connection *connection)
{
    const struct settings *settings = &connection->worker->settings;
    return connection->role.streamed.messages >= settings->limit_mailbox_messages / 2 ||
           connection->role.streamed.bytes >= settings->limit_mailbox_bytes / 2;
}

static void on_messages(void *owner, struct slice messages, uint32_t count, size_t body_bytes)
{
    struct connection *connection = owner;
    if (!put_head(connection) ||
        !connection_wrote_messages(connection, event_stream_put(&connection->out, messages) != 0,
                                   count, body_bytes))
        return;
    connection_set_deadline(connection, DEADLINE_SSE_HEARTBEAT);
    connection->role.streamed.messages += count;
    connection->role.streamed.bytes += (uint32_t)body_bytes;
    if (is_enough(connection))
        end_stream(connection, RETRY_SOON);
}

static void on_end(void *owner, enum end_reason reason)
{
    struct connection *connection = owner;
    connection->attachment = NULL;
    if (end_reason_unset(reason))
        refuse(connection, reason);
    else
        end_stream(connection, reason == END_STOPPING ? "" : RETRY_LATER);
}

static void on_deadline(struct connection *connection)
{
    if (!connection->head_sent) {
        put_head(connection);
    } else if (connection->blocked) {
        /* Nothing was taken since the deadline was set: the client is not there any more. */
        connection_close(connection);
    } else {
        connection_set_deadline(connection, DEADLINE_SSE_HEARTBEAT);
        connection_wrote(connection,
                         buffer_append_string(&connection->out, EVENT_STREAM_HEARTBEAT) != 0);
    }
}

static void handle_event(struct connection *connection, enum connection_event event,
                         struct slice input)
{
    (void)input; /* nothing that a client sends now has a meaning */
    switch (event) {
    case CONNECTION_EOF:
        connection_close(connection);
        break;
    case CONNECTION_SENT:
        connection_set_deadline(connection, DEADLINE_SSE_HEARTBEAT);
        break;
    case CONNECTION_DEADLINE:
        on_deadline(connection);
        break;
    case CONNECTION_STOP:
        end_stream(connection, "");
        break;
    case CONNECTION_INPUT:
    case CONNECTION_GONE:
    case CONNECTION_EVENTS:
        break;
    }
}

void sse_start(struct connection *connection, const struct message_stream_request *request)
{
    static const struct attachment_events EVENTS = {on_messages, on_end};
    struct client_worker *worker = connection->worker;
    connection->key_hash = request->key_hash;
    connection->handler = handle_event;
    connection_enter(connection, CONNECTION_STREAMING);
    if (!request->key_is_valid)
        refuse(connection, END_INVALID_KEY);
    else if (!transport_attach(connection, STYLE_STREAM, request, &EVENTS))
        return;
    else if (session_refusals_recent(&worker->refusals, request->key_hash, clock_monotonic_ms()))
        connection_set_deadline(connection, DEADLINE_PACE);
    else
        put_head(connection);
}
