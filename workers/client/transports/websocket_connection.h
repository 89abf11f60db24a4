/* WebSockets: upgrade, messages as text frames, confirmations from the client, pings, and the close
 * handshake both ways. */
#ifndef MSGSERVER_CLIENT_TRANSPORTS_WEBSOCKET_CONNECTION_H
#define MSGSERVER_CLIENT_TRANSPORTS_WEBSOCKET_CONNECTION_H

#include "codecs/http_request.h"
#include "workers/client/connection.h"
#include "workers/client/message_stream_request.h"

/* A request that asks for the upgrade, acceptable or not, with or without a session key. */
void websocket_start(struct connection *connection, const struct http_request *http,
                     const struct message_stream_request *request);

#endif
