/* GET /status: the figures of this host's relay as one flat JSON object. */
#include <inttypes.h>

#include "workers/client/backend/relay_call.h"

static int put_figures(struct buffer *out, struct slice figures)
{
    struct frame_reader reader = reader_of(figures);
    int failed = buffer_append_string(out, "{");
    for (bool first = true; reader_left(&reader) > 0 && !failed; first = false) {
        struct slice name = get_slice(&reader);
        uint64_t value = get_u64(&reader);
        failed = (!first && buffer_append_string(out, ",") != 0) ||
                 put_json_string(out, name) != 0 || buffer_printf(out, ":%" PRIu64, value) != 0;
    }
    return failed || buffer_append_string(out, "}\n") != 0 ? -1 : 0;
}

static void answer_status(struct exchange *exchange, struct slice payload, const void *context)
{
    (void)context;
    struct frame_status status;
    struct buffer body = {0};
    if (get_status(payload, &status) != 0 || put_figures(&body, status.figures) != 0) {
        buffer_free(&body);
        answer_failure(exchange, REQUEST_NO_MEMORY);
        return;
    }
    answer_json(exchange, 200, &body);
}

void status_read(struct exchange *exchange, struct slice rest)
{
    (void)rest;
    struct buffer payload = {0};
    relay_call(exchange, SLICE_EMPTY, FRAME_READ_STATUS, &payload, FRAME_STATUS, answer_status,
               NULL);
}
