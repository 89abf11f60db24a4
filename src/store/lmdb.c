#include "store/lmdb_store.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "codecs/settings.h"

static void lmdb_close(struct store *base)
{
    struct lmdb_store *store = lmdb_of(base);
    lmdb_abort_batch(store);
    lmdb_counts_stop(store);
    lmdb_store_close_file(store);
    store_directory_close(&store->directory);
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
    char value[RECORD_MAX];
    size_t len = info_record_write(value, cluster_id);
    if (len == 0 || lmdb_change_begin(store) != 0)
        return -1;
    int code = lmdb_put_record(store, &(struct record_key){.kind = RECORD_INFO}, value, len);
    return lmdb_change_end(store, code, 1);
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
    store->set_aside = true;
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
    lmdb_counts_start(store);
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
    .session_changed = lmdb_session_changed,
    .session_deleted = lmdb_session_deleted,
    .messages_added = lmdb_messages_added,
    .message_changed = lmdb_message_changed,
    .messages_removed = lmdb_messages_removed,
    .broadcast_added = lmdb_broadcast_added,
    .recipients_added = lmdb_recipients_added,
    .broadcast_removed = lmdb_broadcast_removed,
    .key_added = lmdb_key_added,
    .key_removed = lmdb_key_removed,
    .receipt_added = lmdb_receipt_added,
    .receipts_removed = lmdb_receipts_removed,
    .end_batch = lmdb_end_batch,
    .usage = lmdb_usage,
};
