/* A fast sum over bytes that is the same in every process and on every day: to tell damage, and
 * whether two things are the same. No defence against somebody who makes them the same. */
#ifndef MSGSERVER_BASE_CHECKSUM_H
#define MSGSERVER_BASE_CHECKSUM_H

#include <stdint.h>

#include "base/slice.h"

/* Goes on from `sum` (0 at first). Finds every change within 8 bytes of one input. */
uint64_t checksum(uint64_t sum, struct slice bytes);
uint64_t checksum_u64(uint64_t sum, uint64_t value);

#endif
