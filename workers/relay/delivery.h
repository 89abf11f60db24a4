/* What to send to whom, and when.
 *
 * A stream that is attached gets only new IDs; a new attachment and a poll get everything
 * unconfirmed, from the lowest ID on (a stream also by redelivery.h). A poll is over with its
 * answer. What does not fit in the attachment's window, or in its outlet, stays in the mailbox. */
#ifndef MSGSERVER_RELAY_DELIVERY_H
#define MSGSERVER_RELAY_DELIVERY_H

#include "workers/relay/attachment.h"

void delivery_start(struct relay *relay);
void delivery_stop(struct relay *relay);

/* Takes the session over from an older attachment, confirms up to `confirmed` (0: nothing) and
 * delivers; the older of two is over. The attachment may be over afterwards. */
void delivery_attach(struct relay *relay, struct attachment *attachment, struct session *session,
                     uint64_t confirmed);

/* Sends what may be sent now. Call it when there is something new, or room for it. The attachment
 * may be over afterwards. */
void delivery_run(struct relay *relay, struct attachment *attachment);

/* The client's socket took `bytes`. */
void delivery_credit(struct relay *relay, struct attachment *attachment, uint32_t bytes);
/* The outlet takes deliveries again. */
void delivery_go_on(struct relay *relay, struct outlet *outlet);

/* Frees everything up to `id`. An ID that was never given ends the session: the client knows a
 * mailbox that is lost. */
void delivery_confirm(struct relay *relay, struct session *session, uint64_t id);

/* The highest of a frame's list of IDs (u64 each); 0 when it is empty. */
uint64_t delivery_highest(struct slice ids);

#endif
