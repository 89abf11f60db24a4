#include "store/lmdb_store.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "codecs/settings.h"
#include "io/child_contract.h"

enum {
    PAGE_ROOM = 4096 - 16,
    DEPTH_COST = 4,     /* pages that a change rewrites on its way from the root */
    NODE_OVERHEAD = 10, /* LMDB's, beside key and value */
    BATCH_SHARE = 32,  /* a batch takes this part of the map at most, unless one change is larger */
    RESERVE_SHARE = 8, /* kept for rewriting pages, for confirmations and for deletions */
};

static struct lmdb_store *lmdb_of(struct store *store)
{
    return (struct lmdb_store *)store;
}

/* --- batches ---------------------------------------------------------------------------------- */

static int begin_change(struct lmdb_store *store)
{
    if (store->batch)
        return 0;
    store->changes = 0;
    store->batch_pages = 0;
    return lmdb_result(mdb_txn_begin(store->env, NULL, 0, &store->batch));
}

/* LMDB cannot take back a part of a transaction. A change that fails alone is taken back with it;
 * one that fails after others takes the process along, whose clients were not told of them yet. */
static int change_failed(struct lmdb_store *store, int code)
{
    mdb_txn_abort(store->batch);
    store->batch = NULL;
    if (store->changes > 0) {
        LOG_ERROR("store-failed", "why=\"%s\" action=\"starting the relay anew\"",
                  mdb_strerror(code));
        _Exit(EXIT_OS);
    }
    return lmdb_result(code);
}

static int change_made(struct lmdb_store *store, uint64_t pages)
{
    store->changes++;
    store->batch_pages += pages + DEPTH_COST;
    store->base.batch_is_large = store->batch_pages >= store->map_pages / BATCH_SHARE;
    return 0;
}

/* Whether a change that adds data may be made: pages must be left for those that free some. */
static bool has_room(struct lmdb_store *store, uint64_t pages)
{
    uint64_t reserve = store->map_pages / RESERVE_SHARE;
    bool full =
        store->used_pages + (store->batch ? store->batch_pages : 0) + pages + DEPTH_COST + reserve >
        store->map_pages;
    if (full != store->full)
        LOG_WARNING(full ? "store-full" : "store-has-room", "used_pages=%" PRIu64 " of=%" PRIu64,
                    store->used_pages, store->map_pages);
    store->full = full;
    if (full)
        errno = ENOSPC;
    return !full;
}

static int put_record(struct lmdb_store *store, struct slice key, struct buffer *record)
{
    struct slice value = buffer_slice(record);
    uint64_t sum =
        record_sum(key, slice_of(value.data + RECORD_SUM_BYTES, value.len - RECORD_SUM_BYTES));
    memcpy(buffer_bytes(record), &sum, sizeof sum);
    MDB_val name = lmdb_value(key), data = lmdb_value(value);
    return mdb_put(store->batch, store->records, &name, &data, 0);
}

static int lmdb_end_batch(struct store *base, struct slice totals)
{
    struct lmdb_store *store = lmdb_of(base);
    char text[RECORD_KEY_MAX];
    struct slice key = record_key_write(&(struct record_key){.kind = RECORD_STATE}, text);
    if (begin_change(store) != 0 ||
        state_record_write(&store->scratch, clock_wall_ms(), totals) != 0)
        return -1;
    int code = put_record(store, key, &store->scratch);
    if (code != 0)
        return change_failed(store, code);
    if (lmdb_store_count_pages(store, store->batch) != 0)
        return -1;
    code = mdb_txn_commit(store->batch);
    store->batch = NULL;
    store->base.batch_is_large = false;
    return lmdb_result(code);
}

/* --- changes ---------------------------------------------------------------------------------- */

static int lmdb_session_created(struct store *base, struct slice address, struct slice home,
                                uint64_t ttl_ms)
{
    struct lmdb_store *store = lmdb_of(base);
    char text[RECORD_KEY_MAX];
    struct record_key key = {.kind = RECORD_SESSION, .address = address};
    struct session_record record = {.ttl_ms = ttl_ms, .created_ms = clock_wall_ms(), .home = home};
    if (!has_room(store, 1) || begin_change(store) != 0 ||
        session_record_write(&store->scratch, &record) != 0)
        return -1;
    int code = put_record(store, record_key_write(&key, text), &store->scratch);
    return code == 0 ? change_made(store, 1) : change_failed(store, code);
}

