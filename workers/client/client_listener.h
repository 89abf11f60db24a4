/* What is served on the client listener: the message stream's routes, the public configuration, and
 * the health check. */
#ifndef MSGSERVER_CLIENT_CLIENT_LISTENER_H
#define MSGSERVER_CLIENT_CLIENT_LISTENER_H

#include "codecs/http_request.h"
#include "workers/client/connection.h"

/* `request` is valid during the call. */
void client_listener_handle(struct connection *connection, const struct http_request *request);

#endif
