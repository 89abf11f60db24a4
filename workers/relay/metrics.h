/* The relay's figures, one number per row of metrics.def. */
#ifndef MSGSERVER_RELAY_METRICS_H
#define MSGSERVER_RELAY_METRICS_H

#include "base/buffer.h"

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE };

enum metric {
#define METRIC(NAME, name, kind, text) METRIC_##NAME,
#include "workers/relay/metrics.def"
#undef METRIC
    METRICS
};

struct metrics {
    uint64_t values[METRICS];
};

struct metric_row {
    const char *name;
    enum metric_kind kind;
    const char *text;
};
extern const struct metric_row METRIC_ROWS[METRICS];

static inline void metric_add(struct metrics *metrics, enum metric metric, uint64_t by)
{
    metrics->values[metric] += by;
}

static inline void metric_sub(struct metrics *metrics, enum metric metric, uint64_t by)
{
    metrics->values[metric] -= by;
}

/* confirmed + pending + all of dropped_*: always as many as `accepted`. */
uint64_t metrics_accounted_for(const struct metrics *metrics);

/* Appends the run of (name slice, value u64) of a STATUS reply. Returns 0, or -1 with errno ENOMEM.
 */
int metrics_put(const struct metrics *metrics, struct buffer *out);

#endif
