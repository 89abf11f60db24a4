/* What backends ask (codecs/requests.h): carried out here, or handed to the session's home. */
#ifndef MSGSERVER_RELAY_REQUESTS_H
#define MSGSERVER_RELAY_REQUESTS_H

#include "codecs/data_frames.h"
#include "codecs/requests.h"
#include "workers/relay/routing.h"

struct relay;
struct worker_link;

/* A client worker's REQUEST: answered now, or by the home's reply; a home that cannot be reached is
 * OUTCOME_HOST_GONE at once. A home that never answers is the worker's affair. */
void requests_handle(struct relay *relay, struct worker_link *link,
                     const struct frame_request *request);

/* Carries a request out here and appends the reply's payload to `reply`. Returns the reply's
 * operation; or 0 when the request is malformed. `checked`: the bodies were checked to be messages
 * already. */
uint16_t requests_answer(struct relay *relay, uint16_t operation, struct slice payload,
                         bool checked, struct buffer *reply);

/* What a request to another host carries, and its reply brings back. The seal, a keyed hash, keeps
 * whoever was not asked from answering: the numbers alone are easy to guess. Returns its length. */
size_t requests_write_token(uint32_t incarnation, uint64_t request, char token[REQUEST_TOKEN_ROOM]);

/* A peer's reply to what requests_handle() handed on. Returns false when it is malformed. */
bool requests_on_reply(struct relay *relay, struct slice token, uint16_t operation,
                       struct slice payload);
/* The request came back: its home became unreachable before it left. */
void requests_on_undelivered(struct relay *relay, struct slice token, uint16_t operation,
                             struct slice payload);

#endif
