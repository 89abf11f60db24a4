#include "io/descriptor_reserve.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "base/log.h"

enum { RESERVE = 64, SMALLEST_LIMIT = 2 * RESERVE, NOT_FOR_CLIENTS = 128 };

static struct rlimit kept; /* the soft limit without the reserve; 0: none was made */

static int set_soft_limit(rlim_t soft)
{
    const struct rlimit limit = {.rlim_cur = soft, .rlim_max = kept.rlim_max};
    return setrlimit(RLIMIT_NOFILE, &limit);
}

uint64_t descriptors_beside_reserve(uint64_t limit)
{
    return limit >= SMALLEST_LIMIT ? limit - RESERVE : limit;
}

uint64_t descriptors_for_clients(uint64_t openable)
{
    uint64_t half = openable / 2;
    return half > NOT_FOR_CLIENTS ? openable - NOT_FOR_CLIENTS : half;
}

uint64_t descriptor_reserve_make(void)
{
    if (getrlimit(RLIMIT_NOFILE, &kept) != 0)
        return UINT64_MAX;
    rlim_t before = kept.rlim_cur;
    kept.rlim_cur = descriptors_beside_reserve(kept.rlim_max);
    if (set_soft_limit(kept.rlim_cur) == 0)
        return kept.rlim_cur;
    LOG_WARNING("descriptor-limit-kept", "why=\"%s\"", strerror(errno));
    kept.rlim_cur = 0;
    return before;
}

void descriptor_reserve_open(void)
{
    if (kept.rlim_cur > 0)
        set_soft_limit(kept.rlim_max);
}

void descriptor_reserve_close(void)
{
    if (kept.rlim_cur > 0)
        set_soft_limit(kept.rlim_cur);
}
