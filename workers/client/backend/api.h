/* The backend API's parts: one handler per route, and how they answer. */
#ifndef MSGSERVER_CLIENT_BACKEND_API_H
#define MSGSERVER_CLIENT_BACKEND_API_H

#include "base/buffer.h"
#include "codecs/session_key.h"
#include "workers/client/backend/exchange.h"
#include "workers/client/relay_link.h"

/* `rest`: what follows the route's path, decoded ("/sessions/<rest>"), else empty. */
void sessions_create(struct exchange *exchange, struct slice rest);
void sessions_read(struct exchange *exchange, struct slice rest);
void sessions_delete(struct exchange *exchange, struct slice rest);
void messages_send(struct exchange *exchange, struct slice rest);
void broadcast_send(struct exchange *exchange, struct slice rest);
void receipts_read(struct exchange *exchange, struct slice rest);
void peers_read(struct exchange *exchange, struct slice rest);
void status_read(struct exchange *exchange, struct slice rest);
void public_config_read(struct exchange *exchange, struct slice rest);

/* The codes of errors, beside those of outcomes (codecs/requests.h): ERROR (NAME, status, code). */
#define API_ERRORS(ERROR)                                                                          \
    ERROR(BAD_JSON, 400, "badJson")                                                                \
    ERROR(BAD_REQUEST, 400, "badRequest")                                                          \
    ERROR(BAD_MESSAGE, 400, "badMessage")                                                          \
    ERROR(UNAUTHORIZED, 401, "unauthorized")                                                       \
    ERROR(NOT_FOUND, 404, "notFound")                                                              \
    ERROR(METHOD_NOT_ALLOWED, 405, "methodNotAllowed")                                             \
    ERROR(MESSAGE_TOO_LARGE, 413, "messageTooLarge")                                               \
    ERROR(NO_MEMORY, 503, "noMemory")                                                              \
    ERROR(RELAY_DOWN, 503, "relayDown")                                                            \
    ERROR(TIMED_OUT, 504, "timedOut")

#define API_ERROR_ENUM(NAME, status, code) API_##NAME,
enum api_error { API_ERRORS(API_ERROR_ENUM) API_ERROR_COUNT };

const char *api_error_code(enum api_error error);

/* {"error":{"code":…,"message":…}}; the format makes one sentence. */
void answer_error(struct exchange *exchange, enum api_error error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* An outcome that is an error of the whole request: noSession is 404, exists and keyReused 409,
 * overLimit 507, hostGone 502, timedOut 504, invalidSessionKey 400. */
void answer_outcome(struct exchange *exchange, enum outcome outcome);
/* A request to the relay that did not come back as REQUEST_ANSWERED. */
void answer_failure(struct exchange *exchange, enum request_failure failure);
/* Sends the JSON text in `body` and frees it. */
void answer_json(struct exchange *exchange, unsigned status, struct buffer *body);

/* Appends `text` as a JSON string. Returns 0, or -1 with errno ENOMEM. */
int put_json_string(struct buffer *out, struct slice text);

#endif
