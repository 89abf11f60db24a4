#include "master/restart.h"

#include "io/child_contract.h"

uint64_t restart_wait(struct restart_throttle *throttle, uint64_t lived_ms)
{
    uint64_t wait = throttle->last_wait_ms * 2;
    if (throttle->last_wait_ms == 0 || lived_ms >= RESTART_STABLE_MS)
        wait = RESTART_FIRST_MS;
    else if (wait < RESTART_SLOW_MS)
        wait = RESTART_SLOW_MS;
    else if (wait > RESTART_CAP_MS)
        wait = RESTART_CAP_MS;
    throttle->last_wait_ms = wait;
    return wait;
}
