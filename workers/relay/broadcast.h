/* One body for every mailbox of this host. */
#ifndef MSGSERVER_RELAY_BROADCAST_H
#define MSGSERVER_RELAY_BROADCAST_H

#include <stdint.h>

#include "base/slice.h"

struct relay;

struct broadcast_result {
    uint64_t queued;     /* mailboxes that took it */
    uint64_t over_limit; /* mailboxes that did not */
};

/* Puts `body` into every mailbox here: one copy in memory. Streams that wait for nothing else share
 * one frame per worker; the others are served as by a message of their own. Other hosts are the
 * caller's affair. */
struct broadcast_result broadcast_here(struct relay *relay, struct slice body);

#endif
