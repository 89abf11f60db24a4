/* Streams whose client confirms nothing (server.msgStream.redeliverAfter): what was sent is sent
 * again, once per period since the last delivery or confirmation. Off when the setting is 0.
 *
 * A client that has not taken what is in flight gets nothing again before it has. */
#ifndef MSGSERVER_RELAY_REDELIVERY_H
#define MSGSERVER_RELAY_REDELIVERY_H

#include "workers/relay/attachment.h"

void redelivery_start(struct relay *relay);
void redelivery_stop(struct relay *relay);

/* Something was sent to the attachment or confirmed: its period begins anew, or ends because
 * nothing is left to confirm. */
void redelivery_note(struct relay *relay, struct attachment *attachment);
/* The attachment is over. */
void redelivery_forget(struct relay *relay, struct attachment *attachment);

#endif
