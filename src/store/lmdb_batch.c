#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "io/child_contract.h"
#include "store/lmdb_store.h"

enum {
    /* A batch takes this part of the map at most, and no more pages than this, unless one change
     * is larger: LMDB lists the pages that a transaction freed in a run of pages. */
    BATCH_SHARE = 32,
    BATCH_PAGES_MAX = 4096,
    RESERVE_SHARE = 8, /* kept for rewriting pages, for confirmations and for deletions */
    /* A store that was full is said to have room when this part is free beside the reserve. */
    ROOM_SHARE = 64,
};

int lmdb_result(int code)
{
    if (code == 0)
        return 0;
    errno = code > 0 ? code : code == MDB_MAP_FULL ? ENOSPC : EIO;
    return -1;
}

/* --- room ------------------------------------------------------------------------------------- */

static bool leaves(const struct lmdb_store *store, uint64_t pages, uint64_t reserve)
{
    uint64_t taken =
        store->used_pages + (store->batch ? store->batch_pages + lmdb_counts_due(store) : 0);
    return taken + pages + DEPTH_COST + reserve + lmdb_counts_room(store) <= store->map_pages;
}

bool lmdb_has_room(struct lmdb_store *store, uint64_t pages)
{
    uint64_t reserve = store->map_pages / RESERVE_SHARE;
    bool has_room = leaves(store, pages, reserve);
    if (store->full ? leaves(store, pages, reserve + store->map_pages / ROOM_SHARE) : !has_room) {
        store->full = !store->full;
        LOG_WARNING(store->full ? "store-full" : "store-has-room",
                    "used_pages=%" PRIu64 " of=%" PRIu64, store->used_pages, store->map_pages);
    }
    if (!has_room)
        errno = ENOSPC;
    return has_room;
}

bool lmdb_has_reserve(struct lmdb_store *store, uint64_t pages)
{
    if (leaves(store, pages, store->map_pages / RESERVE_SHARE / 2))
        return true;
    errno = ENOSPC;
    return false;
}

int lmdb_count_pages(struct lmdb_store *store, MDB_txn *txn)
{
    enum { FREE_TREE = 0, META_PAGES = 2 };
    MDB_stat records, free_list;
    int code = mdb_stat(txn, store->records, &records);
    if (code == 0)
        code = mdb_stat(txn, FREE_TREE, &free_list);
    if (code == 0)
        store->used_pages = META_PAGES + records.ms_branch_pages + records.ms_leaf_pages +
                            records.ms_overflow_pages + free_list.ms_branch_pages +
                            free_list.ms_leaf_pages + free_list.ms_overflow_pages;
    return code;
}

struct store_usage lmdb_usage(const struct store *base)
{
    const struct lmdb_store *store = (const struct lmdb_store *)base;
    return (struct store_usage){.used_bytes = store->used_pages * store->page_bytes,
                                .size_bytes = store->map_pages * store->page_bytes};
}

/* --- changes ---------------------------------------------------------------------------------- */

int lmdb_change_begin(struct lmdb_store *store)
{
    if (store->batch)
        return 0;
    store->changes = 0;
    store->batch_pages = 0;
    int code = mdb_txn_begin(store->env, NULL, 0, &store->batch);
    if (code == 0)
        code = mdb_cursor_open(store->batch, store->records, &store->cursor);
    if (code != 0)
        lmdb_abort_batch(store);
    return lmdb_result(code);
}

void lmdb_abort_batch(struct lmdb_store *store)
{
    if (store->batch)
        mdb_txn_abort(store->batch); /* and its cursor */
    store->batch = NULL;
    store->cursor = NULL;
    lmdb_counts_forget_batch(store);
}

/* LMDB cannot take back a part of a transaction. A change that fails alone is taken back with it;
 * one that fails after others takes the process along, whose clients were not told of them yet. */
static int change_failed(struct lmdb_store *store, int code)
{
    lmdb_abort_batch(store);
    if (store->changes > 0) {
        LOG_ERROR("store-failed", "why=\"%s\" action=\"starting the relay anew\"",
                  mdb_strerror(code));
        _Exit(EXIT_OS);
    }
    return lmdb_result(code);
}

void lmdb_note_size(struct lmdb_store *store)
{
    uint64_t pages = store->batch_pages + lmdb_counts_due(store);
    store->base.batch_is_large =
        pages >= store->map_pages / BATCH_SHARE || pages >= BATCH_PAGES_MAX;
}

int lmdb_change_end(struct lmdb_store *store, int code, uint64_t pages)
{
    if (code != 0)
        return change_failed(store, code);
    store->changes++;
    store->batch_pages += pages + DEPTH_COST;
    lmdb_note_size(store);
    return 0;
}

int lmdb_put_record(struct lmdb_store *store, const struct record_key *key, char *value, size_t len)
{
    char text[RECORD_KEY_MAX];
    struct slice name = record_key_write(key, text);
    uint64_t sum = record_sum(name, slice_of(value + RECORD_SUM_BYTES, len - RECORD_SUM_BYTES));
    memcpy(value, &sum, sizeof sum);
    MDB_val at = lmdb_value(name), data = {len, value};
    return mdb_cursor_put(store->cursor, &at, &data, 0);
}

int lmdb_end_batch(struct store *base, struct slice totals)
{
    struct lmdb_store *store = lmdb_of(base);
    char value[RECORD_MAX];
    size_t len = state_record_write(value, clock_steady_ms(), totals);
    if (len == 0 || lmdb_change_begin(store) != 0 || lmdb_counts_end_batch(store) != 0)
        return -1;
    int code = lmdb_put_record(store, &(struct record_key){.kind = RECORD_STATE}, value, len);
    if (code == 0)
        code = lmdb_count_pages(store, store->batch);
    if (code != 0)
        return change_failed(store, code);
    code = mdb_txn_commit(store->batch); /* which ends the cursor as well */
    store->batch = NULL;
    store->cursor = NULL;
    store->base.batch_is_large = false;
    return lmdb_result(code);
}
