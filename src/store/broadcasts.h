/* The broadcasts of a store, and which mailboxes they are in, while the store is read. */
#ifndef MSGSERVER_STORE_BROADCASTS_H
#define MSGSERVER_STORE_BROADCASTS_H

#include "base/buffer.h"
#include "store/store.h"

/* All-zero is valid and empty. */
struct broadcasts {
    struct buffer messages;   /* struct broadcast_message */
    struct buffer recipients; /* struct broadcast_recipient */
    bool unsorted;
    size_t next; /* recipient */
};

/* Adds one, whose body stays where it is unless it is `copied`. Returns 0, or -1 with errno ENOMEM.
 */
int broadcasts_add(struct broadcasts *broadcasts, uint64_t number,
                   const struct stored_message *message, bool copied);
/* Adds recipients of the last one. The same. */
int broadcasts_add_recipients(struct broadcasts *broadcasts,
                              const struct stored_recipient *recipients, size_t count);

/* To be called when all were added, for each session in the order of their numbers. Passes over
 * what names sessions below that one. */
void broadcasts_enter_session(struct broadcasts *broadcasts, uint64_t session);
/* Whether a broadcast is in that session's mailbox under an ID below `end`: fills in the next one,
 * in the order of their IDs. */
bool broadcasts_next(struct broadcasts *broadcasts, uint64_t session, uint64_t end,
                     struct stored_message *message);

void broadcasts_free(struct broadcasts *broadcasts);

#endif
