#include <errno.h>

#include "store/lmdb_store.h"

enum {
    PAGE_ROOM = 4000,   /* 4096 without its header and what no record fits into */
    NODE_OVERHEAD = 11, /* LMDB's, beside key and value */
};

/* Pages that records of these sizes take at most, in one place: pages are at least half full. */
static uint64_t pages_of(uint64_t records, uint64_t bytes)
{
    return 2 * (bytes + records * (RECORD_SUM_BYTES + NODE_OVERHEAD)) / PAGE_ROOM + 1;
}

/* The same for one record, under the longest key. */
static uint64_t pages_of_record(size_t len)
{
    return pages_of(1, RECORD_KEY_MAX + len);
}

/* --- ranges ----------------------------------------------------------------------------------- */

/* Records whose keys begin with `prefix`, are of `key_len` bytes unless that is 0, and are no
 * higher than `last`. */
struct range {
    struct slice first, last;
    size_t prefix;
    size_t key_len;
};

static bool range_has(const struct range *range, MDB_val key)
{
    if (key.mv_size < range->prefix || (range->key_len != 0 && key.mv_size != range->key_len) ||
        memcmp(key.mv_data, range->first.data, range->prefix) != 0)
        return false;
    return range->last.len == 0 || memcmp(key.mv_data, range->last.data, range->last.len) <= 0;
}

/* Deletes them; `pages` grows by what that may take. Returns LMDB's code. */
static int delete_range(struct lmdb_store *store, const struct range *range, uint64_t *pages)
{
    MDB_val key = lmdb_value(range->first), value;
    uint64_t bytes = 0;
    int code = mdb_cursor_get(store->cursor, &key, &value, MDB_SET_RANGE);
    while (code == 0 && range_has(range, key)) {
        bytes += key.mv_size + value.mv_size;
        code = mdb_cursor_del(store->cursor, 0);
        if (code == 0)
            code = mdb_cursor_get(store->cursor, &key, &value, MDB_NEXT);
    }
    *pages += bytes / PAGE_ROOM;
    return code == MDB_NOTFOUND ? 0 : code;
}

/* --- sessions --------------------------------------------------------------------------------- */

static int put_session(struct lmdb_store *store, const struct stored_session *session, bool added)
{
    char value[RECORD_MAX];
    size_t len = session_record_write(value, session);
    uint64_t pages = added ? pages_of_record(len) : 0;
    if (len == 0 || (added && !lmdb_has_room(store, pages)) || lmdb_change_begin(store) != 0)
        return -1;
    struct record_key key = {.kind = RECORD_SESSION, .number = session->number};
    return lmdb_change_end(store, lmdb_put_record(store, &key, value, len), pages);
}

int lmdb_session_created(struct store *base, const struct stored_session *session)
{
    return put_session(lmdb_of(base), session, true);
}

int lmdb_session_changed(struct store *base, const struct stored_session *session)
{
    struct lmdb_store *store = lmdb_of(base);
    return store->lists.entries_max > 0 ? lmdb_counts_changed(store, session)
                                        : put_session(store, session, false);
}

int lmdb_session_deleted(struct store *base, uint64_t session)
{
    struct lmdb_store *store = lmdb_of(base);
    char text[RECORD_KEY_MAX];
    struct record_key key = {.kind = RECORD_SESSION, .number = session};
    struct range range = {.first = record_key_write(&key, text), .prefix = RECORD_SESSION_KEY};
    uint64_t pages = 0;
    if (lmdb_change_begin(store) != 0)
        return -1;
    lmdb_counts_forget_session(store, session);
    int code = delete_range(store, &range, &pages);
    return lmdb_change_end(store, code, pages);
}

/* --- messages --------------------------------------------------------------------------------- */

static int delete_messages(struct lmdb_store *store, uint64_t session, uint64_t first,
                           uint64_t last, uint64_t *pages)
{
    char low[RECORD_KEY_MAX], high[RECORD_KEY_MAX];
    struct record_key from = {.kind = RECORD_PART, .number = session, .id = first};
    struct record_key upto = {
        .kind = RECORD_PART, .number = session, .id = last, .part = UINT16_MAX};
    struct range range = {.first = record_key_write(&from, low),
                          .last = record_key_write(&upto, high),
                          .prefix = RECORD_SESSION_KEY,
                          .key_len = RECORD_PART_KEY};
    return delete_range(store, &range, pages);
}

