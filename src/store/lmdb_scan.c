#include <errno.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "store/broadcasts.h"
#include "store/lmdb_store.h"
#include "store/pages.h"

struct scan {
    const struct store_reader *reader;
    void *context;
    struct store_contents *contents;
    struct broadcasts broadcasts;
    uint64_t last_broadcast;
    bool has_broadcast;
    uint32_t next_chunk;   /* of its recipients */
    struct buffer changed; /* struct changed_counts, by session from when they are needed */
    size_t next_changed;
    uint64_t last_receipt;
    bool has_receipt;
    struct stored_session session; /* the last one */
    bool has_session;
    uint64_t last_id;              /* of its messages, whole ones */
    uint16_t next_part;            /* of a message or a broadcast; 0: none begun */
    struct stored_message message; /* that one, in the file, which stays mapped */
    struct buffer body;            /* what came of it, when it has several parts */
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

/* Puts the part to those before it. `whole`: the message is complete; clear scan->body then. */
static const char *take_body(struct scan *scan, uint16_t part, struct slice contents, bool *whole)
{
    bool more;
    struct slice bytes;
    *whole = false;
    if (part_read(contents, part, &scan->message, &more, &bytes) != 0)
        return "a message cannot be read";
    if (more || part > 0) {
        if (buffer_append_slice(&scan->body, bytes) != 0)
            return STORE_NO_MEMORY;
        bytes = buffer_slice(&scan->body);
    }
    scan->next_part++;
    if (more)
        return scan->next_part == 0 ? "a message has no end" : NULL;
    scan->message.body = bytes;
    scan->next_part = 0;
    *whole = true;
    return NULL;
}

static const char *take_broadcast(struct scan *scan, const struct record_key *key,
                                  struct slice contents)
{
    bool whole, begins = scan->next_part == 0;
    bool is_new = !scan->has_broadcast || key->number != scan->last_broadcast;
    if (is_new != begins || key->part != scan->next_part)
        return "a broadcast lacks a part";
    scan->has_broadcast = true;
    scan->last_broadcast = key->number;
    scan->next_chunk = 0;
    const char *why = take_body(scan, key->part, contents, &whole);
    if (why || !whole)
        return why;
    const struct stored_message *message = &scan->message;
    if (message->dropped || message->expires_ms || message->replace_key.len || message->receipt.len)
        return "a broadcast cannot be read";
    int result = broadcasts_add(&scan->broadcasts, key->number, message, key->part > 0);
    if (result == 0 && scan->reader)
        result = scan->reader->on_broadcast(scan->context, key->number, message);
    buffer_clear(&scan->body);
    return result == 0 ? NULL : STORE_NO_MEMORY;
}

static const char *take_recipients(struct scan *scan, const struct record_key *key,
                                   struct slice contents)
{
    struct stored_recipient recipients[STORED_RECIPIENTS_MAX];
    size_t count;
    if (!scan->has_broadcast || key->number != scan->last_broadcast || scan->next_part != 0)
        return "recipients have no broadcast";
    if (key->chunk != scan->next_chunk++)
        return "recipients are missing";
    if (recipients_record_read(contents, recipients, &count) != 0 || count == 0)
        return "recipients cannot be read";
    return broadcasts_add_recipients(&scan->broadcasts, recipients, count) == 0 ? NULL
                                                                                : STORE_NO_MEMORY;
}

static const char *take_counts(struct scan *scan, uint64_t number, struct slice contents)
{
    struct changed_counts changed[RECORD_COUNTS_MAX];
    struct store_contents *found = scan->contents;
    size_t count;
    if (scan->next_part != 0)
        return "a broadcast lacks a part";
    if (counts_record_read(contents, changed, &count) != 0 || count == 0)
        return "changed counts cannot be read";
    if (found->list_entries > 0 && number != found->next_list)
        return "changed counts are missing";
    if (found->list_entries == 0)
        found->first_list = number;
    found->next_list = number + 1;
    found->list_entries += count;
    return buffer_append(&scan->changed, changed, count * sizeof *changed) == 0 ? NULL
                                                                                : STORE_NO_MEMORY;
}

static int compare_sessions(const void *left, const void *right)
{
    uint64_t a = ((const struct changed_counts *)left)->session;
    uint64_t b = ((const struct changed_counts *)right)->session;
    return a < b ? -1 : a > b;
}

static void sort_changed(const struct scan *scan)
{
    struct slice all = buffer_slice(&scan->changed);
    if (all.len > 0)
        qsort(buffer_bytes(&scan->changed), all.len / sizeof(struct changed_counts),
              sizeof(struct changed_counts), compare_sessions);
}

/* Sessions come in the order of their numbers. */
static void bring_up_to_date(struct scan *scan, struct stored_session *session)
{
    const struct changed_counts *changed =
        (const struct changed_counts *)buffer_bytes(&scan->changed);
    size_t count = buffer_len(&scan->changed) / sizeof *changed;
    if (!scan->has_session)
        sort_changed(scan);
    for (; scan->next_changed < count && changed[scan->next_changed].session <= session->number;
         scan->next_changed++) {
        const struct changed_counts *one = &changed[scan->next_changed];
        if (one->session == session->number && counts_went_further(&one->counts, &session->counts))
            session->counts = one->counts;
    }
}

static const char *take_receipt(struct scan *scan, uint64_t number, struct slice contents)
{
    struct stored_receipt receipt = {.number = number};
    if (scan->next_part != 0)
        return "a broadcast lacks a part";
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

static const char *take_message(struct scan *scan, const struct stored_message *message)
{
    if (scan->session.home.len > 0)
        return "a message has no session";
    if (message->id != scan->last_id + 1)
        return "a message is missing";
    if (scan->reader && scan->reader->on_message(scan->context, message) != 0)
        return STORE_NO_MEMORY;
    scan->last_id++;
    return NULL;
}

/* The broadcasts in the session's mailbox below that ID. What was settled since, and what made
 * place for another record, has an ID that was there already. */
static const char *take_broadcasts_below(struct scan *scan, uint64_t end)
{
    struct stored_message message;
    const char *why = NULL;
    while (!why && scan->has_session &&
           broadcasts_next(&scan->broadcasts, scan->session.number, end, &message))
        if (message.id > scan->last_id)
            why = take_message(scan, &message);
    return why;
}

/* After its messages come keys, another session, or nothing. */
static const char *end_messages(struct scan *scan)
{
    return scan->next_part != 0 ? "a message lacks its end"
                                : take_broadcasts_below(scan, UINT64_MAX);
}

static const char *take_session(struct scan *scan, uint64_t number, struct slice contents)
{
    struct stored_session *session = &scan->session;
    const char *why = end_messages(scan);
    if (why)
        return why;
    if (session_record_read(contents, session) != 0 || !address_is_valid(session->address) ||
        (session->home.len > 0 && !cluster_id_is_valid(session->home)) ||
        !counts_are_plausible(&session->counts))
        return "a session cannot be read";
    session->number = number;
    bring_up_to_date(scan, session);
    if (!counts_are_plausible(&session->counts))
        return "a session's changed counts cannot be read";
    scan->has_session = true;
    broadcasts_enter_session(&scan->broadcasts, number);
    scan->last_id = session->counts.confirmed + session->counts.gap;
    scan->contents->sessions++;
    if (scan->reader && scan->reader->on_session(scan->context, session) != 0)
        return STORE_NO_MEMORY;
    return NULL;
}

static const char *take_part(struct scan *scan, const struct record_key *key, struct slice contents)
{
    bool whole;
    if (!scan->has_session || key->number != scan->session.number)
        return "a message has no session";
    const char *why = take_broadcasts_below(scan, key->id);
    if (why)
        return why;
    if (key->id != scan->last_id + 1 || key->part != scan->next_part)
        return "a message is missing";
    why = take_body(scan, key->part, contents, &whole);
    if (why || !whole)
        return why;
    scan->message.id = key->id;
    why = take_message(scan, &scan->message);
    buffer_clear(&scan->body);
    return why;
}

static const char *take_key(struct scan *scan, const struct record_key *name, struct slice contents)
{
    struct stored_key key = {.key = name->key};
    const char *why = end_messages(scan);
    if (why)
        return why;
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
    case RECORD_BROADCAST:
        return take_broadcast(scan, &record, contents);
    case RECORD_RECIPIENTS:
        return take_recipients(scan, &record, contents);
    case RECORD_COUNTS:
        return take_counts(scan, record.number, contents);
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
    why = end_messages(scan);
    if (why)
        return why;
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
    buffer_free(&scan.changed);
    broadcasts_free(&scan.broadcasts);
    return why;
}
