/* What all transports share: attaching to the session, and refusing it. */
#ifndef MSGSERVER_CLIENT_TRANSPORTS_ATTACH_H
#define MSGSERVER_CLIENT_TRANSPORTS_ATTACH_H

#include "workers/client/connection.h"
#include "workers/client/message_stream_request.h"

/* Attaches to the session of a valid key. Returns false, with the connection closed, when there is
 * no memory for it. */
bool transport_attach(struct connection *connection, enum attachment_style style,
                      const struct message_stream_request *request,
                      const struct attachment_events *events);

/* Remembers that the session was refused. Returns true when it was so already a moment ago: then
 * the answer is to wait for CONNECTION_DEADLINE, with `refused` and `refusal` set. */
bool transport_must_hold_refusal(struct connection *connection, enum end_reason reason);

#endif
