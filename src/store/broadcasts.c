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

void broadcasts_enter_session(struct broadcasts *broadcasts, uint64_t session)
{
    size_t count = recipient_count(broadcasts);
    struct broadcast_recipient *recipients = recipients_of(broadcasts);
    if (broadcasts->unsorted)
        qsort(recipients, count, sizeof *recipients, compare);
    broadcasts->unsorted = false;
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
