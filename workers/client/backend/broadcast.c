/* POST /broadcast. */
#include <inttypes.h>

#include "workers/client/backend/message_order.h"
#include "workers/client/backend/relay_call.h"

static void answer_broadcast(struct exchange *exchange, struct slice payload, const void *context)
{
    (void)context;
    struct frame_broadcast_sent sent;
    struct buffer body = {0};
    if (get_broadcast_sent(payload, &sent) != 0 ||
        buffer_printf(&body,
                      "{\"queued\":%" PRIu64 ",\"overLimit\":%" PRIu64 ",\"peers\":%" PRIu32
                      ",\"peersFailed\":%" PRIu32 "}\n",
                      sent.queued, sent.over_limit, sent.peers, sent.peers_failed) != 0) {
        answer_failure(exchange, REQUEST_NO_MEMORY);
        return;
    }
    answer_json(exchange, 200, &body);
}

void broadcast_send(struct exchange *exchange, struct slice rest)
{
    (void)rest;
    struct message_order order;
    struct order_error error;
    struct buffer payload = {0};
    if (message_order_read(&order, exchange_request_of(exchange)->body, false,
                           exchange_settings(exchange)->limit_message_bytes, &error) != 0) {
        answer_error(exchange, error.error, "%s", error.message);
        return;
    }
    struct frame_broadcast_all broadcast = {buffer_slice(&order.bodies)};
    int failed = put_broadcast_all_fields(&payload, &broadcast);
    message_order_free(&order);
    if (failed)
        answer_failure(exchange, REQUEST_NO_MEMORY);
    else
        relay_call(exchange, SLICE_EMPTY, FRAME_BROADCAST_ALL, &payload, FRAME_BROADCAST_SENT,
                   answer_broadcast, NULL);
}
