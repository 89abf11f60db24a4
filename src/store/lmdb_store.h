/* Inside of the crash-safe engine: what the files lmdb*.c share.
 *
 * The relay is the only process that opens the file, with a lock of our own, so LMDB's is off. All
 * changes of a loop round are one transaction. With MDB_WRITEMAP they are made in shared memory
 * that outlives the process, so that a commit costs no system call: the newest meta page tells
 * which pages count, and pages in use are never overwritten. */
#ifndef MSGSERVER_STORE_LMDB_STORE_H
#define MSGSERVER_STORE_LMDB_STORE_H

#include <lmdb.h>

#include "store/directory.h"
#include "store/pages.h"
#include "store/records.h"
#include "store/store.h"

struct store_contents {
    uint64_t sessions;
    uint64_t first_list, next_list; /* of changed counts: the same when there is none */
    uint64_t list_entries;
    bool has_info;
    char cluster_id[CLUSTER_ID_MAX + 1];
};

enum {
    COUNTS_PUTS_MAX = 4,
    DEPTH_COST = 4 /* pages that a change rewrites on its way from the root */
};

/* Of changed counts (lmdb_counts.c). */
struct counts_lists {
    struct changed_counts changed[RECORD_COUNTS_MAX]; /* in this batch, and in no list yet */
    size_t changed_count;
    struct session_put {
        size_t len; /* 0: the session is gone */
        char record[RECORD_MAX];
    } puts[COUNTS_PUTS_MAX]; /* what is put instead when there are no more */
    uint64_t first, next;    /* numbers of the lists in the store: the same when there is none */
    uint64_t entries;        /* in all of them */
    uint64_t entries_max;    /* 0: no lists here */
    struct newest_list *newest;
    uint64_t newest_mask;
};

struct lmdb_store {
    struct store base; /* first */
    struct store_directory directory;
    uint64_t size;                  /* server.store.size */
    bool sync;                      /* server.store.durability: disk */
    bool full;                      /* senders are being refused */
    bool set_aside;                 /* a file that was here before keeps its room on the disk */
    struct store_contents contents; /* when it was opened */
    MDB_env *env;
    MDB_dbi records;
    MDB_txn *batch;       /* NULL between batches */
    MDB_cursor *cursor;   /* of the batch */
    unsigned changes;     /* in the batch */
    uint64_t page_bytes;  /* of one */
    uint64_t map_pages;   /* all there are */
    uint64_t used_pages;  /* before the batch */
    uint64_t batch_pages; /* that the batch may take, at most */
    uint32_t chunks;      /* of recipients, of the broadcast that was added last */
    struct counts_lists lists;
};

static inline struct lmdb_store *lmdb_of(struct store *store)
{
    return (struct lmdb_store *)store;
}

static inline MDB_val lmdb_value(struct slice bytes)
{
    return (MDB_val){bytes.len, (void *)bytes.data};
}

static inline struct slice lmdb_slice(MDB_val value)
{
    return slice_of(value.mv_data, value.mv_size);
}

/* Sets errno to what an LMDB call returned. Returns 0, or -1. */
int lmdb_result(int code);

/* --- lmdb_batch.c: one transaction per batch --- */

/* Whether a change that adds data may take that many pages; else errno is ENOSPC. What frees or
 * settles data is not asked, and always finds the pages that the first kind must leave. */
bool lmdb_has_room(struct lmdb_store *store, uint64_t pages);
/* The same for what comes with a change that was made already: may take a half of these pages. */
bool lmdb_has_reserve(struct lmdb_store *store, uint64_t pages);

/* Tells the relay when the batch is large enough; lmdb_change_end() does. */
void lmdb_note_size(struct lmdb_store *store);

/* Every change: lmdb_change_begin(), LMDB's calls, and lmdb_change_end() with what they returned
 * and the pages that they may have taken. Return 0, or -1 with errno. */
int lmdb_change_begin(struct lmdb_store *store);
int lmdb_change_end(struct lmdb_store *store, int code, uint64_t pages);

/* Puts a record, as records.h wrote it, and fills in its checksum. Returns LMDB's code. */
int lmdb_put_record(struct lmdb_store *store, const struct record_key *key, char *value,
                    size_t len);

