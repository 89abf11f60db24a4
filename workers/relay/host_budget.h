/* The memory that sessions and waiting messages of the whole host may take
 * (server.limits.hostBytes). A body is counted once however many mailboxes hold it. */
#ifndef MSGSERVER_RELAY_HOST_BUDGET_H
#define MSGSERVER_RELAY_HOST_BUDGET_H

#include <stdint.h>

#include "base/blob.h"

struct host_budget {
    uint64_t limit; /* bytes */
    uint64_t used;
    /* The last reference to the body of a broadcast goes; NULL: nobody is told. */
    void (*on_broadcast_gone)(void *context, uint64_t broadcast);
    void *context;
};

/* Returns 0, or -1 with errno ENOSPC when `bytes` more would be above the limit. */
int budget_charge(struct host_budget *budget, uint64_t bytes);
void budget_discharge(struct host_budget *budget, uint64_t bytes);

/* Lets everything in, for what was accepted before. Returns the limit, to be set again. */
uint64_t budget_lift_limit(struct host_budget *budget);

/* A body, made now, that is charged from here to the release of its last reference. NULL with errno
 * ENOSPC or ENOMEM. Every reference to it goes back through budget_release_body(). */
struct blob *budget_new_body(struct host_budget *budget, struct slice bytes);
void budget_release_body(struct host_budget *budget, struct blob *body);

#endif
