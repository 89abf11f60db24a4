/* Long-polling: the next request confirms what came with the last answer. */
#include "bench/load/client.h"
#include "bench/load/http_answer.h"

static void poll_again(struct client *client)
{
    client_request(client, "");
}

/* One answer at a time comes; one without a message only ends a wait. */
static size_t take(struct client *client, struct slice in)
{
    struct slice head, body;
    size_t len = http_answer_read(in, &head, &body);
    if (len == 0)
        return 0;
    if (body.len > 0)
        client_take_pack(client, body);
    poll_again(client);
    return len;
}

const struct transport_methods transport_long_polling = {.begin = poll_again, .take = take};
