#include "workers/relay/receipts.h"

#include <errno.h>
#include <stdlib.h>

#include "base/checksum.h"
#include "base/invariant.h"
#include "base/random.h"
#include "base/table.h"

enum {
    FIRST_CAPACITY = 16,
    /* When there is no room for one more, this part of them is forgotten at once. */
    FORGOTTEN_SHARE = 16,
    FORGOTTEN_MAX = 1000,
    FORGOTTEN_LOG_MS = 10000,
    /* Their contents take this part of the store at most, so that messages find room in it. */
    STORE_SHARE = 8,
    RUN_BYTES_MAX = 48 << 10,
};

void receipts_new_epoch(struct receipts *receipts)
{
    do
        random_bytes(&receipts->epoch, sizeof receipts->epoch);
    while (receipts->epoch == 0); /* "from the oldest on", in a request */
}

void receipts_init(struct receipts *receipts, uint64_t limit, struct store *store)
{
    uint64_t size_bytes = store->engine->usage(store).size_bytes;
    *receipts =
        (struct receipts){.limit = (uint32_t)limit,
                          .bytes_max = size_bytes > 0 ? size_bytes / STORE_SHARE : UINT64_MAX,
                          .next = 1,
                          .store = store};
    receipts_new_epoch(receipts);
}

static struct kept_receipt *kept(const struct receipts *receipts, uint64_t number)
{
    return &receipts->ring[number & (receipts->capacity - 1)];
}

static struct slice at(const struct receipts *receipts, uint64_t number)
{
    return blob_slice(kept(receipts, number)->contents);
}

static struct blob *pop(struct receipts *receipts)
{
    struct blob *oldest = kept(receipts, receipts_first(receipts))->contents;
    receipts->count--;
    receipts->bytes -= oldest->len;
    return oldest;
}

void receipts_free(struct receipts *receipts)
{
    while (receipts->count > 0)
        blob_release(pop(receipts));
    free(receipts->ring);
    free(receipts->newest);
    buffer_free(&receipts->scratch);
}

static uint32_t *bucket_of(const struct receipts *receipts, struct slice address, uint64_t id)
{
    uint64_t hash = checksum_u64(table_hash(address.data, address.len), id);
    return &receipts->newest[hash & (receipts->capacity - 1)];
}

static void put(struct receipts *receipts, uint64_t number, struct blob *contents)
{
    struct receipt receipt;
    struct kept_receipt *place = kept(receipts, number);
    *place = (struct kept_receipt){.contents = contents};
    if (get_receipt_record(blob_slice(contents), &receipt) != 0)
        return; /* it cannot be found, but read */
    uint32_t *bucket = bucket_of(receipts, receipt.address, receipt.id);
    place->older = *bucket;
    *bucket = (uint32_t)number;
}

static int reserve(struct receipts *receipts)
{
    if (receipts->count < receipts->capacity)
        return 0;
    uint32_t old_mask = receipts->capacity - 1;
    uint32_t capacity = receipts->capacity > 0 ? receipts->capacity * 2 : FIRST_CAPACITY;
    struct kept_receipt *old = receipts->ring, *ring = calloc(capacity, sizeof *ring);
    uint32_t *newest = calloc(capacity, sizeof *newest);
    if (!ring || !newest) {
        free(ring);
        free(newest);
        return -1;
    }
    free(receipts->newest);
    receipts->ring = ring;
    receipts->newest = newest;
    receipts->capacity = capacity;
    for (uint64_t number = receipts_first(receipts); number < receipts->next; number++)
        put(receipts, number, old[number & old_mask].contents);
    free(old);
    return 0;
}

static int forget(struct receipts *receipts, uint32_t count)
{
    uint64_t last = receipts_first(receipts) + count - 1;
    if (receipts->store->engine->receipts_removed(receipts->store, last) != 0)
        return -1;
    while (count-- > 0)
        blob_release(pop(receipts));
    return 0;
}

static void push(struct receipts *receipts, struct blob *contents)
{
    put(receipts, receipts->next, contents);
    receipts->count++;
    receipts->next++;
    receipts->bytes += contents->len;
}

/* Until there is room for one more. */
static int forget_oldest(struct receipts *receipts, uint64_t bytes)
{
    while (receipts->count > 0 &&
           (receipts->count >= receipts->limit || receipts->bytes + bytes > receipts->bytes_max)) {
        uint32_t share = receipts->count / FORGOTTEN_SHARE + 1;
        if (forget(receipts, share < FORGOTTEN_MAX ? share : FORGOTTEN_MAX) != 0)
            return -1;
    }
    return 0;
}

/* The numbers of what the store keeps are one run, so the new one cannot be left out alone. */
static int forget_all(struct receipts *receipts)
{
    uint64_t suppressed;
    if (log_limit_pass(&receipts->forgotten, FORGOTTEN_LOG_MS, &suppressed))
        LOG_WARNING("receipts-forgotten", "count=%u suppressed=%llu why=\"the store is full\"",
                    receipts->count + 1, (unsigned long long)suppressed);
    if (receipts->count > 0 && forget(receipts, receipts->count) != 0)
        return -1;
    receipts->next++;
    return 0;
}

int receipts_add(struct receipts *receipts, const struct receipt *receipt)
{
    buffer_clear(&receipts->scratch);
    if (put_receipt_record(&receipts->scratch, receipt) != 0)
        return -1;
    struct slice bytes = buffer_slice(&receipts->scratch);
    INVARIANT(bytes.len <= STORED_RECEIPT_MAX, "a receipt is too long");
    if (forget_oldest(receipts, bytes.len) != 0 || reserve(receipts) != 0)
        return -1;
    struct blob *contents = blob_new(bytes);
    if (!contents)
        return -1;
    struct stored_receipt stored = {receipts->next, blob_slice(contents)};
    if (receipts->store->engine->receipt_added(receipts->store, &stored) == 0) {
        push(receipts, contents);
        return 0;
    }
    int error = errno;
    blob_release(contents);
    if (error == ENOSPC)
        return forget_all(receipts);
    errno = error;
    return -1;
}

int receipts_restore(struct receipts *receipts, const struct stored_receipt *stored)
{
    struct blob *contents = reserve(receipts) == 0 ? blob_new(stored->contents) : NULL;
    if (!contents)
        return -1;
    receipts->next = stored->number;
    push(receipts, contents);
    return 0;
}

int receipts_read(const struct receipts *receipts, uint64_t after, uint32_t limit, uint64_t *first,
                  struct buffer *run)
{
    uint64_t number = receipts_first(receipts);
    if (number <= after)
        number = after < receipts->next ? after + 1 : receipts->next;
    *first = number;
    for (; number < receipts->next && limit > 0 && buffer_len(run) < RUN_BYTES_MAX; limit--)
        if (put_slice(run, at(receipts, number++)) != 0)
            return -1;
    return 0;
}

/* A bucket's numbers descend, and end with one that is forgotten. */
bool receipts_find(const struct receipts *receipts, struct slice address, uint64_t id,
                   struct receipt *receipt)
{
    if (receipts->count == 0)
        return false;
    uint64_t above = receipts->next, first = receipts_first(receipts);
    uint32_t half = *bucket_of(receipts, address, id);
    for (;;) {
        uint32_t below = (uint32_t)above - half;
        if (below == 0 || below > above - first)
            return false;
        above -= below;
        if (get_receipt_record(at(receipts, above), receipt) == 0 && receipt->id == id &&
            slice_equal(receipt->address, address))
            return true;
        half = kept(receipts, above)->older;
    }
}
