#include "workers/relay/mailbox.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/invariant.h"

enum { FIRST_CAPACITY = 4, SHRINK_ABOVE = 64, RING_OVERHEAD = 16 };

static uint64_t ring_cost(uint32_t capacity)
{
    return capacity > 0 ? capacity * sizeof(struct mailbox_entry) + RING_OVERHEAD : 0;
}

static struct mailbox_entry *slot_of(const struct mailbox *mailbox, uint64_t id)
{
    return mailbox_slot(mailbox, (uint32_t)(id - mailbox_first_entry(mailbox)));
}

static uint32_t room_of(const struct mailbox *mailbox)
{
    return mailbox->capacity > 0 ? mailbox->capacity : 1;
}

static void free_ring(struct mailbox *mailbox, struct host_budget *budget)
{
    budget_discharge(budget, ring_cost(mailbox->capacity));
    if (mailbox->capacity > 0)
        free(mailbox->ring);
}

/* Moves what waits to a ring of another size. */
static int resize(struct mailbox *mailbox, uint32_t capacity, struct host_budget *budget)
{
    if (budget_charge(budget, ring_cost(capacity)) != 0)
        return -1;
    struct mailbox_entry *ring = reallocarray(NULL, capacity, sizeof *ring);
    if (!ring) {
        budget_discharge(budget, ring_cost(capacity));
        return -1;
    }
    for (uint32_t i = 0; i < mailbox->entries; i++)
        ring[i] = *mailbox_slot(mailbox, i);
    free_ring(mailbox, budget);
    mailbox->ring = ring;
    mailbox->capacity = capacity;
    mailbox->head = 0;
    return 0;
}

bool mailbox_has_room(const struct mailbox *mailbox, size_t count, uint64_t bytes,
                      const struct mailbox_limits *limits)
{
    return count <= limits->messages && mailbox->entries <= limits->messages - count &&
           bytes <= limits->bytes && mailbox->bytes <= limits->bytes - bytes;
}

int mailbox_reserve(struct mailbox *mailbox, size_t count, struct host_budget *budget)
{
    uint32_t wanted = mailbox->capacity > 0 ? mailbox->capacity : FIRST_CAPACITY;
    if (mailbox->entries + count <= room_of(mailbox))
        return 0;
    while (wanted < mailbox->entries + count)
        wanted *= 2;
    return resize(mailbox, wanted, budget);
}

static uint64_t push(struct mailbox *mailbox, struct mailbox_entry entry)
{
    INVARIANT(mailbox->entries < room_of(mailbox), "a push without room reserved");
    *mailbox_slot(mailbox, mailbox->entries) = entry;
    mailbox->entries++;
    return ++mailbox->last_id;
}

uint64_t mailbox_push(struct mailbox *mailbox, struct blob *body, struct message_options *options)
{
    mailbox->pending++;
    mailbox->bytes += body->len;
    uint64_t id = push(mailbox, (struct mailbox_entry){blob_retain(body), options});
    if (options)
        options->id = id;
    return id;
}

void mailbox_push_dropped(struct mailbox *mailbox)
{
    push(mailbox, (struct mailbox_entry){0});
}

static void release_ring(struct mailbox *mailbox, struct host_budget *budget)
{
    free_ring(mailbox, budget);
    mailbox->only = (struct mailbox_entry){0};
    mailbox->capacity = mailbox->head = 0;
}

void mailbox_unreserve(struct mailbox *mailbox, struct host_budget *budget)
{
    if (mailbox->entries == 0)
        release_ring(mailbox, budget);
}

const struct mailbox_entry *mailbox_entry(const struct mailbox *mailbox, uint64_t id)
{
    INVARIANT(id >= mailbox_first_entry(mailbox) && id <= mailbox->last_id,
              "an ID without an entry was asked for");
    return slot_of(mailbox, id);
}

struct slice mailbox_body(const struct mailbox *mailbox, uint64_t id,
                          char notice[MAILBOX_NOTICE_ROOM])
{
    INVARIANT(id >= mailbox_first_waiting(mailbox) && id <= mailbox->last_id,
              "a message that does not wait was asked for");
    uint64_t first_entry = mailbox_first_entry(mailbox);
    if (id + 1 == first_entry && mailbox->overflowed > 0) {
        int len = snprintf(notice, MAILBOX_NOTICE_ROOM,
                           "[[\"mailbox.dropped\",{\"total\":%" PRIu64 "}]]", mailbox->overflowed);
        return slice_of(notice, (size_t)len);
    }
    const struct blob *body = id < first_entry ? NULL : slot_of(mailbox, id)->body;
    return body ? blob_slice(body) : SLICE_LITERAL("[]");
}

