#include "workers/client/http_answer.h"

#include <stdlib.h>

#include "codecs/http_response.h"
#include "workers/client/http_reader.h"

/* Tells a backend's connection pool how long an idle connection stays, a second early, so that it
 * sends no request into one that is just being closed. */
static uint64_t idle_hint(const struct connection *connection)
{
    uint64_t idle_s = connection->worker->settings.header_timeout / 1000;
    return connection->is_backend && connection->keep_alive && idle_s >= 2 ? idle_s - 1 : 0;
}

int http_answer_head(struct connection *connection, unsigned status, const char *content_type,
                     long long length, const char *extra)
{
    if (connection->worker->stopping)
        connection->keep_alive = false;
    struct http_response response = {.status = status,
                                     .content_length = length,
                                     .close = !connection->keep_alive && status != 101,
                                     .keep_alive_1_0 =
                                         connection->keep_alive && connection->http_1_0,
                                     .content_type = content_type,
                                     .extra = extra,
                                     .more = connection->cors,
                                     .idle_s = idle_hint(connection)};
    int put = http_response_head(&connection->out, &response);
    free(connection->cors);
    connection->cors = NULL;
    return put;
}

void http_answered(struct connection *connection)
{
    if (!connection_wrote(connection, false))
        return;
    connection->handler = http_reader_handle;
    if (connection->keep_alive)
        connection_enter(connection, CONNECTION_HEAD);
    else
        connection_finish(connection);
}

void http_answer(struct connection *connection, unsigned status, const char *content_type,
                 struct slice body, const char *extra)
{
    long long length = status == 204 ? HTTP_NO_LENGTH : (long long)body.len;
    bool failed = http_answer_head(connection, status, content_type, length, extra) != 0;
    if (!failed && status != 204 && !connection->head_only)
        failed = buffer_append_slice(&connection->out, body) != 0;
    if (connection_wrote(connection, failed))
        http_answered(connection);
}

/* The codes are those that the backend API uses for the same statuses. */
static const char *code_of(unsigned status)
{
    switch (status) {
    case 413:
        return "bodyTooLarge";
    case 408:
        return "timedOut";
    case 503:
        return "overloaded";
    default:
        return "badRequest";
    }
}

void http_answer_text(struct connection *connection, unsigned status, const char *sentence)
{
    if (!connection->is_backend) {
        http_answer(connection, status, TEXT_TYPE, slice_from_string(sentence), NO_HEADERS);
        return;
    }
    /* Our own sentences hold nothing that JSON would have to escape. */
    struct buffer body = {0};
    if (buffer_printf(&body, "{\"error\":{\"code\":\"%s\",\"message\":\"%s\"}}\n", code_of(status),
                      sentence) != 0)
        connection_wrote(connection, true);
    else
        http_answer(connection, status, JSON_TYPE, buffer_slice(&body), NO_HEADERS);
    buffer_free(&body);
}

void http_answer_error(struct connection *connection, enum http_error error)
{
    connection->keep_alive = false;
    bool configured = connection->is_backend && error == HTTP_BODY_TOO_LARGE;
    http_answer_text(connection, http_error_status(error),
                     configured ? "The body is larger than server.limits.backendBodyBytes allows."
                                : http_error_text(error));
}
