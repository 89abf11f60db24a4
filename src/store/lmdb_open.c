#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "store/bus_guard.h"
#include "store/lmdb_store.h"

/* That a store may have to do with, in bytes. */
enum { SMALLEST_SIZE = 4 << 20 };

/* Returns 0, or an errno. */
static int check_pages(int fd, size_t len, struct store_verdict *verdict)
{
    void *map = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return errno;
    bus_guard_cover(map, len);
    *verdict = store_pages_check(slice_of(map, len));
    bus_guard_cover(NULL, 0);
    munmap(map, len);
    return verdict->is == STORE_UNKNOWN ? ENOMEM : 0;
}

int lmdb_check_file(const char *path, struct store_verdict *verdict)
{
    struct stat state;
    int error = 0, fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    *verdict = (struct store_verdict){.is = STORE_SOUND};
    if (fd < 0)
        return -1;
    if (fstat(fd, &state) != 0)
        error = errno;
    else if (!S_ISREG(state.st_mode))
        *verdict = (struct store_verdict){.is = STORE_DAMAGED, .why = "it is no file"};
    else
        error = state.st_size > 0 ? check_pages(fd, (size_t)state.st_size, verdict) : ENODATA;
    close(fd);
    errno = error;
    return error == 0 ? 0 : -1;
}

int lmdb_store_open_records(struct lmdb_store *store)
{
    MDB_txn *txn;
    MDB_envinfo info;
    MDB_stat stat;
    int code = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn);
    if (code != 0)
        return lmdb_result(code);
    code = mdb_dbi_open(txn, NULL, 0, &store->records);
    if (code == 0)
        code = mdb_env_info(store->env, &info);
    if (code == 0)
        code = mdb_env_stat(store->env, &stat);
    if (code == 0) {
        store->page_bytes = stat.ms_psize;
        store->map_pages = info.me_mapsize / stat.ms_psize;
        code = lmdb_count_pages(store, txn);
    }
    /* Committed, so that the handle lives on. */
    if (code != 0)
        mdb_txn_abort(txn);
    else
        code = mdb_txn_commit(txn);
    return lmdb_result(code);
}

static int allocate(const struct lmdb_store *store, char *why, size_t why_room)
{
    return store_allocate(&store->directory, store->size, store->sync, why, why_room);
}

/* Returns LMDB's code. */
static int start_environment(struct lmdb_store *store)
{
    unsigned flags =
        MDB_NOSUBDIR | MDB_WRITEMAP | MDB_NOLOCK | MDB_NOTLS | (store->sync ? 0 : MDB_NOSYNC);
    int code = mdb_env_create(&store->env);
    if (code == 0)
        code = mdb_env_set_mapsize(store->env, store->size);
    if (code == 0)
        code = mdb_env_open(store->env, store->directory.file, flags, 0600);
    return code;
}

static int use_environment(struct lmdb_store *store, char *why, size_t why_room)
{
    int code = start_environment(store);
    if (code == 0)
        bus_guard_cover_file(store->directory.file);
    if (code == 0 && lmdb_store_open_records(store) == 0)
        return 0;
    int error = code != 0 ? code : errno;
    lmdb_store_close_file(store);
    if (error == ENOSPC)
        store_tell_no_room(&store->directory, store->size, error, why, why_room);
    else
        snprintf(why, why_room, "the store %s cannot be opened: %s", store->directory.file,
                 mdb_strerror(error));
    return -1;
}

static int make_environment(struct lmdb_store *store, char *why, size_t why_room)
{
    if (use_environment(store, why, why_room) == 0) {
        if (allocate(store, why, why_room) == 0)
            return 0;
        lmdb_store_close_file(store);
    }
    unlink(store->directory.file);
    return -1;
}

static void tell_smaller(const struct lmdb_store *store, uint64_t wanted)
{
    LOG_WARNING(
        "store-smaller",
        "bytes=%" PRIu64 " of=%" PRIu64
        " why=\"the disk has no room for more\" action=\"make room, or move stores that were "
        "set aside away, and start the server anew\"",
        store->size, wanted);
}

