#include "workers/relay/mailbox.h"

#include <errno.h>
#include <stdlib.h>

#include "base/invariant.h"

enum { FIRST_CAPACITY = 4, SHRINK_ABOVE = 64, RING_OVERHEAD = 16 };

static uint64_t ring_cost(uint32_t capacity)
{
    return capacity > 0 ? capacity * sizeof(void *) + RING_OVERHEAD : 0;
}

static struct blob **slot_of(const struct mailbox *mailbox, uint64_t id)
{
    uint32_t offset = (uint32_t)(id - mailbox_first_pending(mailbox));
    return &mailbox->ring[(mailbox->head + offset) & (mailbox->capacity - 1)];
}

/* Moves what waits to a ring of another size. */
static int resize(struct mailbox *mailbox, uint32_t capacity, struct host_budget *budget)
{
    if (budget_charge(budget, ring_cost(capacity)) != 0)
        return -1;
    struct blob **ring = reallocarray(NULL, capacity, sizeof(void *));
    if (!ring) {
        budget_discharge(budget, ring_cost(capacity));
        return -1;
    }
    for (uint32_t i = 0; i < mailbox->pending; i++)
        ring[i] = *slot_of(mailbox, mailbox_first_pending(mailbox) + i);
    free(mailbox->ring);
    budget_discharge(budget, ring_cost(mailbox->capacity));
    mailbox->ring = ring;
    mailbox->capacity = capacity;
    mailbox->head = 0;
    return 0;
}

int mailbox_reserve(struct mailbox *mailbox, size_t count, uint64_t bytes,
                    const struct mailbox_limits *limits, struct host_budget *budget)
{
    if (count > limits->messages || mailbox->pending > limits->messages - count ||
        bytes > limits->bytes || mailbox->bytes > limits->bytes - bytes) {
        errno = EDQUOT;
        return -1;
    }
    uint32_t wanted = mailbox->capacity > 0 ? mailbox->capacity : FIRST_CAPACITY;
    while (wanted < mailbox->pending + count)
        wanted *= 2;
    return wanted == mailbox->capacity || count == 0 ? 0 : resize(mailbox, wanted, budget);
}

uint64_t mailbox_push(struct mailbox *mailbox, struct blob *body)
{
    INVARIANT(mailbox->pending < mailbox->capacity, "a push without room reserved");
    mailbox->ring[(mailbox->head + mailbox->pending) & (mailbox->capacity - 1)] = blob_retain(body);
    mailbox->pending++;
    mailbox->bytes += body->len;
    return ++mailbox->last_id;
}

static void release_ring(struct mailbox *mailbox, struct host_budget *budget)
{
    budget_discharge(budget, ring_cost(mailbox->capacity));
    free(mailbox->ring);
    mailbox->ring = NULL;
    mailbox->capacity = mailbox->head = 0;
}

void mailbox_unreserve(struct mailbox *mailbox, struct host_budget *budget)
{
    if (mailbox->pending == 0)
        release_ring(mailbox, budget);
}

struct slice mailbox_body(const struct mailbox *mailbox, uint64_t id)
{
    INVARIANT(id >= mailbox_first_pending(mailbox) && id <= mailbox->last_id,
              "a message that does not wait was asked for");
    return blob_slice(*slot_of(mailbox, id));
}

static uint32_t release_up_to(struct mailbox *mailbox, uint64_t id, struct host_budget *budget,
                              uint64_t *bytes)
{
    uint32_t count = 0;
    while (mailbox->pending > 0 && mailbox_first_pending(mailbox) <= id) {
        struct blob *body = mailbox->ring[mailbox->head];
        mailbox->head = (mailbox->head + 1) & (mailbox->capacity - 1);
        mailbox->pending--;
        mailbox->bytes -= body->len;
        *bytes += body->len;
        count++;
        budget_release_body(budget, body);
    }
    if (mailbox->pending == 0)
        release_ring(mailbox, budget);
    else if (mailbox->capacity > SHRINK_ABOVE && mailbox->pending < mailbox->capacity / 8)
        resize(mailbox, mailbox->capacity / 4, budget); /* a failure leaves the larger ring */
    return count;
}

uint32_t mailbox_confirm(struct mailbox *mailbox, uint64_t id, struct host_budget *budget,
                         uint64_t *bytes)
{
    return release_up_to(mailbox, id, budget, bytes);
}

uint32_t mailbox_drop(struct mailbox *mailbox, struct host_budget *budget, uint64_t *bytes)
{
    uint32_t count = release_up_to(mailbox, mailbox->last_id, budget, bytes);
    mailbox->dropped += count;
    return count;
}
