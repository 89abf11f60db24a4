#include "store/inspect.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "store/bus_guard.h"
#include "store/lmdb_store.h"
#include "store/pages.h"

static int on_broadcast(void *context, uint64_t number, const struct stored_message *message)
{
    struct store_findings *findings = context;
    (void)number;
    (void)message;
    findings->broadcasts++;
    return 0;
}

static int on_receipt(void *context, const struct stored_receipt *receipt)
{
    struct store_findings *findings = context;
    (void)receipt;
    findings->receipts++;
    return 0;
}

static int on_session(void *context, const struct stored_session *session)
{
    struct store_findings *findings = context;
    findings->sessions++;
    findings->adopted += session->home.len > 0;
    findings->owed += session->counts.gap;
    return 0;
}

static int on_message(void *context, const struct stored_message *message)
{
    struct store_findings *findings = context;
    findings->owed += message->dropped;
    findings->messages += !message->dropped;
    findings->message_bytes += message->body.len;
    return 0;
}

static int on_key(void *context, const struct stored_key *key)
{
    struct store_findings *findings = context;
    (void)key;
    findings->keys++;
    return 0;
}

static int on_state(void *context, struct slice totals, uint64_t alive_ms)
{
    struct store_findings *findings = context;
    findings->was_used = true;
    findings->alive_ms = alive_ms;
    return buffer_append_slice(&findings->totals, totals);
}

/* Returns LMDB's code. */
static int use_as_sound(void *map, const char *path, const struct store_verdict *verdict)
{
    if (verdict->is == STORE_SOUND)
        return 0;
    if (!map)
        return ENOTSUP; /* /proc does not tell where it is */
    return lmdb_undo_in_memory(map, path, verdict) == 0 ? 0 : errno;
}

int lmdb_store_open_to_read(struct lmdb_store *store, const char *path,
                            const struct store_verdict *verdict)
{
    struct stat state;
    if (stat(path, &state) != 0)
        return -1;
    int code = mdb_env_create(&store->env);
    if (code == 0)
        code = mdb_env_set_mapsize(store->env, (size_t)state.st_size);
    if (code == 0)
        code = mdb_env_open(store->env, path, MDB_NOSUBDIR | MDB_RDONLY | MDB_NOLOCK | MDB_NOTLS,
                            0600);
    if (code == 0)
        code = use_as_sound(bus_guard_cover_file(path), path, verdict);
    if (code == 0 && lmdb_store_open_records(store) == 0)
        return 0;
    int error = code == 0 ? errno : code > 0 ? code : EIO;
    lmdb_store_close_file(store);
    errno = error;
    return -1;
}

static int take_pages(const struct lmdb_store *store, struct store_findings *findings)
{
    MDB_envinfo info;
    int code = mdb_env_info(store->env, &info);
    findings->page_bytes = store->page_bytes;
    findings->used_pages = store->used_pages;
    findings->taken_pages = code == 0 ? info.me_last_pgno + 1 : 0;
    return lmdb_result(code);
}

static int read_records(const char *path, struct store_findings *findings)
{
    static const struct store_reader READER = {.on_broadcast = on_broadcast,
                                               .on_receipt = on_receipt,
                                               .on_session = on_session,
                                               .on_message = on_message,
                                               .on_key = on_key,
                                               .on_state = on_state};
    struct lmdb_store store = {0};
    if (lmdb_store_open_to_read(&store, path, &findings->pages) != 0)
        return -1;
    int result = take_pages(&store, findings);
    int error = errno;
    if (result == 0)
        findings->damage = lmdb_store_scan(&store, &READER, findings);
    if (findings->damage == STORE_NO_MEMORY) {
        result = -1;
        error = ENOMEM;
    }
    snprintf(findings->cluster_id, sizeof findings->cluster_id, "%s", store.contents.cluster_id);
    lmdb_store_close_file(&store);
    errno = error;
    return result;
}

int store_inspect(const char *path, struct store_findings *findings)
{
    struct stat state;
    *findings = (struct store_findings){0};
    if (lmdb_check_file(path, &findings->pages) != 0)
        return -1;
    if (stat(path, &state) != 0)
        return -1;
    findings->file_bytes = (uint64_t)state.st_size;
    if (findings->pages.is == STORE_DAMAGED)
        findings->damage = findings->pages.why;
    return findings->damage ? 0 : read_records(path, findings);
}

void store_findings_free(struct store_findings *findings)
{
    buffer_free(&findings->totals);
}
