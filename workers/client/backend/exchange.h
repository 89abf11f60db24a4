/* One HTTP request of a backend and its answer: what the backend API sees of a connection. */
#ifndef MSGSERVER_CLIENT_BACKEND_EXCHANGE_H
#define MSGSERVER_CLIENT_BACKEND_EXCHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "codecs/settings.h"

struct connection;
struct exchange;
struct relay_link;

/* The request, whole (its body is bounded by server.limits.backendBodyBytes). Valid until
 * exchange_respond(). */
struct exchange_request {
    struct slice method;       /* as received, "GET" */
    struct slice path;         /* not decoded, without the query, "/sessions/bob:…" */
    struct slice query;        /* not decoded, without '?' */
    struct slice content_type; /* empty when there is none */
    struct slice authorization;
    struct slice accept;
    struct slice last_event_id;
    struct slice body;
};
const struct exchange_request *exchange_request_of(const struct exchange *exchange);
const struct settings *exchange_settings(const struct exchange *exchange);
struct relay_link *exchange_relay(const struct exchange *exchange);

/* True when the listener demands the bearer token (any TCP listener). */
bool exchange_needs_token(const struct exchange *exchange);

/* The API keeps its state of a request here; abandon() is called instead of nothing else when the
 * connection goes away before exchange_respond(): free the state, cancel requests, forget
 * `exchange`. */
void exchange_set_state(struct exchange *exchange, void *state, void (*abandon)(void *state));

/* Answers, once, now or later; `exchange` and the request are gone after the call. `extra_headers`:
 * whole header lines with CRLF, or NULL. */
void exchange_respond(struct exchange *exchange, unsigned status, const char *content_type,
                      struct slice body, const char *extra_headers);

/* The connection itself, for an answer that takes time or has no end: `exchange` and the request
 * are gone after the call, and the caller becomes the connection's handler. */
struct connection *exchange_leave(struct exchange *exchange);

/* Implemented by the API (backend/api.c): handles one request. */
void backend_api_handle(struct exchange *exchange);
/* Whether the value of an Authorization field shows the bearer token. */
bool backend_api_authorizes(const struct settings *settings, struct slice authorization);

#endif
