/* Long and short polls: one answer per request. */
#ifndef MSGSERVER_CLIENT_TRANSPORTS_POLL_H
#define MSGSERVER_CLIENT_TRANSPORTS_POLL_H

#include "workers/client/connection.h"
#include "workers/client/message_stream_request.h"

/* `request` has a session key, valid or not, and one of the polling transports. */
void poll_start(struct connection *connection, const struct message_stream_request *request);

#endif
