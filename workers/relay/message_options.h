/* What a sender asked for beside the delivery of a message; most messages have none of it. */
#ifndef MSGSERVER_RELAY_MESSAGE_OPTIONS_H
#define MSGSERVER_RELAY_MESSAGE_OPTIONS_H

#include "base/table.h"
#include "workers/relay/host_budget.h"

struct message_wish {
    uint64_t expires_ms;      /* clock_steady_ms(); 0: never */
    struct slice replace_key; /* empty: none; as `receipt` */
    struct slice receipt;     /* the sender's tag */
};

struct message_options {
    uint64_t expires_ms;
    uint64_t id;
    uint16_t replace_key_len;
    uint16_t receipt_len;
    UT_hash_handle hh; /* in the table of those that may be replaced; hh.tbl: whether it is */
    char text[];       /* the session's number, the replace key, the receipt's tag */
};

static inline bool wish_is_empty(const struct message_wish *wish)
{
    return wish->expires_ms == 0 && wish->replace_key.len == 0 && wish->receipt.len == 0;
}

/* Charged to the budget; NULL with errno ENOSPC or ENOMEM. */
struct message_options *options_new(struct host_budget *budget, uint64_t session,
                                    const struct message_wish *wish);
/* NULL is accepted. It must be in no table. */
void options_free(struct host_budget *budget, struct message_options *options);

struct slice options_replace_key(const struct message_options *options);
struct slice options_receipt(const struct message_options *options);

/* The messages of all mailboxes that a newer one with the same replace key may take the place of,
 * by session and key: the newest of each. All-zero is a valid empty table. */
struct replaceable {
    struct message_options *options;
};
/* An older one of the same key is not found any more. Without memory it is not found, either: then
 * it is not replaced. */
void replaceable_add(struct replaceable *table, struct message_options *options);
void replaceable_remove(struct replaceable *table, struct message_options *options);
struct message_options *replaceable_find(const struct replaceable *table, uint64_t session,
                                         struct slice key);

#endif
