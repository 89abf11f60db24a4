#include "workers/relay/metrics.h"

#include "codecs/frame.h"

const struct metric_row METRIC_ROWS[METRICS] = {
#define METRIC(NAME, name, kind, text) [METRIC_##NAME] = {name, METRIC_##kind, text},
#include "workers/relay/metrics.def"
#undef METRIC
};

uint64_t metrics_accounted_for(const struct metrics *metrics)
{
    uint64_t sum = metrics->values[METRIC_CONFIRMED] + metrics->values[METRIC_PENDING];
    for (int i = 0; i < METRICS; i++)
        if (strncmp(METRIC_ROWS[i].name, "dropped_", strlen("dropped_")) == 0)
            sum += metrics->values[i];
    return sum;
}

int metrics_put(const struct metrics *metrics, struct buffer *out)
{
    size_t mark = buffer_len(out);
    for (int i = 0; i < METRICS; i++) {
        if (put_slice(out, slice_from_string(METRIC_ROWS[i].name)) != 0 ||
            put_u64(out, metrics->values[i]) != 0) {
            buffer_truncate(out, mark);
            return -1;
        }
    }
    return 0;
}
