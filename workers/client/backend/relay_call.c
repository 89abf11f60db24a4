#include "workers/client/backend/relay_call.h"

#include <stdlib.h>

struct relay_call {
    struct exchange *exchange;
    uint64_t request;
    uint16_t expected;
    relay_answer answer;
    const void *context;
};

static void abandon(void *state)
{
    struct relay_call *call = state;
    relay_link_cancel(exchange_relay(call->exchange), call->request);
    free(call);
}

static void on_done(void *context, enum request_failure failure, uint16_t operation,
                    struct slice payload)
{
    struct relay_call *call = context;
    if (failure == REQUEST_ANSWERED && operation == FRAME_NOT_UNDERSTOOD) {
        answer_outcome(call->exchange, OUTCOME_OTHER_VERSION);
    } else if (failure == REQUEST_ANSWERED && operation != call->expected) {
        /* It comes from the session's home, another host, which may say anything. */
        answer_outcome(call->exchange, OUTCOME_HOST_GONE);
    } else if (failure == REQUEST_ANSWERED) {
        call->answer(call->exchange, payload, call->context);
    } else {
        answer_failure(call->exchange, failure);
    }
    free(call);
}

void relay_call(struct exchange *exchange, struct slice home, uint16_t operation,
                struct buffer *payload, uint16_t expected, relay_answer answer, const void *context)
{
    struct relay_call *call = malloc(sizeof *call);
    if (call) {
        *call = (struct relay_call){exchange, 0, expected, answer, context};
        call->request = relay_link_request(exchange_relay(exchange), home, operation,
                                           buffer_slice(payload), on_done, call);
    }
    buffer_free(payload);
    if (!call || call->request == 0) {
        free(call);
        answer_failure(exchange, REQUEST_NO_MEMORY);
        return;
    }
    exchange_set_state(exchange, call, abandon);
}
