/* Inside of the crash-safe engine: what lmdb.c, lmdb_open.c and lmdb_scan.c share.
 *
 * The relay is the only process that opens the file, with a lock of our own, so LMDB's is off. All
 * changes of a loop round are one transaction. With MDB_WRITEMAP they are made in shared memory
 * that outlives the process, so that a commit costs no system call: the newest meta page tells
 * which pages count, and pages in use are never overwritten. */
#ifndef MSGSERVER_STORE_LMDB_STORE_H
#define MSGSERVER_STORE_LMDB_STORE_H

#include <lmdb.h>

#include "store/directory.h"
#include "store/records.h"
#include "store/store.h"

struct store_contents {
    uint64_t sessions;
    bool has_info;
    char cluster_id[CLUSTER_ID_MAX + 1];
};

struct lmdb_store {
    struct store base; /* first */
    struct store_directory directory;
    uint64_t size;                  /* server.store.size */
    bool sync;                      /* server.store.durability: disk */
    bool full;                      /* senders are being refused */
    struct store_contents contents; /* when it was opened */
    MDB_env *env;
    MDB_dbi records;
    MDB_txn *batch;       /* NULL between batches */
    unsigned changes;     /* in the batch */
    uint64_t map_pages;   /* all there are */
    uint64_t used_pages;  /* before the batch */
    uint64_t batch_pages; /* that the batch may take, at most */
    struct buffer scratch;
};

/* Sets errno to what an LMDB call returned. Returns 0, or -1. */
int lmdb_result(int code);

static inline MDB_val lmdb_value(struct slice bytes)
{
    return (MDB_val){bytes.len, (void *)bytes.data};
}

static inline struct slice lmdb_slice(MDB_val value)
{
    return slice_of(value.mv_data, value.mv_size);
}

/* Opens the environment on a file that is there and sound, or makes one. What is damaged is set
 * aside. Returns 0, or -1 with `why` filled. */
int lmdb_store_open_file(struct lmdb_store *store, char *why, size_t why_room);
void lmdb_store_close_file(struct lmdb_store *store);
/* Counts the pages in use, as `txn` sees them. */
int lmdb_store_count_pages(struct lmdb_store *store, MDB_txn *txn);

/* Reads every record in order, checks that it is sound and where it belongs, and hands it to
 * `reader` unless that is NULL. Returns NULL, or what is wrong: STORE_NO_MEMORY when the reader
 * gave up. */
const char *lmdb_store_scan(struct lmdb_store *store, const struct store_reader *reader,
                            void *context);

#endif
