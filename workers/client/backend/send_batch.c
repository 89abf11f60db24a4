#include "workers/client/backend/send_batch.h"

#include <errno.h>
#include <stdlib.h>

#include <jansson.h>

#include "base/invariant.h"
#include "base/table.h"
#include "codecs/json_text.h"

enum { BATCH_MAGIC = 0x62617463 };

/* One request to one home, for some of the recipients. */
struct batch_request {
    struct send_batch *batch;
    struct batch_request *prev, *next;
    uint64_t id;
    size_t count;
    size_t recipients[]; /* indices into the batch's recipients */
};

struct send_batch {
    unsigned magic;
    struct relay_link *relay;
    batch_done done;
    void *context;
    struct batch_recipient *recipients;
    size_t count, room;
    struct batch_request *requests; /* under way */
    bool closed;
};

struct send_batch *send_batch_new(struct relay_link *relay, batch_done done, void *context)
{
    struct send_batch *batch = calloc(1, sizeof *batch);
    if (!batch)
        return NULL;
    batch->magic = BATCH_MAGIC;
    batch->relay = relay;
    batch->done = done;
    batch->context = context;
    return batch;
}

void send_batch_free(struct send_batch *batch)
{
    CHECK_MAGIC(batch, BATCH_MAGIC);
    struct batch_request *request, *next;
    DL_FOREACH_SAFE(batch->requests, request, next) {
        relay_link_cancel(batch->relay, request->id);
        free(request);
    }
    free(batch->recipients);
    batch->magic = 0;
    free(batch);
}

size_t send_batch_count(const struct send_batch *batch)
{
    return batch->count;
}

const struct batch_recipient *send_batch_recipient(const struct send_batch *batch, size_t index)
{
    return &batch->recipients[index];
}

static int refuse_memory(struct order_error *error)
{
    error->error = API_NO_MEMORY;
    strcpy(error->message, "Out of memory; nothing was done.");
    return -1;
}

static int refuse_recipients(struct order_error *error)
{
    error->error = API_BAD_REQUEST;
    strcpy(error->message,
           "\"to\" must be a session key (a string), or an array of them, not empty.");
    return -1;
}

static int add_recipient(struct send_batch *batch, uint32_t line, struct slice key,
                         struct order_error *error)
{
    if (json_kind_of(key) != JSON_KIND_STRING)
        return refuse_recipients(error);
    if (batch->count == batch->room) {
        size_t room = batch->room ? batch->room * 2 : 16;
        struct batch_recipient *grown = realloc(batch->recipients, room * sizeof *grown);
        if (!grown)
            return refuse_memory(error);
        batch->recipients = grown;
        batch->room = room;
    }
    batch->recipients[batch->count++] =
        (struct batch_recipient){.key = key, .line = line, .result.outcome = OUTCOME_COUNT};
    return 0;
}

static int add_recipients(struct send_batch *batch, uint32_t line, struct slice to,
                          struct order_error *error)
{
    if (json_kind_of(to) != JSON_KIND_ARRAY)
        return add_recipient(batch, line, to, error);
    size_t before = batch->count;
    struct slice key;
    while (json_next_element(&to, &key))
        if (add_recipient(batch, line, json_trim(key), error) != 0)
            return -1;
    return batch->count > before ? 0 : refuse_recipients(error);
}

