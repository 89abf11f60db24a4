/* Routes of the backend API, who may use them, and the form of its answers. */
#include "workers/client/backend/api.h"

#include <stdarg.h>
#include <stdio.h>

#include <openssl/crypto.h>

#include "codecs/query_string.h"

struct route {
    const char *method;
    const char *path; /* a '/' at the end: something must follow it */
    void (*handle)(struct exchange *exchange, struct slice rest);
};

static const struct route ROUTES[] = {
    {"POST", "/sessions", sessions_create},    {"GET", "/sessions/", sessions_read},
    {"DELETE", "/sessions/", sessions_delete}, {"POST", "/messages", messages_send},
    {"POST", "/broadcast", broadcast_send},    {"GET", "/receipts", receipts_read},
    {"GET", "/status", status_read},           {"GET", "/peers", peers_read},
    {"GET", "/config", public_config_read},
};
enum { ROUTE_COUNT = sizeof ROUTES / sizeof *ROUTES };

#define API_ERROR_STATUS(NAME, status, code) status,
#define API_ERROR_CODE(NAME, status, code)   code,
static const unsigned ERROR_STATUSES[] = {API_ERRORS(API_ERROR_STATUS)};
static const char *const ERROR_CODES[] = {API_ERRORS(API_ERROR_CODE)};

const char *api_error_code(enum api_error error)
{
    return ERROR_CODES[error];
}

int put_json_string(struct buffer *out, struct slice text)
{
    size_t mark = buffer_len(out);
    int failed = buffer_append(out, "\"", 1);
    for (size_t i = 0; i < text.len && !failed; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c == '"' || c == '\\')
            failed = buffer_append(out, "\\", 1) || buffer_append(out, &c, 1);
        else if (c < 0x20)
            failed = buffer_printf(out, "\\u%04x", c);
        else
            failed = buffer_append(out, &c, 1);
    }
    if (failed || buffer_append(out, "\"", 1) != 0) {
        buffer_truncate(out, mark);
        return -1;
    }
    return 0;
}

void answer_json(struct exchange *exchange, unsigned status, struct buffer *body)
{
    struct buffer sent = *body;
    *body = (struct buffer){0};
    exchange_respond(exchange, status, "application/json", buffer_slice(&sent), NULL);
    buffer_free(&sent);
}

static void answer_error_with(struct exchange *exchange, unsigned status, const char *code,
                              const char *message, const char *extra_headers)
{
    struct buffer body = {0};
    if (buffer_printf(&body, "{\"error\":{\"code\":\"%s\",\"message\":", code) != 0 ||
        put_json_string(&body, slice_from_string(message)) != 0 ||
        buffer_append_string(&body, "}}\n") != 0)
        buffer_free(&body);
    exchange_respond(exchange, status, "application/json", buffer_slice(&body), extra_headers);
    buffer_free(&body);
}

