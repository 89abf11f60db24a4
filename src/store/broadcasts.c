#include "store/broadcasts.h"

#include <stdlib.h>

struct broadcast_message {
    uint64_t number;
    struct stored_message message;
    char *copy; /* of the body, or NULL */
};

struct broadcast_recipient {
    struct stored_recipient who;
    uint64_t place; /* of the broadcast, among the messages */
};

static struct broadcast_message *messages_of(const struct broadcasts *broadcasts)
{
    return (struct broadcast_message *)buffer_bytes(&broadcasts->messages);
}

static struct broadcast_recipient *recipients_of(const struct broadcasts *broadcasts)
{
    return (struct broadcast_recipient *)buffer_bytes(&broadcasts->recipients);
}

static size_t message_count(const struct broadcasts *broadcasts)
{
    return buffer_len(&broadcasts->messages) / sizeof(struct broadcast_message);
}

static size_t recipient_count(const struct broadcasts *broadcasts)
{
    return buffer_len(&broadcasts->recipients) / sizeof(struct broadcast_recipient);
}

int broadcasts_add(struct broadcasts *broadcasts, uint64_t number,
                   const struct stored_message *message, bool copied)
{
    struct broadcast_message added = {.number = number, .message = *message};
    if (copied) {
        added.copy = malloc(message->body.len);
        if (!added.copy)
            return -1;
        memcpy(added.copy, message->body.data, message->body.len);
        added.message.body.data = added.copy;
    }
    if (buffer_append(&broadcasts->messages, &added, sizeof added) == 0)
        return 0;
    free(added.copy);
    return -1;
}

static int compare(const void *left, const void *right)
{
    const struct stored_recipient *a = &((const struct broadcast_recipient *)left)->who;
    const struct stored_recipient *b = &((const struct broadcast_recipient *)right)->who;
    if (a->session != b->session)
        return a->session < b->session ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

int broadcasts_add_recipients(struct broadcasts *broadcasts,
                              const struct stored_recipient *recipients, size_t count)
{
    size_t before = recipient_count(broadcasts);
    for (size_t i = 0; i < count; i++) {
        struct broadcast_recipient added = {recipients[i], message_count(broadcasts) - 1};
        if (buffer_append(&broadcasts->recipients, &added, sizeof added) != 0)
            return -1;
        if (before + i > 0 && compare(recipients_of(broadcasts) + before + i - 1, &added) > 0)
            broadcasts->unsorted = true;
    }
    return 0;
}

/* By a stable sort of digits of the sessions' numbers: IDs ascend with the broadcasts, so that
 * those of a session are in order already. Comparing takes ten times as long, and there may be tens
 * of millions. */
enum { DIGIT_BITS = 16, DIGITS = 1 << DIGIT_BITS };

static size_t digit_of(const struct broadcast_recipient *recipient, unsigned shift)
{
    return recipient->who.session >> shift & (DIGITS - 1);
}

static void sort_by_digit(struct broadcast_recipient *to, const struct broadcast_recipient *from,
                          size_t count, unsigned shift, size_t ends[DIGITS + 1])
{
    memset(ends, 0, (DIGITS + 1) * sizeof *ends);
    for (size_t i = 0; i < count; i++)
        ends[digit_of(&from[i], shift) + 1]++;
    for (size_t digit = 0; digit < DIGITS; digit++)
        ends[digit + 1] += ends[digit];
    for (size_t i = 0; i < count; i++)
        to[ends[digit_of(&from[i], shift)]++] = from[i];
}

/* Without memory for that, it is left to the other sort. */
static void sort_by_session(struct broadcast_recipient *recipients, size_t count)
{
    uint64_t all = 0;
    struct broadcast_recipient *from = recipients, *to = calloc(count, sizeof *to), *swapped;
    struct broadcast_recipient *other = to;
    size_t *ends = calloc(DIGITS + 1, sizeof *ends);
    for (size_t i = 0; i < count; i++)
        all |= recipients[i].who.session;
    for (unsigned shift = 0; to && ends && shift < 64 && all >> shift != 0; shift += DIGIT_BITS) {
        sort_by_digit(to, from, count, shift, ends);
        swapped = from;
        from = to;
        to = swapped;
    }
    if (from != recipients)
        memcpy(recipients, from, count * sizeof *recipients);
    free(other);
    free(ends);
}

static void sort(struct broadcasts *broadcasts)
{
    size_t count = recipient_count(broadcasts), sorted = 1;
    struct broadcast_recipient *recipients = recipients_of(broadcasts);
    sort_by_session(recipients, count);
    while (sorted < count && compare(&recipients[sorted - 1], &recipients[sorted]) <= 0)
        sorted++;
    if (sorted < count)
        qsort(recipients, count, sizeof *recipients, compare);
    broadcasts->unsorted = false;
}

void broadcasts_enter_session(struct broadcasts *broadcasts, uint64_t session)
{
    if (broadcasts->unsorted)
        sort(broadcasts);
    size_t count = recipient_count(broadcasts);
    const struct broadcast_recipient *recipients = recipients_of(broadcasts);
    while (broadcasts->next < count && recipients[broadcasts->next].who.session < session)
        broadcasts->next++;
}

bool broadcasts_next(struct broadcasts *broadcasts, uint64_t session, uint64_t end,
                     struct stored_message *message)
{
    if (broadcasts->next >= recipient_count(broadcasts))
        return false;
    const struct broadcast_recipient *next = &recipients_of(broadcasts)[broadcasts->next];
    if (next->who.session != session || next->who.id >= end)
        return false;
    const struct broadcast_message *found = &messages_of(broadcasts)[next->place];
    *message = found->message;
    message->id = next->who.id;
    message->broadcast = found->number;
    broadcasts->next++;
    return true;
}

void broadcasts_free(struct broadcasts *broadcasts)
{
    struct broadcast_message *messages = messages_of(broadcasts);
    for (size_t i = 0; i < message_count(broadcasts); i++)
        free(messages[i].copy);
    buffer_free(&broadcasts->messages);
    buffer_free(&broadcasts->recipients);
}
