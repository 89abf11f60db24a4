#include "bench/load/histogram.h"

enum { STEPS = 1 << HISTOGRAM_STEPS_LOG2 };

/* Values below STEPS have a bucket each; above, each power of two is cut into STEPS buckets. */
static unsigned bucket_of(uint64_t value)
{
    if (value < STEPS)
        return (unsigned)value;
    unsigned power = 63 - (unsigned)__builtin_clzll(value);
    unsigned shift = power - HISTOGRAM_STEPS_LOG2;
    return ((shift + 1) << HISTOGRAM_STEPS_LOG2) + (unsigned)(value >> shift) - STEPS;
}

static uint64_t lowest_of(unsigned bucket)
{
    if (bucket < STEPS)
        return bucket;
    unsigned shift = (bucket >> HISTOGRAM_STEPS_LOG2) - 1;
    return (uint64_t)((bucket & (STEPS - 1)) + STEPS) << shift;
}

void histogram_add(struct histogram *histogram, uint64_t value)
{
    atomic_fetch_add_explicit(&histogram->buckets[bucket_of(value)], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->count, 1, memory_order_relaxed);
}

uint64_t histogram_percentile(const struct histogram *histogram, double percent)
{
    if (histogram->count == 0)
        return 0;
    uint64_t before = (uint64_t)((double)(histogram->count - 1) * percent / 100), seen = 0;
    unsigned bucket = 0;
    while ((seen += histogram->buckets[bucket]) <= before)
        bucket++;
    return lowest_of(bucket);
}
