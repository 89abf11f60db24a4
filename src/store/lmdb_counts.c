/* Counts of sessions that changed. Each confirmation changes a session's, and to put its record
 * each time would cost as much as all else about it. So what changed in a batch is put in lists of
 * a page each, one record for many sessions; a session that goes on changing is in newer lists
 * again, so that its own record has to be put only when the list that names it last grows old. */
#include <stdlib.h>

#include "store/lmdb_store.h"

enum {
    /* The lists take this part of the map at most, and no more pages than this. */
    LISTS_SHARE = 64,
    LISTS_PAGES_MAX = 4096,
    /* A smaller store has too little room beside for the records that an old list may name. */
    LISTS_MAP_PAGES = 4096,
    LIST_PAGES = 2, /* that one takes: its own, and its part of one that names it */
};

/* Which list names a session last, as far as is known: where another session has the same place, it
 * is forgotten. */
struct newest_list {
    uint64_t session;
    uint64_t list;
};

void lmdb_counts_start(struct lmdb_store *store)
{
    struct counts_lists *lists = &store->lists;
    uint64_t pages = store->map_pages / LISTS_SHARE;
    *lists = (struct counts_lists){.first = store->contents.first_list,
                                   .next = store->contents.next_list,
                                   .entries = store->contents.list_entries};
    if (store->map_pages < LISTS_MAP_PAGES)
        return;
    lists->entries_max = (pages < LISTS_PAGES_MAX ? pages : LISTS_PAGES_MAX) * RECORD_COUNTS_MAX;
    uint64_t places = 1;
    while (places < lists->entries_max)
        places *= 2;
    lists->newest = calloc(places, sizeof *lists->newest); /* without it they do with more puts */
    lists->newest_mask = places - 1;
}

void lmdb_counts_stop(struct lmdb_store *store)
{
    free(store->lists.newest);
    store->lists = (struct counts_lists){0};
}

void lmdb_counts_forget_batch(struct lmdb_store *store)
{
    store->lists.changed_count = 0;
}

static struct newest_list *newest_of(const struct counts_lists *lists, uint64_t session)
{
    return lists->newest ? &lists->newest[session & lists->newest_mask] : NULL;
}

/* --- records of sessions ---------------------------------------------------------------------- */

static bool is_named_later(const struct counts_lists *lists, uint64_t session, uint64_t list)
{
    const struct newest_list *newest = newest_of(lists, session);
    return newest && newest->session == session && newest->list > list;
}

/* Brings a session's record up to these counts, when it is there and was not beyond them. Returns
 * LMDB's code. */
static int put_counts(struct lmdb_store *store, const struct changed_counts *changed)
{
    char text[RECORD_KEY_MAX], record[RECORD_MAX];
    struct record_key name = {.kind = RECORD_SESSION, .number = changed->session};
    struct slice key = record_key_write(&name, text);
    MDB_val at = lmdb_value(key), value;
    struct slice contents;
    struct stored_session session;
    int code = mdb_cursor_get(store->cursor, &at, &value, MDB_SET);
    if (code != 0)
        return code == MDB_NOTFOUND ? 0 : code;
    if (!record_open(key, lmdb_slice(value), &contents) ||
        session_record_read(contents, &session) != 0)
        return MDB_CORRUPTED;
    if (!counts_went_further(&changed->counts, &session.counts))
        return 0;
    session.counts = changed->counts;
    return lmdb_put_record(store, &name, record, session_record_write(record, &session));
}

/* --- lists ------------------------------------------------------------------------------------ */

/* Returns LMDB's code. */
static int drop_oldest(struct lmdb_store *store, uint64_t *pages)
{
    struct counts_lists *lists = &store->lists;
    char text[RECORD_KEY_MAX];
    struct record_key name = {.kind = RECORD_COUNTS, .number = lists->first};
    struct slice key = record_key_write(&name, text);
    MDB_val at = lmdb_value(key), value;
    struct slice contents;
    struct changed_counts changed[RECORD_COUNTS_MAX];
    size_t count;
    int code = mdb_cursor_get(store->cursor, &at, &value, MDB_SET);
    if (code != 0)
        return code;
    if (!record_open(key, lmdb_slice(value), &contents) ||
        counts_record_read(contents, changed, &count) != 0)
        return MDB_CORRUPTED;
    code = mdb_cursor_del(store->cursor, 0);
    for (size_t i = 0; i < count && code == 0; i++) {
        if (is_named_later(lists, changed[i].session, lists->first))
            continue;
        code = put_counts(store, &changed[i]);
        ++*pages;
    }
    lists->first++;
    lists->entries -= count < lists->entries ? count : lists->entries;
    return code;
}

