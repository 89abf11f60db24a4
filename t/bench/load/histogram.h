/* Times, counted with 1 % precision in constant memory. */
#ifndef MSGSERVER_BENCH_HISTOGRAM_H
#define MSGSERVER_BENCH_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

enum {
    HISTOGRAM_STEPS_LOG2 = 7,
    HISTOGRAM_BUCKETS = (64 - HISTOGRAM_STEPS_LOG2 + 1) << HISTOGRAM_STEPS_LOG2
};

/* All-zero is empty. Several processes may add at the same time. */
struct histogram {
    _Atomic uint64_t count;
    _Atomic uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *histogram, uint64_t value);
/* The value below which that many percent lie; 0 when it is empty. */
uint64_t histogram_percentile(const struct histogram *histogram, double percent);

#endif
