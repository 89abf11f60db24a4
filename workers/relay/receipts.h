/* What became of messages for which a sender asked: the newest so many, in order, numbered for the
 * whole life of the store. A sender reads them from where it stopped. */
#ifndef MSGSERVER_RELAY_RECEIPTS_H
#define MSGSERVER_RELAY_RECEIPTS_H

#include "base/blob.h"
#include "base/buffer.h"
#include "base/log.h"
#include "codecs/requests.h"
#include "store/store.h"

struct kept_receipt {
    struct blob *contents;
    uint32_t older; /* lower half of the number of the one before it in its bucket */
};

struct receipts {
    struct kept_receipt *ring; /* by number, modulo the capacity */
    uint32_t *newest;          /* by hash of address and ID: as `older`, of the bucket's newest */
    uint32_t capacity;         /* of both, a power of two */
    uint32_t count;
    uint32_t limit;
    uint64_t bytes, bytes_max; /* of their contents */
    uint64_t next;             /* number of the next one; the first ever is 1 */
    uint64_t epoch;            /* names the numbering: another one when the store was lost */
    struct store *store;
    struct buffer scratch;
    struct log_limit forgotten;
};

/* Draws an epoch; receipts_restore() and a restored `epoch` and `next` follow, or not. */
void receipts_init(struct receipts *receipts, uint64_t limit, struct store *store);
/* Readers that stand in the old one are told that they may have missed something. */
void receipts_new_epoch(struct receipts *receipts);
void receipts_free(struct receipts *receipts);

/* Makes room when there are too many, and forgets all of them, this one included, when the store
 * has no room at all. Returns 0; or -1 with errno, and there is no such receipt. */
int receipts_add(struct receipts *receipts, const struct receipt *receipt);
/* One that the store kept; the numbers ascend by one. */
int receipts_restore(struct receipts *receipts, const struct stored_receipt *stored);

static inline uint64_t receipts_first(const struct receipts *receipts)
{
    return receipts->next - receipts->count;
}

/* Appends up to `limit` receipts after number `after` to a run of slices. `*first`: the number of
 * the first of them. Returns 0, or -1 with errno ENOMEM. */
int receipts_read(const struct receipts *receipts, uint64_t after, uint32_t limit, uint64_t *first,
                  struct buffer *run);
/* The one of that message, while it is kept. */
bool receipts_find(const struct receipts *receipts, struct slice address, uint64_t id,
                   struct receipt *receipt);

#endif
