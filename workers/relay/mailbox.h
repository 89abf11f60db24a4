/* One session's messages, from their acceptance to their confirmation. Knows nothing of sessions,
 * clients and sockets.
 *
 * IDs are 1, 2, 3… for the mailbox's whole life, and clients hang on a hole. So what waits is
 * always one contiguous run of IDs that ends at last_id; the ID of a message that was dropped stays
 * in it, and clients are given an empty message for it. The run is
 *
 *   confirmed_up_to + 1 …   `gap` IDs whose messages were dropped: they take no memory
 *   … last_id               `entries` in a ring, the first of them live; `pending` are live
 *
 * The ring exists only while more than one message waits: most mailboxes are empty most of the
 * time.
 *
 * At every moment  accepted = confirmed + pending + dropped. */
#ifndef MSGSERVER_RELAY_MAILBOX_H
#define MSGSERVER_RELAY_MAILBOX_H

#include <stdbool.h>

#include "workers/relay/host_budget.h"
#include "workers/relay/message_options.h"

/* In a body's `broadcast`, beside the number. */
#define BROADCAST_RECORDED (UINT64_C(1) << 63) /* mailboxes may have records of their own of it */
#define BROADCAST_LISTED   (UINT64_C(1) << 62) /* by who gives them these */
#define BROADCAST_NUMBER   (BROADCAST_LISTED - 1)

struct mailbox_entry {
    struct blob *body;               /* NULL: dropped */
    struct message_options *options; /* NULL: none */
};

/* All-zero is a valid empty mailbox. */
struct mailbox {
    union {
        struct mailbox_entry *ring;
        struct mailbox_entry only; /* while capacity is 0 */
    };
    uint64_t last_id;
    uint64_t sent_up_to; /* highest ID that any client was ever sent */
    uint64_t gap;
    uint64_t dropped;    /* in the mailbox's whole life, replaced messages included */
    uint64_t replaced;   /* of these, those whose ID another message took over */
    uint64_t overflowed; /* of the dropped ones, those for want of room: clients are told */
    uint64_t bytes;      /* of the waiting bodies */
    uint32_t capacity;   /* of the ring, a power of two; 0: there is none */
    uint32_t head;       /* where the lowest entry is */
    uint32_t entries;
    uint32_t pending;
    bool records_left; /* entries are gone that may have records of their own in the store: it is to
                          be told */
};

struct mailbox_limits {
    uint64_t messages;
    uint64_t bytes; /* of bodies */
};

/* The lowest ID that is not confirmed; last_id + 1 when there is none. */
static inline uint64_t mailbox_first_waiting(const struct mailbox *mailbox)
{
    return mailbox->last_id - mailbox->entries - mailbox->gap + 1;
}

/* The lowest ID with an entry. */
static inline uint64_t mailbox_first_entry(const struct mailbox *mailbox)
{
    return mailbox->last_id - mailbox->entries + 1;
}

static inline uint64_t mailbox_accepted(const struct mailbox *mailbox)
{
    return mailbox->last_id + mailbox->replaced;
}

static inline uint64_t mailbox_confirmed(const struct mailbox *mailbox)
{
    return mailbox_accepted(mailbox) - mailbox->pending - mailbox->dropped;
}

/* The place of the entry that is `offset` behind the lowest one; that of the next entry, unless the
 * ring grows for it, is `entries` behind. */
static inline struct mailbox_entry *mailbox_slot(const struct mailbox *mailbox, uint32_t offset)
{
    return mailbox->capacity == 0
               ? (struct mailbox_entry *)&mailbox->only
               : &mailbox->ring[(mailbox->head + offset) & (mailbox->capacity - 1)];
}

/* Whether `count` bodies with `bytes` in all may come in. */
bool mailbox_has_room(const struct mailbox *mailbox, size_t count, uint64_t bytes,
                      const struct mailbox_limits *limits);
/* Makes sure that mailbox_push() of `count` bodies will succeed. Returns 0; or -1 with errno ENOSPC
 * (the host is full) or ENOMEM. */
int mailbox_reserve(struct mailbox *mailbox, size_t count, struct host_budget *budget);
/* Gives the next ID to `body` and keeps a reference; takes `options`, if there are any. Only after
 * mailbox_reserve(). */
uint64_t mailbox_push(struct mailbox *mailbox, struct blob *body, struct message_options *options);
/* An ID whose message was dropped before: only to build a stored mailbox up again. The same. */
void mailbox_push_dropped(struct mailbox *mailbox);
/* Gives back a ring that mailbox_reserve() made, if nothing was pushed after all. */
void mailbox_unreserve(struct mailbox *mailbox, struct host_budget *budget);

/* The entry of an ID from mailbox_first_entry() on. */
const struct mailbox_entry *mailbox_entry(const struct mailbox *mailbox, uint64_t id);

/* [["mailbox.dropped",{"total":N}]], with room for a NUL. */
enum { MAILBOX_NOTICE_ROOM = 64 };
/* What clients are given for a waiting ID: its body; [] for a message that was dropped; and for the
 * last ID of the gap, when the mailbox overflowed, a message that says how often it did so far (in
 * `notice`). */
struct slice mailbox_body(const struct mailbox *mailbox, uint64_t id,
                          char notice[MAILBOX_NOTICE_ROOM]);

/* How many live messages went, and the bytes of their bodies. */
struct mailbox_freed {
    uint64_t messages;
    uint64_t bytes;
};

/* Frees every waiting ID up to and with `id`. Options must be in no table, here and below. */
struct mailbox_freed mailbox_confirm(struct mailbox *mailbox, uint64_t id,
                                     struct host_budget *budget);
/* Drops the live message of `id`, whose ID stays. */
struct mailbox_freed mailbox_drop(struct mailbox *mailbox, uint64_t id, struct host_budget *budget);
/* Drops whatever is live up to and with `id`; the IDs stay. */
struct mailbox_freed mailbox_drop_up_to(struct mailbox *mailbox, uint64_t id,
                                        struct host_budget *budget);
/* Another message takes the place of the live one of `id`, which counts as dropped. Keeps a
 * reference to the body, and takes the options. */
struct mailbox_freed mailbox_replace(struct mailbox *mailbox, uint64_t id, struct blob *body,
                                     struct message_options *options, struct host_budget *budget);
/* Drops all that waits, and its IDs. */
struct mailbox_freed mailbox_drop_all(struct mailbox *mailbox, struct host_budget *budget);

#endif
