#include "master/loans.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/invariant.h"

struct loan_slot {
    bool ready;      /* may borrow */
    bool empty;      /* its socket is to be lent */
    size_t borrower; /* who accepts on its socket; 0: nobody */
    size_t borrowed; /* how many sockets of others its worker accepts on */
};

struct loans {
    const struct loans_handlers *handlers;
    void *context;
    size_t count;
    struct loan_slot slots[]; /* [0] is not used */
};

struct loans *loans_new(size_t slots, const struct loans_handlers *handlers, void *context)
{
    struct loans *loans = calloc(1, sizeof *loans + (slots + 1) * sizeof *loans->slots);
    if (!loans)
        return NULL;
    loans->handlers = handlers;
    loans->context = context;
    loans->count = slots;
    return loans;
}

void loans_free(struct loans *loans)
{
    free(loans);
}

/* 0 when no slot is ready. */
static size_t least_burdened(const struct loans *loans)
{
    size_t best = 0;
    for (size_t slot = 1; slot <= loans->count; slot++)
        if (loans->slots[slot].ready &&
            (best == 0 || loans->slots[slot].borrowed < loans->slots[best].borrowed))
            best = slot;
    return best;
}

static void lend_what_hangs(struct loans *loans)
{
    for (size_t owner = 1; owner <= loans->count; owner++) {
        struct loan_slot *slot = &loans->slots[owner];
        size_t borrower = slot->empty && slot->borrower == 0 ? least_burdened(loans) : 0;
        if (borrower == 0)
            continue;
        slot->borrower = borrower;
        loans->slots[borrower].borrowed++;
        loans->handlers->lend(loans->context, borrower, owner);
    }
}

static struct loan_slot *slot_of(struct loans *loans, size_t slot)
{
    INVARIANT(slot >= 1 && slot <= loans->count, "a loan of a slot that is none");
    return &loans->slots[slot];
}

void loans_slot_ready(struct loans *loans, size_t slot)
{
    struct loan_slot *self = slot_of(loans, slot);
    self->ready = true;
    self->empty = false;
    size_t borrower = self->borrower;
    if (borrower != 0) {
        self->borrower = 0;
        loans->slots[borrower].borrowed--;
        loans->handlers->revoke(loans->context, borrower, slot);
    }
    lend_what_hangs(loans);
}

void loans_slot_down(struct loans *loans, size_t slot)
{
    struct loan_slot *self = slot_of(loans, slot);
    self->ready = false;
    self->borrowed = 0;
    for (size_t owner = 1; owner <= loans->count; owner++)
        if (loans->slots[owner].borrower == slot)
            loans->slots[owner].borrower = 0;
    lend_what_hangs(loans);
}

void loans_slot_empty(struct loans *loans, size_t slot)
{
    slot_of(loans, slot)->empty = true;
    loans_slot_down(loans, slot);
}
