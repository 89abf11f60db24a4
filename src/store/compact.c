#include "store/compact.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/lmdb_store.h"

struct compaction {
    const struct store_directory *directory;
    const struct store_findings *before;
    char path[PATH_MAX]; /* of the new file */
    uint64_t size;
    int fd;
    char *why;
    size_t why_room;
};

static int failed(const struct compaction *compaction, const char *what, const char *reason)
{
    snprintf(compaction->why, compaction->why_room, "%s: %s", what, reason);
    return -1;
}

/* Root may compact the store of a server that runs as somebody else, who is to read it again. */
static int give_to_owner(int fd, const struct stat *wanted)
{
    struct stat state;
    if (fstat(fd, &state) != 0)
        return -1;
    if ((state.st_uid != wanted->st_uid || state.st_gid != wanted->st_gid) &&
        fchown(fd, wanted->st_uid, wanted->st_gid) != 0)
        return -1;
    return fchmod(fd, wanted->st_mode & 0777);
}

static int make_file(struct compaction *compaction)
{
    struct stat old;
    if (unlink(compaction->path) != 0 && errno != ENOENT)
        return failed(compaction, "what an earlier compaction left cannot be removed",
                      strerror(errno));
    if (lstat(compaction->directory->file, &old) != 0 || !S_ISREG(old.st_mode))
        return failed(compaction, compaction->directory->file,
                      "it is no file of its own: name the directory where it really lies");
    compaction->fd = open(compaction->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (compaction->fd < 0)
        return failed(compaction, "a new file cannot be made in the store's directory",
                      strerror(errno));
    if (give_to_owner(compaction->directory->lock, &old) != 0 ||
        give_to_owner(compaction->fd, &old) != 0)
        return failed(compaction, "the new file cannot be given to the old one's owner",
                      strerror(errno));
    return 0;
}

static int take_room(const struct compaction *compaction)
{
    int error = posix_fallocate(compaction->fd, 0, (off_t)compaction->size);
    if (error == 0)
        return 0;
    snprintf(compaction->why, compaction->why_room,
             "the disk needs room for a second file of %" PRIu64 " bytes in %s: %s",
             compaction->size, compaction->directory->path, strerror(error));
    return -1;
}

static int copy_records(const struct compaction *compaction)
{
    struct lmdb_store store = {0};
    if (lmdb_store_open_to_read(&store, compaction->directory->file, &compaction->before->pages) !=
        0)
        return failed(compaction, "the old file cannot be opened", strerror(errno));
    int code = mdb_env_copyfd2(store.env, compaction->fd, MDB_CP_COMPACT);
    lmdb_store_close_file(&store);
    if (code == 0 && fsync(compaction->fd) != 0)
        code = errno;
    return code == 0 ? 0 : failed(compaction, "the new file cannot be written", mdb_strerror(code));
}

static bool are_same(struct slice a, struct slice b)
{
    return a.len == b.len && (!a.data || !b.data || memcmp(a.data, b.data, a.len) == 0);
}

/* Each record was found to be sound, so that the numbers of them tell. */
static bool hold_the_same(const struct store_findings *a, const struct store_findings *b)
{
    return a->sessions == b->sessions && a->adopted == b->adopted && a->messages == b->messages &&
           a->broadcasts == b->broadcasts && a->message_bytes == b->message_bytes &&
           a->owed == b->owed && a->keys == b->keys && a->receipts == b->receipts &&
           a->was_used == b->was_used && a->alive_ms == b->alive_ms &&
           strcmp(a->cluster_id, b->cluster_id) == 0 &&
           are_same(buffer_slice(&a->totals), buffer_slice(&b->totals));
}

static int check_copy(const struct compaction *compaction, struct store_findings *after)
{
    if (store_inspect(compaction->path, after) != 0)
        return failed(compaction, "the new file cannot be read", strerror(errno));
    if (after->damage)
        return failed(compaction, "the new file is damaged, and was not used", after->damage);
    if (!hold_the_same(compaction->before, after))
        return failed(compaction, "the new file was not used",
                      "it does not hold what the old one does");
    return 0;
}

static int replace(const struct compaction *compaction)
{
    if (rename(compaction->path, compaction->directory->file) != 0)
        return failed(compaction, "the new file cannot take the old one's place", strerror(errno));
    int error = store_directory_sync(compaction->directory);
    return error == 0 ? 0
                      : failed(compaction, "the new file is in place, but not surely on the disk",
                               strerror(error));
}

int store_compact(const struct store_directory *directory, uint64_t size,
                  const struct store_findings *before, struct store_findings *after, char *why,
                  size_t why_room)
{
    struct compaction compaction = {
        .directory = directory, .before = before, .fd = -1, .why = why, .why_room = why_room};
    uint64_t needed = before->used_pages * before->page_bytes; /* the new file has no holes */
    compaction.size = size > 0 ? size : before->file_bytes;
    *after = (struct store_findings){0};
    if (compaction.size < needed)
        compaction.size = needed;
    store_compacting_path(directory, compaction.path);
    int result = make_file(&compaction);
    if (result == 0)
        result = take_room(&compaction);
    if (result == 0)
        result = copy_records(&compaction);
    if (result == 0)
        result = check_copy(&compaction, after);
    if (result == 0)
        result = replace(&compaction);
    if (compaction.fd >= 0)
        close(compaction.fd);
    if (result != 0)
        unlink(compaction.path);
    return result;
}
