/* The connection's side of an exchange (backend/exchange.h). */
#ifndef MSGSERVER_CLIENT_BACKEND_EXCHANGE_START_H
#define MSGSERVER_CLIENT_BACKEND_EXCHANGE_START_H

#include "workers/client/connection.h"

/* Hands a backend's request to the API. `head` holds one whole request head that was parsed before;
 * what both buffers hold is taken, also on failure. */
void exchange_start(struct connection *connection, struct buffer *head, struct buffer *body);

#endif
