/* While a worker slot is empty for long, a sibling accepts on its listening socket, so that the
 * slot's share of new connections does not hang. This decides who borrows what. */
#ifndef MSGSERVER_MASTER_LOANS_H
#define MSGSERVER_MASTER_LOANS_H

#include <stddef.h>

struct loans;

struct loans_handlers {
    /* The ready worker in slot `borrower` is to accept on `owner`'s socket, or not any more. */
    void (*lend)(void *context, size_t borrower, size_t owner);
    void (*revoke)(void *context, size_t borrower, size_t owner);
};

/* Slots count from 1; all start down. NULL with errno ENOMEM. */
struct loans *loans_new(size_t slots, const struct loans_handlers *handlers, void *context);
/* NULL is accepted; nothing is revoked. */
void loans_free(struct loans *loans);

/* The slot's worker serves: it gets its socket back, and may borrow. */
void loans_slot_ready(struct loans *loans, size_t slot);
/* Its worker is going: what it had borrowed needs somebody else. */
void loans_slot_down(struct loans *loans, size_t slot);
/* It stays without worker for long: its socket is to be lent, now or as soon as somebody is ready.
 * Implies loans_slot_down(). */
void loans_slot_empty(struct loans *loans, size_t slot);

#endif
