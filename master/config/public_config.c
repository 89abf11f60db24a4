#include "master/config/public_config.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

#include "base/table.h"
#include "base/units.h"

#define TRANSPORTS "server.msgStream.transports."

static json_t *number_or_string(const struct yaml_node *scalar)
{
    const char *text = scalar->text;
    uint64_t whole;
    char *end;
    if (strcmp(text, "true") == 0)
        return json_true();
    if (strcmp(text, "false") == 0)
        return json_false();
    struct slice digits = slice_from_string(text + (*text == '-'));
    if (parse_u64(digits, &whole) == 0 && whole <= INT64_MAX)
        return json_integer(*text == '-' ? -(json_int_t)whole : (json_int_t)whole);
    if (text[strspn(text, "-0123456789.eE+")] == '\0' && strpbrk(text, "0123456789")) {
        double real = strtod(text, &end);
        json_t *number = *end == '\0' ? json_real(real) : NULL;
        if (number)
            return number;
    }
    return json_string(text);
}

/* Takes the value's reference in any case. False when memory was short for it, the object or the
 * value (jansson lets NULL pass through). */
static bool put(json_t *object, const char *key, json_t *value)
{
    return json_object_set_new(object, key, value) == 0;
}

static json_t *json_of(const struct yaml_node *node)
{
    json_t *json;
    switch (node->kind) {
    case YAML_NULL:
        return json_null();
    case YAML_SCALAR:
        return node->quoted ? json_string(node->text) : number_or_string(node);
    case YAML_LIST:
        json = json_array();
        for (const struct yaml_node *child = node->children; child; child = child->next) {
            if (json_array_append_new(json, json_of(child)) != 0) {
                json_decref(json);
                return NULL;
            }
        }
        return json;
    case YAML_MAP:
        break;
    }
    json = json_object();
    for (const struct yaml_node *child = node->children; child; child = child->next) {
        if (!put(json, child->key, json_of(child))) {
            json_decref(json);
            return NULL;
        }
    }
    return json;
}

static bool is_ours(const char *transport, const char *key)
{
    char path[128];
    snprintf(path, sizeof path, TRANSPORTS "%s.%.64s", transport, key);
    return setting_row_find(path) != NULL || strcmp(key, "url") == 0;
}

static bool add_extras(json_t *transport, const char *name, const struct yaml_node *transports)
{
    const struct yaml_node *node = yaml_child(transports, slice_from_string(name));
    if (!node || node->kind != YAML_MAP)
        return true;
    for (const struct yaml_node *child = node->children; child; child = child->next)
        if (!is_ours(name, child->key) && !put(transport, child->key, json_of(child)))
            return false;
    return true;
}

/* `expose` in front of the route; a slash at its end would double the route's own. */
static json_t *url_of(const struct settings *settings, const char *route)
{
    const char *prefix = settings->client_expose ? settings->client_expose : "";
    size_t len = strlen(prefix);
    if (len > 0 && prefix[len - 1] == '/')
        len--;
    struct buffer url = {0};
    json_t *json = NULL;
    if (buffer_append(&url, prefix, len) == 0 && buffer_append_string(&url, route) == 0)
        json = json_stringn(buffer_bytes(&url), buffer_len(&url));
    buffer_free(&url);
    return json;
}

static json_t *seconds(uint64_t milliseconds)
{
    return milliseconds % 1000 == 0 ? json_integer((json_int_t)(milliseconds / 1000))
                                    : json_real((double)milliseconds / 1000);
}

/* `heartbeat` in ms; 0: the transport has none. */
static bool add_transport(json_t *object, const char *name, const struct settings *settings,
                          const char *route, uint64_t heartbeat, const struct yaml_node *transports)
{
    json_t *transport = json_object();
    bool good = put(transport, "url", url_of(settings, route)) &&
                (heartbeat == 0 || put(transport, "heartbeat", seconds(heartbeat))) &&
                add_extras(transport, name, transports);
    return put(object, name, transport) && good;
}

static bool sse_is_offered(const struct settings *settings, const struct yaml_node *transports)
{
    const struct yaml_node *sse = yaml_child(transports, SLICE_LITERAL("sse"));
    for (size_t i = 0; i < settings->detect.count; i++)
        if (strcmp(settings->detect.items[i], "sse") == 0)
            return true;
    return sse && sse->kind != YAML_NULL;
}

static bool add_transports(json_t *config, const struct settings *settings,
                           const struct yaml_node *transports)
{
    json_t *object = json_object();
    bool good =
        add_transport(object, "longpolling", settings, settings->longpolling_route,
                      settings->longpolling_heartbeat, transports) &&
        add_transport(object, "shortpolling", settings, settings->shortpolling_route, 0,
                      transports) &&
        add_transport(object, "websocket", settings, settings->websocket_route, 0, transports);
    if (good && sse_is_offered(settings, transports))
        good = add_transport(object, "sse", settings, settings->sse_route, 0, transports);
    return put(config, "transports", object) && good;
}

static bool add_detect(json_t *config, const struct settings *settings)
{
    json_t *detect = json_array();
    bool good = detect != NULL;
    for (size_t i = 0; i < settings->detect.count && good; i++)
        good = json_array_append_new(detect, json_string(settings->detect.items[i])) == 0;
    return put(config, "detect", detect) && good;
}

int public_config_make(const struct settings *settings, const struct yaml_node *transports,
                       struct buffer *out)
{
    json_t *config = json_object();
    char *text = NULL;
    if (add_transports(config, settings, transports) && add_detect(config, settings))
        text = json_dumps(config, JSON_COMPACT | JSON_REAL_PRECISION(15));
    json_decref(config);
    int result = text ? buffer_append_string(out, text) : -1;
    free(text);
    if (result != 0)
        errno = ENOMEM;
    return result;
}
