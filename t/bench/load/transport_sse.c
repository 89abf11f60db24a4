/* Server-sent events. A client confirms when it comes back. */
#include "bench/load/client.h"

static void begin(struct client *client)
{
    client_request(client, "Accept: text/event-stream\r\n");
    client_expect_head(client, "200");
}

/* Lines that begin otherwise are IDs, comments, or the sizes of HTTP's chunks. */
static size_t take(struct client *client, struct slice in)
{
    static const char DATA[] = "data: ";
    enum { DATA_BYTES = sizeof DATA - 1 };
    size_t taken = 0;
    const char *end;
    while (taken < in.len && (end = memchr(in.data + taken, '\n', in.len - taken))) {
        struct slice line = slice_of(in.data + taken, (size_t)(end - in.data) - taken);
        if (slice_starts_with(line, DATA))
            client_take_pack(client, slice_of(line.data + DATA_BYTES, line.len - DATA_BYTES));
        taken += line.len + 1;
    }
    return taken;
}

const struct transport_methods transport_sse = {.begin = begin, .take = take};