void answer_error(struct exchange *exchange, enum api_error error, const char *format, ...)
{
    char message[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    const char *extra = error == API_UNAUTHORIZED ? "WWW-Authenticate: Bearer\r\n" : NULL;
    answer_error_with(exchange, ERROR_STATUSES[error], ERROR_CODES[error], message, extra);
}

static unsigned outcome_status(enum outcome outcome)
{
    switch (outcome) {
    case OUTCOME_QUEUED:
    case OUTCOME_FORWARDED:
        return 200;
    case OUTCOME_INVALID_KEY:
        return 400;
    case OUTCOME_NO_SESSION:
        return 404;
    case OUTCOME_EXISTS:
    case OUTCOME_KEY_REUSED:
        return 409;
    case OUTCOME_OVER_LIMIT:
        return 507;
    case OUTCOME_HOST_GONE:
    case OUTCOME_OTHER_VERSION:
        return 502;
    case OUTCOME_TIMED_OUT:
        return 504;
    case OUTCOME_COUNT:
        break;
    }
    return 500;
}

void answer_outcome(struct exchange *exchange, enum outcome outcome)
{
    answer_error_with(exchange, outcome_status(outcome), outcome_code(outcome),
                      outcome_sentence(outcome), NULL);
}

void answer_failure(struct exchange *exchange, enum request_failure failure)
{
    if (failure == REQUEST_TIMED_OUT)
        answer_error(exchange, API_TIMED_OUT,
                     "The session's home did not answer in time; the request may have been "
                     "carried out.");
    else if (failure == REQUEST_NO_MEMORY)
        answer_error(exchange, API_NO_MEMORY, "Out of memory; nothing was done.");
    else
        answer_error(exchange, API_RELAY_DOWN,
                     "The relay is restarting; try again in a second. The request may have been "
                     "carried out.");
}

/* RFC 6750 section 2.1. The comparison takes as long for a wrong token as for the right one. */
bool backend_api_authorizes(const struct settings *settings, struct slice authorization)
{
    static const char SCHEME[] = "bearer ";
    const char *token = settings->backend_token;
    struct slice given = authorization;
    if (!token || given.len < sizeof SCHEME - 1 ||
        strncasecmp(given.data, SCHEME, sizeof SCHEME - 1) != 0)
        return false;
    given = slice_of(given.data + sizeof SCHEME - 1, given.len - (sizeof SCHEME - 1));
    return given.len == strlen(token) && CRYPTO_memcmp(given.data, token, given.len) == 0;
}

static bool is_authorized(const struct exchange *exchange)
{
    return !exchange_needs_token(exchange) ||
           backend_api_authorizes(exchange_settings(exchange),
                                  exchange_request_of(exchange)->authorization);
}

static bool route_matches(const struct route *route, struct slice path, struct slice *rest)
{
    size_t len = strlen(route->path);
    bool has_rest = route->path[len - 1] == '/';
    *rest = SLICE_EMPTY;
    if (!has_rest)
        return slice_equals_string(path, route->path);
    if (!slice_starts_with(path, route->path) || path.len == len)
        return false;
    *rest = slice_of(path.data + len, path.len - len);
    return true;
}

static void answer_wrong_method(struct exchange *exchange, struct slice path)
{
    char allow[64] = "Allow:";
    struct slice rest;
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        size_t len = strlen(allow);
        if (route_matches(&ROUTES[i], path, &rest))
            snprintf(allow + len, sizeof allow - len, "%s %s", len > 6 ? "," : "",
                     ROUTES[i].method);
    }
    char message[128];
    snprintf(message, sizeof message, "This path takes only%s.", strchr(allow, ' '));
    size_t len = strlen(allow);
    snprintf(allow + len, sizeof allow - len, "\r\n");
    answer_error_with(exchange, ERROR_STATUSES[API_METHOD_NOT_ALLOWED],
                      ERROR_CODES[API_METHOD_NOT_ALLOWED], message, allow);
}

void backend_api_handle(struct exchange *exchange)
{
    const struct exchange_request *request = exchange_request_of(exchange);
    if (!is_authorized(exchange)) {
        answer_error(exchange, API_UNAUTHORIZED,
                     "Send the token of server.backendHost.tokenFile as "
                     "\"Authorization: Bearer TOKEN\".");
        return;
    }
    bool path_known = false;
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        struct slice rest;
        if (!route_matches(&ROUTES[i], request->path, &rest))
            continue;
        path_known = true;
        if (slice_equals_string(request->method, ROUTES[i].method)) {
            ROUTES[i].handle(exchange, rest);
            return;
        }
    }
    if (path_known)
        answer_wrong_method(exchange, request->path);
    else
        answer_error(exchange, API_NOT_FOUND,
                     "No such path. There are POST /sessions, GET and DELETE /sessions/KEY, GET "
                     "/sessions/KEY/messages/ID, POST /messages, POST /broadcast, GET /receipts, "
                     "GET /status, GET /peers and GET /config.");
}

void public_config_read(struct exchange *exchange, struct slice rest)
{
    (void)rest;
    const struct settings *settings = exchange_settings(exchange);
    exchange_respond(exchange, 200, "application/json", slice_from_string(settings->public_config),
                     NULL);
}
