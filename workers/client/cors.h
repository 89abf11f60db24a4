/* Cross-origin resource sharing, as configured (message stream facts). */
#ifndef MSGSERVER_CLIENT_CORS_H
#define MSGSERVER_CLIENT_CORS_H

#include <stdbool.h>

#include "base/buffer.h"
#include "codecs/settings.h"

/* CORS is off unless any of its keys is given. */
bool cors_is_on(const struct settings *settings);

/* Append whole header lines: those of every answer, and those of OPTIONS besides. `origin` and
 * `request_headers` are the request's Origin and Access-Control-Request-Headers, empty for none.
 * Return 0, or -1 with errno ENOMEM. Nothing is appended while CORS is off. */
int cors_put(struct buffer *out, const struct settings *settings, struct slice origin);
int cors_put_preflight(struct buffer *out, const struct settings *settings,
                       struct slice request_headers);

#endif
