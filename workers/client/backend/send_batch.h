/* Many messages for many sessions, on their way: split by home, sent, and the outcomes gathered in
 * the order of the recipients. */
#ifndef MSGSERVER_CLIENT_BACKEND_SEND_BATCH_H
#define MSGSERVER_CLIENT_BACKEND_SEND_BATCH_H

#include "workers/client/backend/message_order.h"

struct send_batch;

/* Of one request, as lines are: an answer takes much more room than the shortest of them. */
enum { BATCH_RECIPIENTS_MAX = 250000 };

struct batch_recipient {
    struct slice key; /* the JSON string as the backend wrote it, quotes included */
    uint32_t line;    /* index of the order it belongs to */
    struct recipient_result result;
};

/* All recipients have their result: read them, answer, and free the batch. */
typedef void (*batch_done)(struct send_batch *batch, void *context);

struct send_batch *send_batch_new(struct relay_link *relay, batch_done done, void *context);
/* Cancels what is under way. */
void send_batch_free(struct send_batch *batch);

/* Adds an order: its "to" and its bodies. Returns 0; or -1 with `error` filled, and nothing of the
 * order was added. */
int send_batch_add(struct send_batch *batch, uint32_t line, const struct message_order *order,
                   struct order_error *error);
/* No more orders: done() follows, never from within this call unless nothing is under way. */
void send_batch_close(struct send_batch *batch);

size_t send_batch_count(const struct send_batch *batch);
const struct batch_recipient *send_batch_recipient(const struct send_batch *batch, size_t index);

#endif
