/* What a backend orders in POST /messages and POST /broadcast: bodies, and for whom. */
#ifndef MSGSERVER_CLIENT_BACKEND_MESSAGE_ORDER_H
#define MSGSERVER_CLIENT_BACKEND_MESSAGE_ORDER_H

#include "workers/client/backend/api.h"

struct message_order {
    struct slice to;      /* JSON text: a string, or an array of them; NULL data: not given */
    struct buffer bodies; /* a run of slices, as in FRAME_SEND */
    uint32_t body_count;
    /* The rest only with a "to"; all-zero when not given. */
    uint64_t ttl_ms;
    struct buffer replace_key, idempotency_key, receipt;
};

struct order_error {
    enum api_error error;
    char message[320];
};

/* Reads {"to":…,"message":…} or {"to":…,"messages":[…]}; `to` must be there when `with_to`, and
 * must not be there otherwise; with it there may be ttl, replaceKey, idempotencyKey and receipt.
 * Each body is checked here, once. Returns 0; or -1 with `error` filled and nothing to free.
 * `order` points into `text`. */
int message_order_read(struct message_order *order, struct slice text, bool with_to,
                       uint64_t max_body, struct order_error *error);
void message_order_free(struct message_order *order);

#endif
