#include "ctl/store_totals.h"

#include "codecs/frame.h"

static void take(struct store_totals *totals, struct slice name, uint64_t value)
{
    if (slice_equals_string(name, "accepted"))
        totals->accepted = value;
    else if (slice_equals_string(name, "confirmed"))
        totals->confirmed = value;
    else if (slice_starts_with(name, "dropped_"))
        totals->dropped += value;
}

struct store_totals store_totals_read(const struct store_findings *findings,
                                      void (*each)(void *context, struct slice name,
                                                   uint64_t value),
                                      void *context)
{
    struct store_totals totals = {.known = findings->was_used};
    struct frame_reader reader = reader_of(buffer_slice(&findings->totals));
    while (reader_left(&reader) > 0 && totals.known) {
        struct slice name = get_slice(&reader);
        uint64_t value = get_u64(&reader);
        totals.known = !reader.broken;
        if (!totals.known)
            break;
        take(&totals, name, value);
        if (each && !slice_starts_with(name, ".")) /* the relay's own */
            each(context, name, value);
    }
    totals.balanced = totals.accepted == totals.confirmed + findings->messages + totals.dropped;
    return totals;
}
