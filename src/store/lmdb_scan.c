#include <errno.h>

#include "base/buffer.h"
#include "store/lmdb_store.h"
#include "store/pages.h"

struct scan {
    const struct store_reader *reader;
    void *context;
    struct store_contents *contents;
    uint64_t last_receipt;
    bool has_receipt;
    struct stored_session session; /* the last one */
    bool has_session;
    uint64_t last_id;              /* of its messages, whole ones */
    uint16_t next_part;            /* of the message after that; 0: none begun */
    struct stored_message message; /* that one, in the file, which stays mapped */
    struct buffer body;            /* what came of it */
    struct slice totals;           /* in the file */
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

static const char *take_receipt(struct scan *scan, uint64_t number, struct slice contents)
{
    struct stored_receipt receipt = {.number = number};
    if (receipt_record_read(contents, &receipt) != 0 || receipt.contents.len > STORED_RECEIPT_MAX)
        return "a receipt cannot be read";
    if (scan->has_receipt && number != scan->last_receipt + 1)
        return "a receipt is missing";
    scan->has_receipt = true;
    scan->last_receipt = number;
    if (scan->reader && scan->reader->on_receipt(scan->context, &receipt) != 0)
        return STORE_NO_MEMORY;
    return NULL;
}

static bool counts_are_plausible(const struct stored_counts *counts)
{
    return counts->confirmed < RECORD_ID_END && counts->gap < RECORD_ID_END - counts->confirmed &&
           counts->replaced <= counts->dropped && counts->overflowed <= counts->dropped;
}

static const char *take_session(struct scan *scan, uint64_t number, struct slice contents)
{
    struct stored_session *session = &scan->session;
    if (scan->next_part != 0)
        return "a message lacks its end";
    if (session_record_read(contents, session) != 0 || !address_is_valid(session->address) ||
        (session->home.len > 0 && !cluster_id_is_valid(session->home)) ||
        !counts_are_plausible(&session->counts))
        return "a session cannot be read";
    session->number = number;
    scan->has_session = true;
    scan->last_id = session->counts.confirmed + session->counts.gap;
    scan->contents->sessions++;
    if (scan->reader && scan->reader->on_session(scan->context, session) != 0)
        return STORE_NO_MEMORY;
    return NULL;
}

static const char *take_part(struct scan *scan, const struct record_key *key, struct slice contents)
{
    bool more;
    struct slice bytes;
    if (!scan->has_session || scan->session.home.len > 0 || key->number != scan->session.number)
        return "a message has no session";
    if (key->id != scan->last_id + 1 || key->part != scan->next_part)
        return "a message is missing";
    if (part_read(contents, key->part, &scan->message, &more, &bytes) != 0)
        return "a message cannot be read";
    if (more || key->part > 0) {
        if (buffer_append_slice(&scan->body, bytes) != 0)
            return STORE_NO_MEMORY;
        bytes = buffer_slice(&scan->body);
    }
    scan->next_part++;
    if (more)
        return scan->next_part == 0 ? "a message has no end" : NULL;
    scan->message.id = key->id;
    scan->message.body = bytes;
    if (scan->reader && scan->reader->on_message(scan->context, &scan->message) != 0)
        return STORE_NO_MEMORY;
    scan->last_id++;
    scan->next_part = 0;
    buffer_clear(&scan->body);
    return NULL;
}

static const char *take_key(struct scan *scan, const struct record_key *name, struct slice contents)
{
    struct stored_key key = {.key = name->key};
    if (scan->next_part != 0)
        return "a message lacks its end";
    if (!scan->has_session || name->number != scan->session.number)
        return "a key has no session";
    if (key_record_read(contents, &key) != 0)
        return "a key cannot be read";
    if (scan->reader && scan->reader->on_key(scan->context, &key) != 0)
        return STORE_NO_MEMORY;
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
    case RECORD_RECEIPT:
        return take_receipt(scan, record.number, contents);
    case RECORD_SESSION:
        return take_session(scan, record.number, contents);
    case RECORD_PART:
        return take_part(scan, &record, contents);
    case RECORD_KEY:
        return take_key(scan, &record, contents);
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
