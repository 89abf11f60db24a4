/* The connection's side of an exchange (backend/exchange.h). */
#ifndef MSGSERVER_CLIENT_BACKEND_EXCHANGE_START_H
#define MSGSERVER_CLIENT_BACKEND_EXCHANGE_START_H

#include "codecs/http_request.h"
#include "workers/client/connection.h"

/* Hands a backend's request to the API. `request` and `body` point into what the buffers hold,
 * which is taken, also on failure; `rest` is NULL when `bytes` holds all of it. */
void exchange_start(struct connection *connection, const struct http_request *request,
                    struct slice body, struct buffer *bytes, struct buffer *rest);

#endif
