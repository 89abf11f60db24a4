/* Reads requests from a connection, one after the other, and hands each to its listener's side:
 * the next one is looked at when the one before has its answer. */
#ifndef MSGSERVER_CLIENT_HTTP_READER_H
#define MSGSERVER_CLIENT_HTTP_READER_H

#include "workers/client/connection.h"

enum { CLIENT_BODY_MAX = 64 << 10 }; /* bytes of a client's request body, which nobody needs */

/* The handler of a connection in CONNECTION_HEAD and CONNECTION_BODY. */
void http_reader_handle(struct connection *connection, enum connection_event event,
                        struct slice input);

#endif
