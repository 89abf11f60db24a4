#include "base/clock.h"

#include <time.h>

static uint64_t read_clock(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t clock_monotonic_ms(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

uint64_t clock_monotonic_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t clock_wall_ms(void)
{
    return read_clock(CLOCK_REALTIME);
}

uint64_t clock_steady_ms(void)
{
    static uint64_t ahead; /* of the monotonic clock */
    if (ahead == 0)
        ahead = clock_wall_ms() - clock_monotonic_ms();
    return ahead + clock_monotonic_ms();
}