/* How many parts a message has. */
static size_t part_count(const struct stored_message *message)
{
    size_t first = PART_MAX - part_header_len(message, 0);
    size_t others = PART_MAX - part_header_len(message, 1);
    return message->body.len <= first ? 1 : 1 + (message->body.len - first + others - 1) / others;
}

static uint64_t pages_of_messages(const struct stored_message *messages, size_t count)
{
    uint64_t records = 0, bytes = 0;
    for (size_t i = 0; i < count; i++) {
        size_t parts = part_count(&messages[i]);
        records += parts;
        bytes += messages[i].body.len + part_header_len(&messages[i], 0) +
                 (parts - 1) * part_header_len(&messages[i], 1);
    }
    return pages_of(records, bytes + records * RECORD_PART_KEY);
}

/* Puts part number `name->part`. Returns LMDB's code. */
static int put_part(struct lmdb_store *store, const struct record_key *name,
                    const struct stored_message *message, struct slice bytes, bool more)
{
    char text[RECORD_KEY_MAX];
    struct slice key = record_key_write(name, text);
    size_t header = part_header_len(message, name->part);
    MDB_val at = lmdb_value(key), value = {RECORD_SUM_BYTES + header + bytes.len, NULL};
    int code = mdb_cursor_put(store->cursor, &at, &value, MDB_RESERVE);
    if (code != 0)
        return code;
    char *contents = (char *)value.mv_data + RECORD_SUM_BYTES;
    part_header_write(contents, message, name->part, more);
    if (bytes.len > 0)
        memcpy(contents + header, bytes.data, bytes.len);
    uint64_t sum = record_sum(key, slice_of(contents, header + bytes.len));
    memcpy(value.mv_data, &sum, sizeof sum);
    return 0;
}

/* Puts all parts; `key` is the first one's. Returns LMDB's code. */
static int put_parts(struct lmdb_store *store, struct record_key key,
                     const struct stored_message *message)
{
    struct slice rest = message->body;
    int code;
    do {
        size_t room = PART_MAX - part_header_len(message, key.part);
        size_t len = rest.len < room ? rest.len : room;
        struct slice bytes = slice_of(rest.data, len);
        rest = slice_of(len > 0 ? rest.data + len : rest.data, rest.len - len);
        code = put_part(store, &key, message, bytes, rest.len > 0);
        key.part++;
    } while (code == 0 && rest.len > 0);
    return code;
}

static int put_message(struct lmdb_store *store, uint64_t session,
                       const struct stored_message *message)
{
    struct record_key key = {.kind = RECORD_PART, .number = session, .id = message->id};
    return put_parts(store, key, message);
}

int lmdb_messages_added(struct store *base, uint64_t session, const struct stored_message *messages,
                        size_t count)
{
    struct lmdb_store *store = lmdb_of(base);
    uint64_t pages = pages_of_messages(messages, count);
    if (!lmdb_has_room(store, pages) || lmdb_change_begin(store) != 0)
        return -1;
    int code = 0;
    for (size_t i = 0; i < count && code == 0; i++)
        code = put_message(store, session, &messages[i]);
    return lmdb_change_end(store, code, pages);
}

static bool has_record(const struct lmdb_store *store, uint64_t session, uint64_t id)
{
    char text[RECORD_KEY_MAX];
    struct record_key key = {.kind = RECORD_PART, .number = session, .id = id};
    MDB_val at = lmdb_value(record_key_write(&key, text)), value;
    return mdb_cursor_get(store->cursor, &at, &value, MDB_SET) == 0;
}

/* A placeholder frees what was there, unless that is a broadcast, of which nothing is. */
int lmdb_message_changed(struct store *base, uint64_t session, const struct stored_message *message)
{
    struct lmdb_store *store = lmdb_of(base);
    uint64_t pages = pages_of_messages(message, 1);
    if ((!message->dropped && !lmdb_has_room(store, pages)) || lmdb_change_begin(store) != 0)
        return -1;
    if (message->dropped && has_record(store, session, message->id))
        pages = 0;
    else if (message->dropped && !lmdb_has_reserve(store, pages))
        return -1;
    int code = delete_messages(store, session, message->id, message->id, &pages);
    if (code == 0)
        code = put_message(store, session, message);
    return lmdb_change_end(store, code, pages);
}

int lmdb_messages_removed(struct store *base, uint64_t session, uint64_t id)
{
    struct lmdb_store *store = lmdb_of(base);
    uint64_t pages = 0;
    if (lmdb_change_begin(store) != 0)
        return -1;
    int code = delete_messages(store, session, 0, id, &pages);
    return lmdb_change_end(store, code, pages);
}

/* --- broadcasts ------------------------------------------------------------------------------- */

