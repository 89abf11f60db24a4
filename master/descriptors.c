#include "master/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"

/* Listeners, channels, libev, the log, and spares. */
enum { NOT_FOR_CONNECTIONS = 64 };

void descriptors_raise_limit(uint64_t wanted)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    if (before != limit.rlim_max && setrlimit(RLIMIT_NOFILE, &limit) != 0) {
        LOG_WARNING("open-files-limit", "limit=%ju error=\"%s\"", (uintmax_t)before,
                    strerror(errno));
        limit.rlim_cur = before;
    }
    uint64_t room = limit.rlim_cur > NOT_FOR_CONNECTIONS ? limit.rlim_cur - NOT_FOR_CONNECTIONS : 0;
    if (room < wanted)
        LOG_NOTICE("open-files-limit",
                   "limit=%ju connections_per_worker=%" PRIu64 " wanted=%" PRIu64
                   " hint=\"raise LimitNOFILE, or lower server.limits.connections\"",
                   (uintmax_t)limit.rlim_cur, room, wanted);
    else
        LOG_INFO("open-files-limit", "limit=%ju connections_per_worker=%" PRIu64,
                 (uintmax_t)limit.rlim_cur, wanted);
}

void descriptors_reserve_standard(void)
{
    int fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= 2)
        fd = dup(fd);
    if (fd > 2)
        close(fd);
}