/* Deletes the messages of a session with IDs up to `id`; `pages` grows by what that may take. */
static int delete_messages(struct lmdb_store *store, struct slice address, uint64_t id,
                           uint64_t *pages)
{
    enum { DELETED_PER_PAGE = 8 };
    char text[RECORD_KEY_MAX];
    struct record_key first = {.kind = RECORD_PART, .address = address};
    MDB_val key = lmdb_value(record_key_write(&first, text)), value;
    MDB_cursor *cursor;
    int code = mdb_cursor_open(store->batch, store->records, &cursor);
    if (code != 0)
        return code;
    uint64_t deleted = 0;
    code = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    while (code == 0) {
        struct record_key found = record_key_read(lmdb_slice(key));
        if (found.kind != RECORD_PART || !slice_equal(found.address, address) || found.id > id)
            break;
        code = mdb_cursor_del(cursor, 0);
        if (code == 0)
            code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
        deleted++;
    }
    mdb_cursor_close(cursor);
    *pages += deleted / DELETED_PER_PAGE;
    return code == MDB_NOTFOUND ? 0 : code;
}

static int lmdb_session_deleted(struct store *base, struct slice address)
{
    struct lmdb_store *store = lmdb_of(base);
    char text[RECORD_KEY_MAX];
    struct record_key session = {.kind = RECORD_SESSION, .address = address};
    if (begin_change(store) != 0)
        return -1;
    uint64_t pages = 0;
    MDB_val key = lmdb_value(record_key_write(&session, text));
    int code = mdb_del(store->batch, store->records, &key, NULL);
    if (code == 0 || code == MDB_NOTFOUND)
        code = delete_messages(store, address, UINT64_MAX, &pages);
    return code == 0 ? change_made(store, pages) : change_failed(store, code);
}

static size_t part_count(size_t body_len)
{
    return body_len == 0 ? 1 : (body_len + PART_BYTES_MAX - 1) / PART_BYTES_MAX;
}

/* Pages that the bodies take at most: pages are at least half full. */
static uint64_t pages_of(struct slice address, struct blob *const *bodies, size_t count)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += bodies[i]->len +
                 part_count(bodies[i]->len) * (address.len + 1 + 8 + 2 + RECORD_SUM_BYTES +
                                               PART_HEADER_BYTES + NODE_OVERHEAD);
    return 2 * bytes / PAGE_ROOM + 1;
}

static int put_part(struct lmdb_store *store, const struct record_key *name, struct slice bytes,
                    bool more)
{
    char text[RECORD_KEY_MAX];
    struct slice key = record_key_write(name, text);
    MDB_val at = lmdb_value(key);
    MDB_val value = {RECORD_SUM_BYTES + PART_HEADER_BYTES + bytes.len, NULL};
    int code = mdb_put(store->batch, store->records, &at, &value, MDB_RESERVE);
    if (code != 0)
        return code;
    char *contents = (char *)value.mv_data + RECORD_SUM_BYTES;
    contents[0] = more ? 1 : 0;
    if (bytes.len > 0)
        memcpy(contents + PART_HEADER_BYTES, bytes.data, bytes.len);
    uint64_t sum = record_sum(key, slice_of(contents, PART_HEADER_BYTES + bytes.len));
    memcpy(value.mv_data, &sum, sizeof sum);
    return 0;
}

static int put_body(struct lmdb_store *store, struct slice address, uint64_t id, struct slice body)
{
    struct record_key key = {.kind = RECORD_PART, .address = address, .id = id};
    size_t parts = part_count(body.len);
    for (size_t i = 0; i < parts; i++) {
        size_t left = body.len - i * PART_BYTES_MAX;
        struct slice bytes =
            slice_of(body.data + i * PART_BYTES_MAX, left < PART_BYTES_MAX ? left : PART_BYTES_MAX);
        key.part = (uint16_t)i;
        int code = put_part(store, &key, bytes, i + 1 < parts);
        if (code != 0)
            return code;
    }
    return 0;
}

static int lmdb_accepted(struct store *base, struct slice address, uint64_t first_id,
                         struct blob *const *bodies, size_t count)
{
    struct lmdb_store *store = lmdb_of(base);
    uint64_t pages = pages_of(address, bodies, count);
    if (!has_room(store, pages) || begin_change(store) != 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        int code = put_body(store, address, first_id + i, blob_slice(bodies[i]));
        if (code != 0)
            return change_failed(store, code);
    }
    return change_made(store, pages);
}

