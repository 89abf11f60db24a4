/* POST /messages: one order as JSON, or many as NDJSON (one JSON object a line). */
#include <inttypes.h>
#include <stdlib.h>

#include "workers/client/backend/send_batch.h"

/* A line of NDJSON that was refused. */
struct line_error {
    struct line_error *next;
    uint32_t line;
    struct order_error error;
};

struct send_job {
    struct exchange *exchange;
    struct send_batch *batch;
    bool ndjson;
    uint32_t lines;
    struct line_error *errors, **errors_end; /* by ascending line */
};

static void free_job(void *state)
{
    struct send_job *job = state;
    if (job->batch)
        send_batch_free(job->batch);
    while (job->errors) {
        struct line_error *error = job->errors;
        job->errors = error->next;
        free(error);
    }
    free(job);
}

static int put_queued(struct buffer *out, const struct recipient_result *result)
{
    int failed = buffer_append_string(out, ",\"ids\":[");
    for (uint32_t i = 0; i < result->count && !failed; i++)
        failed = (i > 0 && buffer_append_string(out, ",") != 0) ||
                 buffer_append_u64(out, result->first_id + i) != 0;
    failed = failed || buffer_append_string(out, result->flags & RESULT_ATTACHED
                                                     ? "],\"attached\":true"
                                                     : "],\"attached\":false") != 0;
    if (result->flags & RESULT_REPLACED)
        failed = failed || buffer_append_string(out, ",\"replaced\":true") != 0;
    if (result->flags & RESULT_REPEATED)
        failed = failed || buffer_append_string(out, ",\"repeated\":true") != 0;
    return failed ? -1 : 0;
}

static int put_refused(struct buffer *out, const struct recipient_result *result)
{
    if (result->outcome == OUTCOME_OVER_LIMIT && result->limit != LIMIT_NONE)
        return buffer_printf(out, ",\"limit\":\"%s\",\"message\":\"%s\"", limit_code(result->limit),
                             limit_sentence(result->limit));
    if (result->flags & RESULT_IGNORED && buffer_append_string(out, ",\"ignored\":true") != 0)
        return -1;
    return buffer_printf(out, ",\"message\":\"%s\"", outcome_sentence(result->outcome));
}

static int put_result(struct buffer *out, const struct batch_recipient *recipient)
{
    const struct recipient_result *result = &recipient->result;
    int failed = buffer_append_string(out, "{\"to\":") != 0 ||
                 buffer_append_slice(out, recipient->key) != 0 ||
                 buffer_append_string(out, ",\"outcome\":\"") != 0 ||
                 buffer_append_string(out, outcome_code(result->outcome)) != 0 ||
                 buffer_append_string(out, "\"") != 0 ||
                 (result->outcome == OUTCOME_QUEUED ? put_queued(out, result)
                                                    : put_refused(out, result)) != 0;
    /* Also when it was refused after all. */
    if (result->dropped > 0)
        failed = failed || buffer_printf(out, ",\"dropped\":%" PRIu32, result->dropped) != 0;
    return failed || buffer_append_string(out, "}") != 0 ? -1 : 0;
}

/* The results of one line, from recipient `*at` on, which moves past them. */
static int put_results(struct buffer *out, const struct send_batch *batch, uint32_t line,
                       size_t *at)
{
    int failed = buffer_append_string(out, "\"results\":[");
    for (bool first = true; *at < send_batch_count(batch) && !failed; (*at)++, first = false) {
        const struct batch_recipient *recipient = send_batch_recipient(batch, *at);
        if (recipient->line != line)
            break;
        failed = (!first && buffer_append_string(out, ",") != 0) || put_result(out, recipient) != 0;
    }
    return failed || buffer_append_string(out, "]}\n") != 0 ? -1 : 0;
}

static int put_line_error(struct buffer *out, const struct order_error *error)
{
    return buffer_printf(
               out, "\"error\":{\"code\":\"%s\",\"message\":", api_error_code(error->error)) != 0 ||
                   put_json_string(out, slice_from_string(error->message)) != 0 ||
                   buffer_append_string(out, "}}\n") != 0
               ? -1
               : 0;
}

static int put_lines(struct buffer *out, const struct send_job *job)
{
    const struct line_error *error = job->errors;
    size_t at = 0;
    int failed = 0;
    for (uint32_t line = 0; line < job->lines && !failed; line++) {
        bool refused = error && error->line == line;
        bool empty = !refused && (at == send_batch_count(job->batch) ||
                                  send_batch_recipient(job->batch, at)->line != line);
        if (empty)
            continue;
        failed = buffer_printf(out, "{\"line\":%" PRIu32 ",", line + 1);
        if (failed)
            break;
        failed =
            refused ? put_line_error(out, &error->error) : put_results(out, job->batch, line, &at);
        if (refused)
            error = error->next;
    }
    return failed;
}

