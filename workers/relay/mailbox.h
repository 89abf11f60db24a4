/* One session's messages, from their acceptance to their confirmation. Knows nothing of sessions,
 * clients and sockets.
 *
 * IDs are 1, 2, 3… for the mailbox's whole life. What waits is always one contiguous run of IDs
 * that ends at last_id, so that its place in a ring is all that a message needs. The ring exists
 * only while messages wait: most mailboxes are empty most of the time.
 *
 * At every moment  last_id (accepted) = confirmed + pending + dropped. */
#ifndef MSGSERVER_RELAY_MAILBOX_H
#define MSGSERVER_RELAY_MAILBOX_H

#include <stdbool.h>

#include "workers/relay/host_budget.h"

/* All-zero is a valid empty mailbox. */
struct mailbox {
    struct blob **ring;  /* NULL while nothing waits */
    uint64_t last_id;    /* as many were accepted */
    uint64_t sent_up_to; /* highest ID that any client was ever sent */
    uint64_t dropped;
    uint64_t bytes;    /* of the waiting bodies */
    uint32_t capacity; /* of the ring, a power of two */
    uint32_t head;     /* where the lowest waiting ID is */
    uint32_t pending;
};

struct mailbox_limits {
    uint64_t messages;
    uint64_t bytes; /* of bodies */
};

static inline uint64_t mailbox_first_pending(const struct mailbox *mailbox)
{
    return mailbox->last_id - mailbox->pending + 1;
}

static inline uint64_t mailbox_confirmed(const struct mailbox *mailbox)
{
    return mailbox->last_id - mailbox->pending - mailbox->dropped;
}

/* Makes sure that mailbox_push() of `count` bodies with `bytes` in all will succeed. Returns 0; or
 * -1 with errno EDQUOT (the mailbox is full), ENOSPC (the host is) or ENOMEM. */
int mailbox_reserve(struct mailbox *mailbox, size_t count, uint64_t bytes,
                    const struct mailbox_limits *limits, struct host_budget *budget);
/* Gives the next ID to `body` and keeps a reference. Only after mailbox_reserve(). */
uint64_t mailbox_push(struct mailbox *mailbox, struct blob *body);
/* Gives back a ring that mailbox_reserve() made, if nothing was pushed after all. */
void mailbox_unreserve(struct mailbox *mailbox, struct host_budget *budget);

/* The body of a waiting ID. */
struct slice mailbox_body(const struct mailbox *mailbox, uint64_t id);

/* Frees every waiting message up to and with `id`. Returns how many there were, and adds their
 * bytes to `*bytes`. */
uint32_t mailbox_confirm(struct mailbox *mailbox, uint64_t id, struct host_budget *budget,
                         uint64_t *bytes);
/* The same for all that wait, counted as dropped. */
uint32_t mailbox_drop(struct mailbox *mailbox, struct host_budget *budget, uint64_t *bytes);

#endif