int lmdb_end_batch(struct store *base, struct slice totals);
void lmdb_abort_batch(struct lmdb_store *store);
struct store_usage lmdb_usage(const struct store *base);
/* Counts the pages in use, as `txn` sees them. Returns LMDB's code. */
int lmdb_count_pages(struct lmdb_store *store, MDB_txn *txn);

/* --- lmdb_counts.c: what changes most often --- */

/* When the records were read. */
void lmdb_counts_start(struct lmdb_store *store);
void lmdb_counts_stop(struct lmdb_store *store);
/* As session_changed(), where lists.entries_max is not 0. */
int lmdb_counts_changed(struct lmdb_store *store, const struct stored_session *session);
/* Pages that it will take at most to put what changed in the batch so far. */
uint64_t lmdb_counts_due(const struct lmdb_store *store);
/* Pages that are kept for lists, beside the reserve. */
uint64_t lmdb_counts_room(const struct lmdb_store *store);
/* The session is deleted, perhaps in the batch in which it changed. */
void lmdb_counts_forget_session(struct lmdb_store *store, uint64_t session);
/* Puts what changed in the batch. Returns 0, or -1 with errno. */
int lmdb_counts_end_batch(struct lmdb_store *store);
/* The batch is taken back. */
void lmdb_counts_forget_batch(struct lmdb_store *store);

/* --- lmdb_changes.c --- */

int lmdb_session_created(struct store *base, const struct stored_session *session);
int lmdb_session_changed(struct store *base, const struct stored_session *session);
int lmdb_session_deleted(struct store *base, uint64_t session);
int lmdb_messages_added(struct store *base, uint64_t session, const struct stored_message *messages,
                        size_t count);
int lmdb_message_changed(struct store *base, uint64_t session,
                         const struct stored_message *message);
int lmdb_messages_removed(struct store *base, uint64_t session, uint64_t id);
int lmdb_broadcast_added(struct store *base, uint64_t number, const struct stored_message *message,
                         uint64_t recipients_max);
int lmdb_recipients_added(struct store *base, uint64_t number,
                          const struct stored_recipient *recipients, size_t count);
int lmdb_broadcast_removed(struct store *base, uint64_t number);
int lmdb_key_added(struct store *base, uint64_t session, const struct stored_key *key);
int lmdb_key_removed(struct store *base, uint64_t session, struct slice key);
int lmdb_receipt_added(struct store *base, const struct stored_receipt *receipt);
int lmdb_receipts_removed(struct store *base, uint64_t number);

/* --- lmdb_open.c, lmdb_scan.c --- */

/* Opens the environment on a file that is there and sound, or makes one. What is damaged is set
 * aside. Returns 0, or -1 with `why` filled. */
int lmdb_store_open_file(struct lmdb_store *store, char *why, size_t why_room);
void lmdb_store_close_file(struct lmdb_store *store);
/* Fills in what the environment's records and pages are. Returns 0, or -1 with errno. */
int lmdb_store_open_records(struct lmdb_store *store);

/* Checks the pages of a file. Returns 0 with the verdict; or -1 with errno when it cannot be told:
 * ENOENT without a file, ENODATA when it is empty, which is as good as none. */
int lmdb_check_file(const char *path, struct store_verdict *verdict);

/* --- lmdb_undo.c: a newest commit that is not sound, by the verdict --- */

/* Undoes it in the file, and logs that; on the disk when this returns. LMDB does not have the file
 * open. Returns 0, or -1 with errno. */
int lmdb_undo_in_file(const char *path, const struct store_verdict *verdict);
/* Undoes it for this process alone: in the memory at `map`, where LMDB has mapped the file to read.
 * Returns 0, or -1 with errno. */
int lmdb_undo_in_memory(void *map, const char *path, const struct store_verdict *verdict);

/* --- inspect.c --- */

/* Opens the environment on a file, to read it as it is sound by the verdict: with its last commit
 * or without. Changes nothing in the file. Returns 0, or -1 with errno. */
int lmdb_store_open_to_read(struct lmdb_store *store, const char *path,
                            const struct store_verdict *verdict);

/* Reads every record in order, checks that it is sound and where it belongs, and hands it to
 * `reader` unless that is NULL. Returns NULL, or what is wrong: STORE_NO_MEMORY when the reader
 * gave up. */
const char *lmdb_store_scan(struct lmdb_store *store, const struct store_reader *reader,
                            void *context);

#endif
