/* What another host's clock says, by ours: from times that it tells, which arrive late. */
#ifndef MSGSERVER_RELAY_MESH_PEER_CLOCK_H
#define MSGSERVER_RELAY_MESH_PEER_CLOCK_H

#include <stdint.h>

/* All-zero: nothing is known. */
struct peer_clock {
    int64_t ahead_us; /* ours before its, as the envelope that took the least time showed it */
    uint64_t read_us; /* when, by our clock */
};

/* At `now_us` of our clock an envelope arrived, sent `age_us` after `then_us` of the peer's:
 * returns what our clock was then. An envelope that waited on its way does not mislead: the fastest
 * one tells. All are in microseconds, and below UINT64_MAX / 8. */
uint64_t peer_clock_to_ours(struct peer_clock *clock, uint64_t now_us, uint64_t then_us,
                            uint64_t age_us);

#endif