/* What a record of recipients takes: a page of its own, and its part of one that names it. */
enum { RECIPIENTS_PAGES = 2 };

int lmdb_broadcast_added(struct store *base, uint64_t number, const struct stored_message *message,
                         uint64_t recipients_max)
{
    struct lmdb_store *store = lmdb_of(base);
    uint64_t pages = pages_of_messages(message, 1);
    uint64_t chunks = recipients_max / STORED_RECIPIENTS_MAX + 1;
    if (!lmdb_has_room(store, pages + chunks * RECIPIENTS_PAGES) || lmdb_change_begin(store) != 0)
        return -1;
    struct record_key key = {.kind = RECORD_BROADCAST, .number = number};
    store->chunks = 0;
    return lmdb_change_end(store, put_parts(store, key, message), pages);
}

int lmdb_recipients_added(struct store *base, uint64_t number,
                          const struct stored_recipient *recipients, size_t count)
{
    struct lmdb_store *store = lmdb_of(base);
    char value[RECORD_MAX];
    size_t len = recipients_record_write(value, recipients, count);
    if (len == 0 || lmdb_change_begin(store) != 0)
        return -1;
    struct record_key key = {.kind = RECORD_RECIPIENTS, .number = number, .chunk = store->chunks++};
    return lmdb_change_end(store, lmdb_put_record(store, &key, value, len), RECIPIENTS_PAGES);
}

int lmdb_broadcast_removed(struct store *base, uint64_t number)
{
    struct lmdb_store *store = lmdb_of(base);
    char text[RECORD_KEY_MAX];
    struct record_key key = {.kind = RECORD_BROADCAST, .number = number};
    struct range range = {.first = record_key_write(&key, text), .prefix = RECORD_BROADCAST_KEY};
    uint64_t pages = 0;
    if (lmdb_change_begin(store) != 0)
        return -1;
    int code = delete_range(store, &range, &pages);
    return lmdb_change_end(store, code, pages);
}

/* --- keys and receipts ------------------------------------------------------------------------ */

int lmdb_key_added(struct store *base, uint64_t session, const struct stored_key *key)
{
    struct lmdb_store *store = lmdb_of(base);
    char value[RECORD_MAX];
    size_t len = key_record_write(value, key);
    uint64_t pages = pages_of_record(len);
    if (len == 0 || !lmdb_has_reserve(store, pages) || lmdb_change_begin(store) != 0)
        return -1;
    struct record_key name = {.kind = RECORD_KEY, .number = session, .key = key->key};
    return lmdb_change_end(store, lmdb_put_record(store, &name, value, len), pages);
}

int lmdb_key_removed(struct store *base, uint64_t session, struct slice key)
{
    struct lmdb_store *store = lmdb_of(base);
    char text[RECORD_KEY_MAX];
    struct record_key name = {.kind = RECORD_KEY, .number = session, .key = key};
    if (lmdb_change_begin(store) != 0)
        return -1;
    MDB_val at = lmdb_value(record_key_write(&name, text)), value;
    int code = mdb_cursor_get(store->cursor, &at, &value, MDB_SET);
    if (code == 0)
        code = mdb_cursor_del(store->cursor, 0);
    return lmdb_change_end(store, code == MDB_NOTFOUND ? 0 : code, 0);
}

int lmdb_receipt_added(struct store *base, const struct stored_receipt *receipt)
{
    struct lmdb_store *store = lmdb_of(base);
    char value[RECORD_MAX];
    size_t len = receipt_record_write(value, receipt);
    uint64_t pages = pages_of_record(len);
    if (len == 0 || !lmdb_has_reserve(store, pages) || lmdb_change_begin(store) != 0)
        return -1;
    struct record_key name = {.kind = RECORD_RECEIPT, .number = receipt->number};
    return lmdb_change_end(store, lmdb_put_record(store, &name, value, len), pages);
}

int lmdb_receipts_removed(struct store *base, uint64_t number)
{
    struct lmdb_store *store = lmdb_of(base);
    char low[RECORD_KEY_MAX], high[RECORD_KEY_MAX];
    struct range range = {
        .first = record_key_write(&(struct record_key){.kind = RECORD_RECEIPT}, low),
        .last =
            record_key_write(&(struct record_key){.kind = RECORD_RECEIPT, .number = number}, high),
        .prefix = 1};
    uint64_t pages = 0;
    if (lmdb_change_begin(store) != 0)
        return -1;
    int code = delete_range(store, &range, &pages);
    return lmdb_change_end(store, code, pages);
}