/* Returns LMDB's code. */
static int put_list(struct lmdb_store *store)
{
    struct counts_lists *lists = &store->lists;
    char record[RECORD_MAX];
    size_t count = lists->changed_count;
    struct record_key key = {.kind = RECORD_COUNTS, .number = lists->next++};
    for (size_t i = 0; i < count; i++) {
        struct newest_list *newest = newest_of(lists, lists->changed[i].session);
        if (newest)
            *newest = (struct newest_list){lists->changed[i].session, key.number};
    }
    lists->entries += count;
    lists->changed_count = 0;
    return lmdb_put_record(store, &key, record, counts_record_write(record, lists->changed, count));
}

static int end_list(struct lmdb_store *store)
{
    struct counts_lists *lists = &store->lists;
    uint64_t pages = LIST_PAGES;
    int code = put_list(store);
    while (code == 0 && lists->entries > lists->entries_max && lists->first < lists->next)
        code = drop_oldest(store, &pages);
    return lmdb_change_end(store, code, pages);
}

/* As many sessions as this have their records put: a list would cost more. */
static int put_few(struct lmdb_store *store)
{
    struct counts_lists *lists = &store->lists;
    int code = 0;
    for (size_t i = 0; i < lists->changed_count && code == 0; i++) {
        struct session_put *put = &lists->puts[i];
        struct record_key key = {.kind = RECORD_SESSION, .number = lists->changed[i].session};
        if (put->len > 0)
            code = lmdb_put_record(store, &key, put->record, put->len);
    }
    uint64_t pages = (lists->changed_count - 1) * DEPTH_COST;
    lists->changed_count = 0;
    return lmdb_change_end(store, code, pages);
}

int lmdb_counts_changed(struct lmdb_store *store, const struct stored_session *session)
{
    struct counts_lists *lists = &store->lists;
    size_t place = lists->changed_count;
    if (place < COUNTS_PUTS_MAX &&
        (lists->puts[place].len = session_record_write(lists->puts[place].record, session)) == 0)
        return -1;
    if (lmdb_change_begin(store) != 0)
        return -1;
    lists->changed[place] = (struct changed_counts){session->number, session->counts};
    lists->changed_count++;
    store->changes++;
    if (lists->changed_count == RECORD_COUNTS_MAX)
        return end_list(store);
    lmdb_note_size(store);
    return 0;
}

uint64_t lmdb_counts_due(const struct lmdb_store *store)
{
    const struct counts_lists *lists = &store->lists;
    uint64_t count = lists->changed_count;
    if (count <= COUNTS_PUTS_MAX)
        return count * DEPTH_COST;
    return LIST_PAGES + DEPTH_COST +
           (lists->entries + count > lists->entries_max ? count + RECORD_COUNTS_MAX : 0);
}

/* Short lists lie in pages that may be half empty. Beside them, what two batches may take more than
 * they were to: pages that one frees are of use to the next but one. */
uint64_t lmdb_counts_room(const struct lmdb_store *store)
{
    uint64_t pages = store->lists.entries_max / RECORD_COUNTS_MAX;
    return pages > 0 ? 2 * (pages + RECORD_COUNTS_MAX) : 0;
}

/* A list may name a session that is gone. */
void lmdb_counts_forget_session(struct lmdb_store *store, uint64_t session)
{
    struct counts_lists *lists = &store->lists;
    for (size_t i = 0; i < lists->changed_count && i < COUNTS_PUTS_MAX; i++)
        if (lists->changed[i].session == session)
            lists->puts[i].len = 0;
}

int lmdb_counts_end_batch(struct lmdb_store *store)
{
    size_t count = store->lists.changed_count;
    if (count == 0)
        return 0;
    return count <= COUNTS_PUTS_MAX ? put_few(store) : end_list(store);
}
