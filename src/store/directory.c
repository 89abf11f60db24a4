#include "store/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/units.h"
#include "codecs/settings.h"

enum { LOCK_TRIES = 100, LOCK_PAUSE_MS = 20, SAME_NAME_MAX = 100, BLOCK_BYTES = 64 << 10 };
static const off_t LOOKED_THROUGH_MAX = (off_t)4 << 30;

int store_directory_find(struct store_directory *directory, const char *configured)
{
    const char *state = getenv("STATE_DIRECTORY"), *home = getenv("HOME");
    const char *user_state = getenv("XDG_STATE_HOME"), *sandbox = getenv("MESOS_SANDBOX");
    char *path = directory->path;
    size_t room = sizeof directory->path;
    int len = 0;
    directory->lock = -1;
    if (configured)
        len = snprintf(path, room, "%s", configured);
    else if (state && *state) /* several are joined by colons */
        len = snprintf(path, room, "%.*s/store", (int)strcspn(state, ":"), state);
    else if (sandbox && *sandbox == '/') /* Marathon runs several on one host */
        len = snprintf(path, room, "%s/store", sandbox);
    else if (geteuid() == 0)
        len = snprintf(path, room, "/var/lib/msgserver/store");
    else if (user_state && *user_state == '/')
        len = snprintf(path, room, "%s/msgserver/store", user_state);
    else if (home && *home == '/')
        len = snprintf(path, room, "%s/.local/state/msgserver/store", home);
    snprintf(directory->file, sizeof directory->file, "%s/store.mdb", path);
    return len > 0 && (size_t)len < room ? 0 : -1;
}

static int make_directories(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        int made = mkdir(path, 0755);
        *slash = '/';
        if (made != 0 && errno != EEXIST)
            return -1;
    }
    return mkdir(path, 0700) == 0 || errno == EEXIST ? 0 : -1;
}

int store_directory_lock(struct store_directory *directory, bool shared)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/lock", directory->path);
    directory->lock = open(path, (shared ? O_RDONLY : O_RDWR | O_CREAT) | O_CLOEXEC, 0600);
    if (directory->lock < 0)
        return -1;
    int how = shared ? LOCK_SH : LOCK_EX;
    for (int i = 0; flock(directory->lock, how | LOCK_NB) != 0; i++) {
        if ((errno != EWOULDBLOCK && errno != EINTR) || i == LOCK_TRIES)
            return -1;
        nanosleep(&(struct timespec){0, LOCK_PAUSE_MS * 1000000L}, NULL);
    }
    return 0;
}

void store_compacting_path(const struct store_directory *directory, char path[PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s/store.compacting", directory->path);
}

static void remove_litter(const struct store_directory *directory)
{
    char path[PATH_MAX];
    store_compacting_path(directory, path);
    unlink(path);
}

int store_directory_open(struct store_directory *directory, const struct settings *settings,
                         char *why, size_t why_room)
{
    if (store_directory_find(directory, settings->store_path) != 0) {
        snprintf(why, why_room, "there is no directory for the store: set server.store.path");
        return -1;
    }
    if (make_directories(directory->path) == 0 && store_directory_lock(directory, false) == 0) {
        remove_litter(directory);
        return 0;
    }
    if (errno == EWOULDBLOCK)
        snprintf(why, why_room,
                 "the store in %s is in use by another msgserver, or msgserverctl: give each "
                 "server its own server.store.path",
                 directory->path);
    else
        snprintf(why, why_room, "the store's directory %s cannot be used: %s", directory->path,
                 strerror(errno));
    store_directory_close(directory);
    return -1;
}

void store_directory_close(struct store_directory *directory)
{
    if (directory->lock >= 0)
        close(directory->lock);
    directory->lock = -1;
}

static bool is_zero(const char *bytes, size_t len)
{
    return len == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0);
}

/* Where the file's last block begins that holds anything; looks at LOOKED_THROUGH_MAX bytes of its
 * end at most, as a start waits for this. */
static off_t end_of_contents(int fd, off_t size)
{
    char block[BLOCK_BYTES];
    off_t end = size;
    while (end > 0 && size - end < LOOKED_THROUGH_MAX) {
        off_t from = (end - 1) / BLOCK_BYTES * BLOCK_BYTES;
        ssize_t len = pread(fd, block, (size_t)(end - from), from);
        if (len != end - from || !is_zero(block, (size_t)len))
            break;
        end = from;
    }
    return end;
}

/* Gives the disk back the room at the end that was taken in advance and never used: the file's
 * bytes stay the same. Where the file system cannot, the file keeps its room. */
static void give_back_unused(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
    off_t end = size > 0 ? end_of_contents(fd, size) : size;
    if (end < size &&
        fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, end, size - end) != 0)
        LOG_DEBUG("store-keeps-room", "file=%s errno=%d", path, errno);
    if (fd >= 0)
        close(fd);
}

int store_set_aside(const struct store_directory *directory, const char *label, const char *reason,
                    char *why, size_t why_room)
{
    char stamp[32], aside[PATH_MAX + 64];
    time_t now = time(NULL);
    struct tm parts;
    strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", gmtime_r(&now, &parts));
    snprintf(aside, sizeof aside, "%s/store.%s-%s", directory->path, label, stamp);
    for (int i = 2; access(aside, F_OK) == 0 && i < SAME_NAME_MAX; i++)
        snprintf(aside, sizeof aside, "%s/store.%s-%s.%d", directory->path, label, stamp, i);
    if (rename(directory->file, aside) != 0) {
        snprintf(why, why_room, "the store cannot be set aside as %s: %s", aside, strerror(errno));
        return -1;
    }
    give_back_unused(aside);
    LOG_ERROR("store-set-aside", "why=\"%s\" kept_as=%s action=\"starting with an empty store\"",
              reason, aside);
    return 0;
}

int store_directory_sync(const struct store_directory *directory)
{
    int fd = open(directory->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int error = fd < 0 || fsync(fd) != 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    return error;
}

void store_tell_no_room(const struct store_directory *directory, uint64_t bytes, int error,
                        char *why, size_t why_room)
{
    char size[UNIT_TEXT_ROOM];
    format_size(bytes, size);
    if (error == ENOSPC || error == EDQUOT || error == EFBIG)
        snprintf(why, why_room,
                 "there is no room for the store (%s): make room for %s in %s, or lower "
                 "server.store.size, or set another server.store.path",
                 strerror(error), size, directory->path);
    else
        snprintf(why, why_room, "the store %s cannot be made %s large: %s", directory->file, size,
                 strerror(error));
}

int store_allocate(const struct store_directory *directory, uint64_t bytes, bool sync, char *why,
                   size_t why_room)
{
    int fd = open(directory->file, O_RDWR | O_CLOEXEC);
    int error = fd < 0 ? errno : posix_fallocate(fd, 0, (off_t)bytes);
    if (error == 0 && sync)
        error = fsync(fd) != 0 ? errno : store_directory_sync(directory);
    if (fd >= 0)
        close(fd);
    if (error == 0)
        return 0;
    store_tell_no_room(directory, bytes, error, why, why_room);
    return -1;
}
