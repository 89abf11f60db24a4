#include "workers/relay/mesh/peer_clock.h"

/* Clocks differ by up to so much of the time that passes; and a system that was started again has
 * another clock: nothing is on its way that long. */
enum { DRIFT = 2000, LEAP_US = 120 * 1000 * 1000 };

uint64_t peer_clock_to_ours(struct peer_clock *clock, uint64_t now_us, uint64_t then_us,
                            uint64_t age_us)
{
    int64_t ahead_us = (int64_t)now_us - (int64_t)(then_us + age_us);
    int64_t known_us = clock->ahead_us + (int64_t)(now_us - clock->read_us) / DRIFT;
    if (clock->read_us == 0 || ahead_us < known_us || ahead_us >= known_us + LEAP_US) {
        clock->ahead_us = known_us = ahead_us;
        clock->read_us = now_us;
    }
    int64_t ours_us = (int64_t)then_us + known_us;
    return ours_us > 0 ? (uint64_t)ours_us : 0;
}
