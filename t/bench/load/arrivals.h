/* What has arrived in a run, counted by all processes of a load generator together. */
#ifndef MSGSERVER_BENCH_ARRIVALS_H
#define MSGSERVER_BENCH_ARRIVALS_H

#include <stdatomic.h>
#include <stddef.h>

#include "bench/load/histogram.h"
#include "bench/load/message.h"

enum { ARRIVALS_REMEMBERED = 64 }; /* more broadcasts than are on their way in one lane */

struct arrivals {
    struct histogram latencies; /* in microseconds, from when a message was due */
    _Atomic uint64_t last_us;
    _Atomic uint64_t broadcasts; /* that all clients have */
    _Atomic uint32_t
        of_broadcast[MESSAGE_LANES][ARRIVALS_REMEMBERED]; /* by its number's remainder */
};

/* Memory that is shared with the processes that are forked from now on; all-zero. */
void *shared_memory(size_t bytes);

void arrivals_start(uint32_t clients);
const struct arrivals *arrivals(void);
void arrivals_reset(void);
void arrivals_add(const struct message *message);

#endif
