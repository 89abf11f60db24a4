#include <errno.h>

#include "store/lmdb_store.h"
#include "store/pages.h"

struct scan {
    const struct store_reader *reader;
    void *context;
    struct store_contents *contents;
    struct stored_session session; /* the last one */
    bool has_session;
    uint64_t last_id;    /* of its messages, whole ones */
    uint16_t next_part;  /* of the message after that; 0: none begun */
    struct buffer body;  /* what came of it */
    struct slice totals; /* in the file, which stays mapped */
    uint64_t alive_ms;
    bool has_state;
};

static const char *take_info(struct scan *scan, struct slice contents)
{
    uint32_t schema;
    struct slice cluster_id;
    if (info_record_read(contents, &schema, &cluster_id) != 0 || cluster_id.len > CLUSTER_ID_MAX)
        return "its description cannot be read";
    if (schema != STORE_SCHEMA)
        return "it was written by another version of msgserver";
    memcpy(scan->contents->cluster_id, cluster_id.data, cluster_id.len);
    scan->contents->cluster_id[cluster_id.len] = '\0';
    scan->contents->has_info = true;
    return NULL;
}

static const char *take_state(struct scan *scan, struct slice contents)
{
    if (state_record_read(contents, &scan->alive_ms, &scan->totals) != 0)
        return "its state cannot be read";
    scan->has_state = true;
    return NULL;
}

static const char *take_session(struct scan *scan, struct slice address, struct slice contents)
{
    struct session_record record;
    if (scan->next_part != 0)
        return "a message lacks its end";
    if (session_record_read(contents, &record) != 0 || !address_is_valid(address) ||
        (record.home.len > 0 && !cluster_id_is_valid(record.home)))
        return "a session cannot be read";
    scan->session = (struct stored_session){.address = address,
                                            .home = record.home,
                                            .ttl_ms = record.ttl_ms,
                                            .created_ms = record.created_ms,
                                            .confirmed = record.confirmed};
    scan->has_session = true;
    scan->last_id = record.confirmed;
    scan->contents->sessions++;
    if (scan->reader && scan->reader->on_session(scan->context, &scan->session) != 0)
        return STORE_NO_MEMORY;
    return NULL;
}

static const char *take_part(struct scan *scan, const struct record_key *key, struct slice contents)
{
    if (!scan->has_session || scan->session.home.len > 0 ||
        !slice_equal(key->address, scan->session.address))
        return "a message has no session";
    if (key->id != scan->last_id + 1 || key->part != scan->next_part ||
        contents.len < PART_HEADER_BYTES)
        return "a message is missing";
    bool more = contents.data[0] != 0;
    struct slice bytes =
        slice_of(contents.data + PART_HEADER_BYTES, contents.len - PART_HEADER_BYTES);
    if (more || scan->next_part > 0) {
        if (buffer_append_slice(&scan->body, bytes) != 0)
            return STORE_NO_MEMORY;
        bytes = buffer_slice(&scan->body);
    }
    scan->next_part++;
    if (more)
        return NULL;
    if (scan->reader && scan->reader->on_message(scan->context, key->id, bytes) != 0)
        return STORE_NO_MEMORY;
    scan->last_id++;
    scan->next_part = 0;
    buffer_truncate(&scan->body, 0);
    return NULL;
}

static const char *take_record(struct scan *scan, struct slice key, struct slice value)
{
    struct record_key record = record_key_read(key);
    struct slice contents;
    if (!record_open(key, value, &contents))
        return "a record's checksum is wrong";
    switch (record.kind) {
    case RECORD_INFO:
        return take_info(scan, contents);
    case RECORD_STATE:
        return take_state(scan, contents);
    case RECORD_SESSION:
        return take_session(scan, record.address, contents);
    case RECORD_PART:
        return take_part(scan, &record, contents);
    default:
        return "it has a record of an unknown kind";
    }
}

static const char *scan_all(struct scan *scan, MDB_cursor *cursor)
{
    MDB_val key, value;
    bool empty = true;
    int code;
    const char *why = NULL;
    while (!why && (code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        why = take_record(scan, lmdb_slice(key), lmdb_slice(value));
        empty = false;
    }
    if (why)
        return why;
    if (code != MDB_NOTFOUND)
        return mdb_strerror(code);
    if (scan->next_part != 0)
        return "a message lacks its end";
    if (!empty && (!scan->contents->has_info || !scan->has_state))
        return "it lacks its description";
    if (!empty && scan->reader &&
        scan->reader->on_state(scan->context, scan->totals, scan->alive_ms) != 0)
        return STORE_NO_MEMORY;
    return NULL;
}

const char *lmdb_store_scan(struct lmdb_store *store, const struct store_reader *reader,
                            void *context)
{
    struct scan scan = {.reader = reader, .context = context, .contents = &store->contents};
    MDB_txn *txn = NULL;
    MDB_cursor *cursor = NULL;
    store->contents = (struct store_contents){0};
    int code = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn);
    if (code == 0)
        code = mdb_cursor_open(txn, store->records, &cursor);
    const char *why = code == 0 ? scan_all(&scan, cursor) : mdb_strerror(code);
    if (cursor)
        mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
    buffer_free(&scan.body);
    return why;
}
