#include "master/config/read_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static int read_all(int fd, size_t max, struct buffer *out)
{
    size_t total = 0;
    for (;;) {
        char *room = buffer_reserve(out, 4096);
        if (!room)
            return -1;
        ssize_t got = read(fd, room, 4096);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return (int)got;
        buffer_added(out, (size_t)got);
        total += (size_t)got;
        if (total > max) {
            errno = EFBIG;
            return -1;
        }
    }
}

int read_file(const char *path, size_t max, struct buffer *out, mode_t *mode)
{
    /* O_NONBLOCK: a FIFO under the file's name must not hang the start. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -1;
    struct stat status;
    int result = fstat(fd, &status);
    if (result == 0 && !S_ISREG(status.st_mode)) {
        errno = S_ISDIR(status.st_mode) ? EISDIR : EINVAL;
        result = -1;
    }
    if (result == 0 && mode)
        *mode = status.st_mode & (S_IRWXU | S_IRWXG | S_IRWXO);
    if (result == 0)
        result = read_all(fd, max, out);
    int error = errno;
    close(fd);
    errno = error;
    return result;
}
