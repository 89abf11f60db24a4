/* Answers to HTTP requests, with what the request and the connection ask for: CORS, keep-alive, no
 * body after HEAD. */
#ifndef MSGSERVER_CLIENT_HTTP_ANSWER_H
#define MSGSERVER_CLIENT_HTTP_ANSWER_H

#include "codecs/http_request.h"
#include "workers/client/connection.h"

#define TEXT_TYPE  "text/plain; charset=UTF-8"
#define JSON_TYPE  "application/json"
#define NO_CACHE   "pragma: no-cache\r\n"
#define NO_TYPE    NULL
#define NO_HEADERS NULL

/* A whole answer, after which the next request is read, or the connection ends. `content_type` may
 * be NULL; `extra` is whole header lines with CRLF, or NULL. 204 has no length and no body. */
void http_answer(struct connection *connection, unsigned status, const char *content_type,
                 struct slice body, const char *extra);
/* The sentence of a fixed answer, as text (clients) or as the JSON error of the backend API. */
void http_answer_text(struct connection *connection, unsigned status, const char *sentence);
/* An error of the request itself, after which the bytes that follow make no sense: the connection
 * ends. */
void http_answer_error(struct connection *connection, enum http_error error);

/* The head alone, of an answer whose body of `length` bytes (or HTTP_NO_LENGTH) the caller appends
 * to `out`. Returns 0, or -1 with errno ENOMEM. */
int http_answer_head(struct connection *connection, unsigned status, const char *content_type,
                     long long length, const char *extra);
/* The answer is complete in `out`. */
void http_answered(struct connection *connection);

#endif