static void on_batch_done(struct send_batch *batch, void *context)
{
    struct send_job *job = context;
    struct exchange *exchange = job->exchange;
    struct buffer body = {0};
    size_t at = 0;
    int failed = job->ndjson ? put_lines(&body, job)
                             : (buffer_append_string(&body, "{") != 0 ||
                                put_results(&body, batch, 0, &at) != 0);
    if (failed)
        answer_error(exchange, API_NO_MEMORY,
                     "The messages were sent, but there is no memory for the outcomes.");
    else
        exchange_respond(exchange, 200, job->ndjson ? "application/x-ndjson" : "application/json",
                         buffer_slice(&body), NULL);
    buffer_free(&body);
    free_job(job);
}

static int add_order(struct send_job *job, uint32_t line, struct slice text,
                     struct order_error *error)
{
    struct message_order order;
    uint64_t max_body = exchange_settings(job->exchange)->limit_message_bytes;
    if (message_order_read(&order, text, true, max_body, error) != 0)
        return -1;
    int result = send_batch_add(job->batch, line, &order, error);
    message_order_free(&order);
    return result;
}

static int keep_line_error(struct send_job *job, uint32_t line, const struct order_error *error)
{
    struct line_error *kept = malloc(sizeof *kept);
    if (!kept)
        return -1;
    *kept = (struct line_error){NULL, line, *error};
    *job->errors_end = kept;
    job->errors_end = &kept->next;
    return 0;
}

static bool is_blank(struct slice line)
{
    for (size_t i = 0; i < line.len; i++)
        if (!strchr(" \t\r", line.data[i]))
            return false;
    return true;
}

/* Lines that are refused do not stop the others; each gets its answer. */
static int add_lines(struct send_job *job, struct slice text)
{
    struct order_error error;
    while (text.len > 0) {
        const char *end = memchr(text.data, '\n', text.len);
        struct slice line = slice_of(text.data, end ? (size_t)(end - text.data) : text.len);
        size_t taken = line.len + (end ? 1 : 0);
        text = slice_of(text.data + taken, text.len - taken);
        if (!is_blank(line) && add_order(job, job->lines, line, &error) != 0 &&
            keep_line_error(job, job->lines, &error) != 0)
            return -1;
        job->lines++;
    }
    return 0;
}

static size_t count_lines(struct slice text)
{
    size_t count = 0;
    for (; text.len > 0; count++) {
        const char *end = memchr(text.data, '\n', text.len);
        size_t taken = end ? (size_t)(end - text.data) + 1 : text.len;
        text = slice_of(text.data + taken, text.len - taken);
    }
    return count;
}

static struct send_job *new_job(struct exchange *exchange)
{
    struct send_job *job = calloc(1, sizeof *job);
    if (!job)
        return NULL;
    job->exchange = exchange;
    job->errors_end = &job->errors;
    job->batch = send_batch_new(exchange_relay(exchange), on_batch_done, job);
    if (!job->batch) {
        free(job);
        return NULL;
    }
    return job;
}

static bool is_ndjson(struct slice content_type)
{
    static const char *const TYPES[] = {"application/x-ndjson", "application/ndjson",
                                        "application/jsonlines", "application/jsonl"};
    for (size_t i = 0; i < sizeof TYPES / sizeof *TYPES; i++) {
        size_t len = strlen(TYPES[i]);
        if (content_type.len >= len && strncasecmp(content_type.data, TYPES[i], len) == 0)
            return true;
    }
    return false;
}

/* When it returns false, the request is answered. */
static bool add_all(struct send_job *job, struct slice text)
{
    struct order_error error;
    if (job->ndjson) {
        if (add_lines(job, text) == 0)
            return true;
        answer_failure(job->exchange, REQUEST_NO_MEMORY);
    } else {
        if (add_order(job, 0, text, &error) == 0)
            return true;
        answer_error(job->exchange, error.error, "%s", error.message);
    }
    return false;
}

void messages_send(struct exchange *exchange, struct slice rest)
{
    (void)rest;
    const struct exchange_request *request = exchange_request_of(exchange);
    bool ndjson = is_ndjson(request->content_type);
    if (ndjson && count_lines(request->body) > BATCH_RECIPIENTS_MAX) {
        answer_error(exchange, API_BAD_REQUEST, "Above %d lines in one request; send several.",
                     BATCH_RECIPIENTS_MAX);
        return;
    }
    struct send_job *job = new_job(exchange);
    if (!job) {
        answer_failure(exchange, REQUEST_NO_MEMORY);
        return;
    }
    job->ndjson = ndjson;
    if (!add_all(job, request->body)) {
        free_job(job);
        return;
    }
    exchange_set_state(exchange, job, free_job);
    send_batch_close(job->batch);
}
