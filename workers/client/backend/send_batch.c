#include "workers/client/backend/send_batch.h"

#include <errno.h>
#include <stdio.h>
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
    uint32_t bodies;    /* that each recipient was sent */
    size_t *recipients; /* indices into the batch's recipients */
    size_t count, room;
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

static void free_request(struct batch_request *request)
{
    free(request->recipients);
    free(request);
}

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
        free_request(request);
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
    if (batch->count == BATCH_RECIPIENTS_MAX) {
        error->error = API_BAD_REQUEST;
        snprintf(error->message, sizeof error->message,
                 "Above %d recipients in one request; send several.", BATCH_RECIPIENTS_MAX);
        return -1;
    }
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

/* A home of another host may answer anything: what it leaves out, and a number of IDs that is not
 * the number of messages, count as gone. */
static void read_results(struct batch_request *request, struct slice payload)
{
    struct frame_sent sent;
    struct recipient_result result;
    size_t i = 0;
    if (get_sent(payload, &sent) != 0)
        return;
    struct frame_reader reader = reader_of(sent.results);
    for (; i < request->count && get_recipient_result(&reader, &result); i++)
        if (result.outcome != OUTCOME_QUEUED || result.count == request->bodies)
            request->batch->recipients[request->recipients[i]].result = result;
}

static enum outcome outcome_without_results(enum request_failure failure, uint16_t operation)
{
    if (failure != REQUEST_ANSWERED)
        return OUTCOME_TIMED_OUT;
    return operation == FRAME_NOT_UNDERSTOOD ? OUTCOME_OTHER_VERSION : OUTCOME_HOST_GONE;
}

static void on_reply(void *context, enum request_failure failure, uint16_t operation,
                     struct slice payload)
{
    struct batch_request *request = context;
    struct send_batch *batch = request->batch;
    CHECK_MAGIC(batch, BATCH_MAGIC);
    if (failure == REQUEST_ANSWERED && operation == FRAME_SENT)
        read_results(request, payload);
    settle(request, outcome_without_results(failure, operation));
    DL_DELETE(batch->requests, request);
    free_request(request);
    finish_if_complete(batch);
}

/* The recipients of one order that share a home. */
struct home_group {
    UT_hash_handle hh; /* in by_home */
    struct home_group *next;
    struct batch_request *request;
    struct buffer addresses;
    char home[CLUSTER_ID_MAX + 1];
};

/* Most orders have one home, and need no table. */
struct home_groups {
    struct home_group *first, *last;
    struct home_group *by_home; /* from the second one on */
};

static struct home_group *find_group(const struct home_groups *groups, const char *home)
{
    struct home_group *group = groups->last;
    if (group && strcmp(group->home, home) != 0)
        HASH_FIND_STR(groups->by_home, home, group);
    return group;
}

/* Returns 0, or -1 without memory. */
static int add_group(struct home_groups *groups, struct home_group *group)
{
    if (!groups->first) {
        groups->first = groups->last = group;
        return 0;
    }
    if (!groups->by_home)
        HASH_ADD_STR(groups->by_home, home, groups->first);
    if (groups->by_home)
        HASH_ADD_STR(groups->by_home, home, group);
    if (!group->hh.tbl)
        return -1;
    groups->last->next = group;
    groups->last = group;
    return 0;
}

/* Found or made; NULL without memory. */
static struct home_group *group_of(struct home_groups *groups, struct send_batch *batch,
                                   const char *home, uint32_t bodies)
{
    struct home_group *group = find_group(groups, home);
    if (group)
        return group;
    group = calloc(1, sizeof *group);
    struct batch_request *request = calloc(1, sizeof *request);
    if (group && request) {
        memcpy(group->home, home, strlen(home) + 1); /* of a session key: as long at most */
        *request = (struct batch_request){.batch = batch, .bodies = bodies};
        group->request = request;
        if (add_group(groups, group) == 0)
            return group;
    }
    free(request);
    free(group);
    return NULL;
}

/* Returns 0, or -1 without memory, and the group as it was. */
static int add_to_group(struct home_group *group, size_t recipient, struct slice address)
{
    struct batch_request *request = group->request;
    if (request->count == request->room) {
        size_t room = request->room ? request->room * 2 : 1;
        size_t *grown = reallocarray(request->recipients, room, sizeof *grown);
        if (!grown)
            return -1;
        request->recipients = grown;
        request->room = room;
    }
    if (put_slice(&group->addresses, address) != 0)
        return -1;
    request->recipients[request->count++] = recipient;
    return 0;
}

/* Sends the order to one home, and frees the group. */
static void send_group(struct send_batch *batch, struct home_group *group,
                       const struct message_order *order)
{
    struct batch_request *request = group->request;
    struct buffer payload = {0};
    struct frame_send send = {.addresses = buffer_slice(&group->addresses),
                              .bodies = buffer_slice(&order->bodies),
                              .ttl_ms = order->ttl_ms,
                              .replace_key = buffer_slice(&order->replace_key),
                              .idempotency_key = buffer_slice(&order->idempotency_key),
                              .receipt = buffer_slice(&order->receipt)};
    if (request->count > 0 && put_send_fields(&payload, &send) == 0)
        request->id = relay_link_request(batch->relay, slice_from_string(group->home), FRAME_SEND,
                                         buffer_slice(&payload), on_reply, request);
    buffer_free(&payload);
    if (request->id != 0) {
        DL_APPEND(batch->requests, request);
    } else {
        settle(request, OUTCOME_OVER_LIMIT);
        free_request(request);
    }
    buffer_free(&group->addresses);
    free(group);
}

/* Splits the recipients from `first` on by home, in one pass: a backend may name very many homes.
 * Malformed keys get their result at once. */
static struct home_groups split_by_home(struct send_batch *batch, size_t first, uint32_t bodies)
{
    struct home_groups groups = {0};
    struct session_key key;
    for (size_t i = first; i < batch->count; i++) {
        struct recipient_result *result = &batch->recipients[i].result;
        if (parse_key(batch->recipients[i].key, &key) != 0) {
            result->outcome = OUTCOME_INVALID_KEY;
            continue;
        }
        struct home_group *group = group_of(&groups, batch, key.home, bodies);
        /* Without memory nothing of it leaves this process. */
        if (!group || add_to_group(group, i, slice_from_string(key.address)) != 0)
            result->outcome = OUTCOME_OVER_LIMIT;
    }
    return groups;
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
    struct home_groups groups = split_by_home(batch, first, order->body_count);
    struct home_group *group, *next;
    HASH_CLEAR(hh, groups.by_home);
    LL_FOREACH_SAFE(groups.first, group, next)
        send_group(batch, group, order);
    return 0;
}

void send_batch_close(struct send_batch *batch)
{
    CHECK_MAGIC(batch, BATCH_MAGIC);
    batch->closed = true;
    finish_if_complete(batch);
}
