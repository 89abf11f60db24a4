/* One request to the relay on behalf of one exchange: the common case of the API. */
#ifndef MSGSERVER_CLIENT_BACKEND_RELAY_CALL_H
#define MSGSERVER_CLIENT_BACKEND_RELAY_CALL_H

#include "workers/client/backend/api.h"

/* Answers the exchange from the reply's payload; `context` is the pointer given to relay_call(). */
typedef void (*relay_answer)(struct exchange *exchange, struct slice payload, const void *context);

/* Asks the relay of `home` and calls `answer` for a reply of the type `expected`; answers every
 * failure itself, and lets go when the client of the API leaves. Frees `payload`. */
void relay_call(struct exchange *exchange, struct slice home, uint16_t operation,
                struct buffer *payload, uint16_t expected, relay_answer answer,
                const void *context);

#endif