/* The disk may have room for one file, and not for another beside the one that was set aside. That
 * must not stop the start: then the new one is smaller. */
static int make_beside(struct lmdb_store *store, char *why, size_t why_room)
{
    uint64_t wanted = store->size;
    while (make_environment(store, why, why_room) != 0) {
        if (store->size / 2 < SMALLEST_SIZE)
            return -1;
        store->size /= 2;
    }
    if (store->size < wanted)
        tell_smaller(store, wanted);
    return 0;
}

/* One that is smaller than it is to be stays so when the disk has no room for more. */
static int grow(struct lmdb_store *store, uint64_t present, char *why, size_t why_room)
{
    uint64_t wanted = store->size;
    if (allocate(store, why, why_room) == 0)
        return 0;
    store->size = present;
    if (present >= wanted || present < SMALLEST_SIZE || allocate(store, why, why_room) != 0)
        return -1;
    tell_smaller(store, wanted);
    return 0;
}

static int open_environment(struct lmdb_store *store, char *why, size_t why_room)
{
    struct stat state;
    if (stat(store->directory.file, &state) == 0 && state.st_size > 0)
        return grow(store, (uint64_t)state.st_size, why, why_room) != 0
                   ? -1
                   : use_environment(store, why, why_room);
    return store->set_aside ? make_beside(store, why, why_room)
                            : make_environment(store, why, why_room);
}

static int set_damaged_aside(struct lmdb_store *store, const char *damage, char *why,
                             size_t why_room)
{
    store->set_aside = true;
    if (damage != STORE_NO_MEMORY)
        return store_set_aside(&store->directory, "damaged", damage, why, why_room);
    snprintf(why, why_room, "the store %s: %s", store->directory.file, damage);
    return -1;
}

static int fail(const struct lmdb_store *store, const char *what, char *why, size_t why_room)
{
    snprintf(why, why_room, "the store %s cannot be %s: %s", store->directory.file, what,
             strerror(errno));
    return -1;
}

/* Undoes the newest commit, when the records of the one before are sound as well; else fills in
 * `damage`, and the file is as it was. */
static int undo_commit(struct lmdb_store *store, const struct store_verdict *verdict,
                       const char **damage, char *why, size_t why_room)
{
    const char *file = store->directory.file;
    if (lmdb_store_open_to_read(store, file, verdict) == 0) { /* else the next scan will tell */
        *damage = lmdb_store_scan(store, NULL, NULL);
        lmdb_store_close_file(store);
    }
    if (*damage || lmdb_undo_in_file(file, verdict) == 0)
        return 0;
    return fail(store, "written", why, why_room);
}

/* So that its pages can be opened, or there is no file. */
static int mend_pages(struct lmdb_store *store, char *why, size_t why_room)
{
    struct store_verdict verdict;
    const char *damage = NULL;
    /* Of what cannot be read nothing is known, so it is no reason to begin anew. */
    if (lmdb_check_file(store->directory.file, &verdict) != 0)
        return errno == ENOENT || errno == ENODATA ? 0 : fail(store, "read", why, why_room);
    if (verdict.is == STORE_DAMAGED)
        damage = verdict.why;
    else if (verdict.is == STORE_CUT_OFF &&
             undo_commit(store, &verdict, &damage, why, why_room) != 0)
        return -1;
    return damage ? set_damaged_aside(store, damage, why, why_room) : 0;
}

int lmdb_store_open_file(struct lmdb_store *store, char *why, size_t why_room)
{
    if (mend_pages(store, why, why_room) != 0 || open_environment(store, why, why_room) != 0)
        return -1;
    const char *damage = lmdb_store_scan(store, NULL, NULL);
    if (!damage)
        return 0;
    lmdb_store_close_file(store);
    store->contents = (struct store_contents){0};
    return set_damaged_aside(store, damage, why, why_room) != 0
               ? -1
               : open_environment(store, why, why_room);
}

void lmdb_store_close_file(struct lmdb_store *store)
{
    if (store->env)
        mdb_env_close(store->env);
    store->env = NULL;
    bus_guard_cover(NULL, 0);
}
