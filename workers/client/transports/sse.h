/* Server-sent events (WHATWG HTML, section 9.2): one answer without end.
 *
 * Confirmation comes with a new request only (Last-Event-ID, lastEventId, confirmIds), so that a
 * stream ends by itself when half of what a mailbox may hold was sent on it: the browser connects
 * again and thereby confirms.
 *
 * A session that is refused: the first time, the stream holds session.unset and ends. EventSource
 * asks again after `retry`; then the answer is 204, which makes it stop. To be able to say so, a
 * stream whose key was refused a moment ago keeps its head back for server.msgStream.pollPace. */
#ifndef MSGSERVER_CLIENT_TRANSPORTS_SSE_H
#define MSGSERVER_CLIENT_TRANSPORTS_SSE_H

#include "workers/client/connection.h"
#include "workers/client/message_stream_request.h"

#define EVENT_STREAM_TYPE "text/event-stream"

/* `request` has a session key, valid or not. */
void sse_start(struct connection *connection, const struct message_stream_request *request);

#endif