static void free_entry(struct mailbox *mailbox, struct mailbox_entry *entry,
                       struct host_budget *budget, struct mailbox_freed *freed)
{
    if (!entry->body)
        return;
    mailbox->pending--;
    mailbox->bytes -= entry->body->len;
    freed->messages++;
    freed->bytes += entry->body->len;
    budget_release_body(budget, entry->body);
    options_free(budget, entry->options);
    *entry = (struct mailbox_entry){0};
}

static void remove_first(struct mailbox *mailbox)
{
    if (mailbox->capacity > 0)
        mailbox->head = (mailbox->head + 1) & (mailbox->capacity - 1);
    mailbox->entries--;
}

/* The ring begins with a live entry, or is not there. */
static void tidy(struct mailbox *mailbox, struct host_budget *budget)
{
    while (mailbox->entries > 0 && !mailbox_slot(mailbox, 0)->body) {
        mailbox->records_left = true;
        remove_first(mailbox);
        mailbox->gap++;
    }
    if (mailbox->entries == 0)
        release_ring(mailbox, budget);
    else if (mailbox->capacity > SHRINK_ABOVE && mailbox->entries < mailbox->capacity / 8)
        resize(mailbox, mailbox->capacity / 4, budget); /* a failure leaves the larger ring */
}

/* Frees the entries up to and with `id`. */
static struct mailbox_freed remove_up_to(struct mailbox *mailbox, uint64_t id,
                                         struct host_budget *budget)
{
    struct mailbox_freed freed = {0};
    while (mailbox->entries > 0 && mailbox_first_entry(mailbox) <= id) {
        struct mailbox_entry *entry = mailbox_slot(mailbox, 0);
        if (!entry->body || entry->body->broadcast == 0 ||
            entry->body->broadcast & BROADCAST_RECORDED)
            mailbox->records_left = true;
        free_entry(mailbox, entry, budget, &freed);
        remove_first(mailbox);
    }
    return freed;
}

struct mailbox_freed mailbox_confirm(struct mailbox *mailbox, uint64_t id,
                                     struct host_budget *budget)
{
    uint64_t first = mailbox_first_waiting(mailbox);
    if (id < first)
        return (struct mailbox_freed){0};
    mailbox->gap -= id - first + 1 < mailbox->gap ? id - first + 1 : mailbox->gap;
    struct mailbox_freed freed = remove_up_to(mailbox, id, budget);
    tidy(mailbox, budget);
    return freed;
}

struct mailbox_freed mailbox_drop(struct mailbox *mailbox, uint64_t id, struct host_budget *budget)
{
    struct mailbox_freed freed = {0};
    free_entry(mailbox, slot_of(mailbox, id), budget, &freed);
    mailbox->dropped += freed.messages;
    tidy(mailbox, budget);
    return freed;
}

struct mailbox_freed mailbox_drop_up_to(struct mailbox *mailbox, uint64_t id,
                                        struct host_budget *budget)
{
    uint64_t entries = mailbox->entries;
    struct mailbox_freed freed = remove_up_to(mailbox, id, budget);
    mailbox->gap += entries - mailbox->entries;
    mailbox->dropped += freed.messages;
    tidy(mailbox, budget);
    return freed;
}

struct mailbox_freed mailbox_replace(struct mailbox *mailbox, uint64_t id, struct blob *body,
                                     struct message_options *options, struct host_budget *budget)
{
    struct mailbox_freed freed = {0};
    struct mailbox_entry *entry = slot_of(mailbox, id);
    free_entry(mailbox, entry, budget, &freed);
    mailbox->dropped += freed.messages;
    mailbox->replaced += freed.messages;
    *entry = (struct mailbox_entry){blob_retain(body), options};
    mailbox->pending++;
    mailbox->bytes += body->len;
    if (options)
        options->id = id;
    return freed;
}

struct mailbox_freed mailbox_drop_all(struct mailbox *mailbox, struct host_budget *budget)
{
    struct mailbox_freed freed = mailbox_confirm(mailbox, mailbox->last_id, budget);
    mailbox->dropped += freed.messages;
    return freed;
}
