#include "workers/client/cors.h"

#include <string.h>

#define DEFAULT_METHODS "GET, HEAD, POST, OPTIONS"

bool cors_is_on(const struct settings *settings)
{
    return settings->cors_origin || settings->cors_methods || settings->cors_credentials;
}

static int put_origin(struct buffer *out, const struct settings *settings, struct slice origin)
{
    const char *configured = settings->cors_origin ? settings->cors_origin : "*";
    if (strcmp(configured, "*") != 0 || !settings->cors_credentials)
        return buffer_printf(out, "access-control-allow-origin: %s\r\n", configured);
    /* Browsers refuse "*" together with credentials, so the origin is named, and caches are told.
     */
    if (origin.len > 0 && buffer_printf(out, "access-control-allow-origin: %.*s\r\n",
                                        (int)origin.len, origin.data) != 0)
        return -1;
    return buffer_append_string(out, "vary: Origin\r\n");
}

int cors_put(struct buffer *out, const struct settings *settings, struct slice origin)
{
    if (!cors_is_on(settings))
        return 0;
    if (put_origin(out, settings, origin) != 0)
        return -1;
    return settings->cors_credentials
               ? buffer_append_string(out, "access-control-allow-credentials: true\r\n")
               : 0;
}

int cors_put_preflight(struct buffer *out, const struct settings *settings,
                       struct slice request_headers)
{
    if (!cors_is_on(settings))
        return 0;
    if (buffer_printf(out,
                      "access-control-max-age: %llu\r\n"
                      "access-control-allow-methods: %s\r\n",
                      (unsigned long long)settings->cors_max_age / 1000,
                      settings->cors_methods ? settings->cors_methods : DEFAULT_METHODS) != 0)
        return -1;
    return request_headers.len == 0 ? 0
                                    : buffer_printf(out, "access-control-allow-headers: %.*s\r\n",
                                                    (int)request_headers.len, request_headers.data);
}