/* A JSON string without escapes is its own text; others are rare. */
static int parse_key(struct slice quoted, struct session_key *key)
{
    struct slice inner = slice_of(quoted.data + 1, quoted.len - 2);
    if (!memchr(inner.data, '\\', inner.len))
        return session_key_parse(inner, key);
    json_t *string = json_loadb(quoted.data, quoted.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    int result = -1;
    if (string)
        result =
            session_key_parse(slice_of(json_string_value(string), json_string_length(string)), key);
    json_decref(string);
    return result;
}

static void finish_if_complete(struct send_batch *batch)
{
    if (batch->closed && !batch->requests)
        batch->done(batch, batch->context);
}

/* Gives every recipient that has no result yet this one. */
static void settle(struct batch_request *request, enum outcome outcome)
{
    for (size_t i = 0; i < request->count; i++) {
        struct batch_recipient *recipient = &request->batch->recipients[request->recipients[i]];
        if (recipient->result.outcome == OUTCOME_COUNT)
            recipient->result = (struct recipient_result){.outcome = outcome};
    }
}

/* A home of another host may answer anything: what it leaves out counts as gone. */
static void read_results(struct batch_request *request, struct slice payload)
{
    struct frame_sent sent;
    struct recipient_result result;
    size_t i = 0;
    if (get_sent(payload, &sent) != 0)
        return;
    struct frame_reader reader = reader_of(sent.results);
    while (i < request->count && get_recipient_result(&reader, &result))
        request->batch->recipients[request->recipients[i++]].result = result;
}

static void on_reply(void *context, enum request_failure failure, uint16_t operation,
                     struct slice payload)
{
    struct batch_request *request = context;
    struct send_batch *batch = request->batch;
    CHECK_MAGIC(batch, BATCH_MAGIC);
    if (failure == REQUEST_ANSWERED && operation == FRAME_SENT)
        read_results(request, payload);
    settle(request, failure == REQUEST_ANSWERED ? OUTCOME_HOST_GONE : OUTCOME_TIMED_OUT);
    DL_DELETE(batch->requests, request);
    free(request);
    finish_if_complete(batch);
}

/* Gathers into `request` the recipients from `first` on that share the home of the first of them
 * that waits, and their addresses. Malformed keys get their result at once. */
static int gather_one_home(struct batch_request *request, size_t first, struct session_key *home,
                           struct buffer *addresses)
{
    struct send_batch *batch = request->batch;
    struct session_key key;
    for (size_t i = first; i < batch->count; i++) {
        struct batch_recipient *recipient = &batch->recipients[i];
        if (recipient->gathered)
            continue;
        if (parse_key(recipient->key, &key) != 0) {
            recipient->gathered = true;
            recipient->result.outcome = OUTCOME_INVALID_KEY;
            continue;
        }
        if (request->count == 0)
            *home = key;
        if (strcmp(home->home, key.home) != 0)
            continue;
        recipient->gathered = true;
        request->recipients[request->count++] = i;
        if (put_slice(addresses, slice_from_string(key.address)) != 0)
            return -1;
    }
    return 0;
}

/* Sends the order to one home. Returns false when no recipient from `first` on waits any more. */
static bool send_to_one_home(struct send_batch *batch, size_t first,
                             const struct message_order *order)
{
    struct session_key home;
    struct buffer addresses = {0}, payload = {0};
    size_t room = batch->count - first;
    struct batch_request *request = malloc(sizeof *request + room * sizeof *request->recipients);
    if (!request)
        return false;
    *request = (struct batch_request){.batch = batch};
    int failed = gather_one_home(request, first, &home, &addresses);
    if (!failed && request->count > 0) {
        struct frame_send send = {buffer_slice(&addresses), buffer_slice(&order->bodies)};
        if (put_send_fields(&payload, &send) == 0)
            request->id = relay_link_request(batch->relay, slice_from_string(home.home), FRAME_SEND,
                                             buffer_slice(&payload), on_reply, request);
    }
    buffer_free(&addresses);
    buffer_free(&payload);
    bool sent = request->id != 0, more = request->count > 0;
    if (sent) {
        DL_APPEND(batch->requests, request);
    } else {
        settle(request, OUTCOME_OVER_LIMIT);
        free(request);
    }
    return more;
}

int send_batch_add(struct send_batch *batch, uint32_t line, const struct message_order *order,
                   struct order_error *error)
{
    CHECK_MAGIC(batch, BATCH_MAGIC);
    size_t first = batch->count;
    if (add_recipients(batch, line, order->to, error) != 0) {
        batch->count = first;
        return -1;
    }
    while (send_to_one_home(batch, first, order))
        continue;
    /* Without memory for a request, nothing of it left this process. */
    for (size_t i = first; i < batch->count; i++)
        if (!batch->recipients[i].gathered)
            batch->recipients[i].result.outcome = OUTCOME_OVER_LIMIT;
    return 0;
}

void send_batch_close(struct send_batch *batch)
{
    CHECK_MAGIC(batch, BATCH_MAGIC);
    batch->closed = true;
    finish_if_complete(batch);
}
