#include "workers/client/transports/poll.h"

#include "codecs/message_pack.h"
#include "workers/client/http_answer.h"
#include "workers/client/transports/attach.h"

static void answer_nothing(struct connection *connection)
{
    http_answer(connection, 204, NO_TYPE, SLICE_EMPTY, NO_CACHE);
}

static void answer_unset(struct connection *connection, enum end_reason reason)
{
    struct buffer pack = {0};
    connection->refused = false;
    if (connection_wrote(connection, message_pack_put_unset(&pack, end_reason_unset(reason)) != 0))
        http_answer(connection, 200, JSON_TYPE, buffer_slice(&pack), NO_CACHE);
    buffer_free(&pack);
}

static void refuse(struct connection *connection, enum end_reason reason)
{
    if (!transport_must_hold_refusal(connection, reason))
        answer_unset(connection, reason);
}

/* Until the client confirms them, messages stay in the mailbox: a poll whose answer gets lost is
 * repeated by the client and answered with the same messages. */
static void on_messages(void *owner, struct slice messages, uint32_t count, size_t body_bytes)
{
    struct connection *connection = owner;
    (void)body_bytes;
    connection->attachment = NULL;
    if (count == 0) {
        answer_nothing(connection);
        return;
    }
    bool failed = http_answer_head(connection, 200, JSON_TYPE,
                                   (long long)message_pack_len(messages), NO_CACHE) != 0 ||
                  message_pack_put(&connection->out, messages) != 0;
    if (connection_wrote(connection, failed))
        http_answered(connection);
}

static void on_end(void *owner, enum end_reason reason)
{
    struct connection *connection = owner;
    connection->attachment = NULL;
    if (end_reason_unset(reason)) {
        refuse(connection, reason);
    } else if (reason == END_FAILED) {
        http_answer(connection, 500, NO_TYPE, SLICE_EMPTY, NO_HEADERS);
    } else {
        if (reason == END_STOPPING)
            connection->keep_alive = false;
        answer_nothing(connection);
    }
}

/* Nothing came, or the worker stops: the client asks again, elsewhere perhaps. */
static void give_up(struct connection *connection)
{
    connection_detach(connection);
    if (connection->refused)
        answer_unset(connection, (enum end_reason)connection->refusal);
    else
        answer_nothing(connection);
}

static void handle_event(struct connection *connection, enum connection_event event,
                         struct slice input)
{
    switch (event) {
    case CONNECTION_INPUT:
        connection_keep_input(connection, input);
        break;
    case CONNECTION_EOF:
        /* A client that waits no longer. One with a short poll may have closed its sending side
         * only, and is answered at once anyway. */
        if (connection->long_poll)
            connection_close(connection);
        break;
    case CONNECTION_DEADLINE:
    case CONNECTION_STOP:
        give_up(connection);
        break;
    case CONNECTION_GONE:
    case CONNECTION_SENT:
    case CONNECTION_EVENTS:
        break;
    }
}

void poll_start(struct connection *connection, const struct message_stream_request *request)
{
    static const struct attachment_events EVENTS = {on_messages, on_end};
    connection->long_poll = request->transport == TRANSPORT_LONG_POLLING;
    connection->refused = false;
    connection->key_hash = request->key_hash;
    connection->handler = handle_event;
    connection_enter(connection, CONNECTION_WAITING);
    if (!request->key_is_valid) {
        refuse(connection, END_INVALID_KEY);
        return;
    }
    /* Short polls too: the relay may be away. */
    connection_set_deadline(connection, DEADLINE_POLL);
    transport_attach(connection, connection->long_poll ? STYLE_LONG_POLL : STYLE_SHORT_POLL,
                     request, &EVENTS);
}
