/* What senders ask about messages that they sent: READ_MESSAGE and READ_RECEIPTS. */
#ifndef MSGSERVER_RELAY_RECEIPTS_REQUESTS_H
#define MSGSERVER_RELAY_RECEIPTS_REQUESTS_H

#include "base/buffer.h"

struct relay;

/* Append the reply's fields; return 0, or -1 when the payload is malformed or memory is short. */
int answer_read_message(struct relay *relay, struct slice payload, struct buffer *reply);
int answer_read_receipts(struct relay *relay, struct slice payload, struct buffer *reply);

#endif