static int lmdb_confirmed(struct store *base, struct slice address, uint64_t id)
{
    struct lmdb_store *store = lmdb_of(base);
    char text[RECORD_KEY_MAX];
    struct record_key name = {.kind = RECORD_SESSION, .address = address};
    struct slice key = record_key_write(&name, text), contents;
    struct session_record record;
    if (begin_change(store) != 0)
        return -1;
    MDB_val at = lmdb_value(key), value;
    int code = mdb_get(store->batch, store->records, &at, &value);
    if (code == 0 && (!record_open(key, lmdb_slice(value), &contents) ||
                      session_record_read(contents, &record) != 0))
        code = MDB_CORRUPTED;
    if (code != 0)
        return change_failed(store, code);
    record.confirmed = id;
    uint64_t pages = 0;
    /* A copy is made before the page under `record.home` changes. */
    if (session_record_write(&store->scratch, &record) != 0)
        return -1;
    code = put_record(store, key, &store->scratch);
    if (code == 0)
        code = delete_messages(store, address, id, &pages);
    return code == 0 ? change_made(store, pages) : change_failed(store, code);
}

/* --- opening, closing, recovery --------------------------------------------------------------- */

static void lmdb_close(struct store *base)
{
    struct lmdb_store *store = lmdb_of(base);
    if (store->batch)
        mdb_txn_abort(store->batch);
    lmdb_store_close_file(store);
    store_directory_close(&store->directory);
    buffer_free(&store->scratch);
    free(store);
}

static struct store *lmdb_open(const struct settings *settings, char *why, size_t why_room)
{
    struct lmdb_store *store = calloc(1, sizeof *store);
    if (!store) {
        snprintf(why, why_room, "there is no memory for the store");
        return NULL;
    }
    store->base.engine = &STORE_LMDB;
    store->size = settings->store_size;
    store->sync = strcmp(settings->store_durability, "disk") == 0;
    if (store_directory_open(&store->directory, settings, why, why_room) != 0) {
        free(store);
        return NULL;
    }
    if (lmdb_store_open_file(store, why, why_room) != 0) {
        lmdb_close(&store->base);
        return NULL;
    }
    return &store->base;
}

static int write_info(struct lmdb_store *store, struct slice cluster_id)
{
    char text[RECORD_KEY_MAX];
    struct slice key = record_key_write(&(struct record_key){.kind = RECORD_INFO}, text);
    if (begin_change(store) != 0 || info_record_write(&store->scratch, cluster_id) != 0)
        return -1;
    int code = put_record(store, key, &store->scratch);
    return code == 0 ? change_made(store, 1) : change_failed(store, code);
}

/* Keys of sessions made under another cluster ID lead to that one, so its store is of no use here;
 * it is kept for when the ID is the old one again. */
static int set_other_host_aside(struct lmdb_store *store, struct slice cluster_id, const char *old,
                                char *why, size_t why_room)
{
    char reason[512];
    snprintf(reason, sizeof reason,
             "its sessions belong to cluster ID %s, and this host is %.*s now: set "
             "server.mmrp.clusterId, or a fixed server.mmrp.bind.port",
             old, (int)cluster_id.len, cluster_id.data);
    lmdb_store_close_file(store);
    return store_set_aside(&store->directory, "other-host", reason, why, why_room) != 0
               ? -1
               : lmdb_store_open_file(store, why, why_room);
}

static int lmdb_recover(struct store *base, struct slice cluster_id,
                        const struct store_reader *reader, void *context, char *why,
                        size_t why_room)
{
    struct lmdb_store *store = lmdb_of(base);
    const struct store_contents *contents = &store->contents;
    bool same = contents->has_info && slice_equals_string(cluster_id, contents->cluster_id);
    if (!same && contents->sessions > 0 &&
        set_other_host_aside(store, cluster_id, contents->cluster_id, why, why_room) != 0)
        return -1;
    const char *wrong = lmdb_store_scan(store, reader, context);
    if (wrong) {
        snprintf(why, why_room, "the store %s cannot be read: %s", store->directory.file, wrong);
        return -1;
    }
    LOG_INFO("store-open", "file=%s sessions=%" PRIu64 " used_pages=%" PRIu64 " of=%" PRIu64,
             store->directory.file, contents->sessions, store->used_pages, store->map_pages);
    if (same || write_info(store, cluster_id) == 0)
        return 0;
    snprintf(why, why_room, "the store %s cannot be written: %s", store->directory.file,
             strerror(errno));
    return -1;
}

const struct store_engine STORE_LMDB = {
    .name = "lmdb",
    .open = lmdb_open,
    .close = lmdb_close,
    .recover = lmdb_recover,
    .session_created = lmdb_session_created,
    .session_deleted = lmdb_session_deleted,
    .accepted = lmdb_accepted,
    .confirmed = lmdb_confirmed,
    .end_batch = lmdb_end_batch,
};
