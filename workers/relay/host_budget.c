#include "workers/relay/host_budget.h"

#include <errno.h>

#include "base/clock.h"
#include "base/invariant.h"

/* What malloc adds to an allocation. */
enum { ALLOCATION_OVERHEAD = 16 };

static uint64_t cost_of(size_t len)
{
    return sizeof(struct blob) + len + ALLOCATION_OVERHEAD;
}

int budget_charge(struct host_budget *budget, uint64_t bytes)
{
    if (bytes > budget->limit || budget->used > budget->limit - bytes) {
        errno = ENOSPC;
        return -1;
    }
    budget->used += bytes;
    return 0;
}

void budget_discharge(struct host_budget *budget, uint64_t bytes)
{
    INVARIANT(budget->used >= bytes, "the host budget was given back more than it gave");
    budget->used -= bytes;
}

uint64_t budget_lift_limit(struct host_budget *budget)
{
    uint64_t limit = budget->limit;
    budget->limit = UINT64_MAX;
    return limit;
}

struct blob *budget_new_body(struct host_budget *budget, struct slice bytes)
{
    if (budget_charge(budget, cost_of(bytes.len)) != 0)
        return NULL;
    struct blob *body = blob_new(bytes);
    if (body)
        body->made_ms = clock_steady_ms();
    else
        budget_discharge(budget, cost_of(bytes.len));
    return body;
}

void budget_release_body(struct host_budget *budget, struct blob *body)
{
    if (body->references == 1) {
        budget_discharge(budget, cost_of(body->len));
        if (body->broadcast != 0 && budget->on_broadcast_gone)
            budget->on_broadcast_gone(budget->context, body->broadcast);
    }
    blob_release(body);
}
