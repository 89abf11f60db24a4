#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "store/lmdb_store.h"

static int write_value(int fd, const struct store_verdict *verdict)
{
    const uint64_t *value = &verdict->undo_value;
    ssize_t len = pwrite(fd, value, sizeof *value, (off_t)verdict->undo_at);
    if (len == (ssize_t)sizeof *value)
        return fsync(fd) != 0 ? errno : 0;
    return len < 0 ? errno : EIO;
}

int lmdb_undo_in_file(const char *path, const struct store_verdict *verdict)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    int error = fd < 0 ? errno : write_value(fd, verdict);
    if (fd >= 0)
        close(fd);
    errno = error;
    if (error != 0)
        return -1;
    LOG_WARNING(
        "store-commit-undone",
        "transaction=%" PRIu64 " why=\"%s\" action=\"going on from the commit before: "
        "this one was cut off when the relay was killed, and nobody was answered for it; or "
        "it was damaged since, and is lost\"",
        verdict->transaction, verdict->why);
    return 0;
}

/* LMDB looks at the meta pages anew for each transaction: it finds a page of our own there. */
int lmdb_undo_in_memory(void *map, const char *path, const struct store_verdict *verdict)
{
    uint64_t page_size = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t within = verdict->undo_at % page_size, start = verdict->undo_at - within;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    char *page = mmap((char *)map + start, page_size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_FIXED, fd, (off_t)start);
    int error = page == MAP_FAILED ? errno : 0;
    if (error == 0)
        memcpy(page + within, &verdict->undo_value, sizeof verdict->undo_value);
    close(fd);
    errno = error;
    return error == 0 ? 0 : -1;
}
