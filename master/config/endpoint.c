#include "master/config/endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/table.h"
#include "base/units.h"
#include "master/config/known_keys.h"

struct binding {
    const struct setting_row *row;
    struct pool *pool;
    struct diagnostics *diagnostics;
};

static const char *refuse(const struct binding *binding, const struct yaml_node *node,
                          const char *why)
{
    diagnostics_add(binding->diagnostics, DIAGNOSTIC_ERROR, node->mark,
                    "%s is %s%s%s; accepted: %s", binding->row->key, YAML_DESCRIBE(node),
                    *why ? ", " : "", why, binding->row->accepts);
    return NULL;
}

static const char *out_of_memory(const struct binding *binding, const struct yaml_node *node)
{
    diagnostics_add(binding->diagnostics, DIAGNOSTIC_ERROR, node->mark, "out of memory");
    return NULL;
}

static bool is_port_variable(const char *text)
{
    if (strncmp(text, "PORT", 4) != 0 || strlen(text) > 8)
        return false;
    return strspn(text + 4, "0123456789") == strlen(text + 4);
}

int endpoint_port(const char *text, unsigned *port, char why[ENDPOINT_WHY_ROOM])
{
    const char *digits = text;
    uint64_t number;
    if (is_port_variable(text)) {
        digits = getenv(text);
        if (!digits || !*digits) {
            snprintf(why, ENDPOINT_WHY_ROOM, "the environment variable %s is not set", text);
            return -1;
        }
    }
    if (parse_u64(slice_from_string(digits), &number) != 0 || number < 1 || number > 65535) {
        if (digits == text)
            snprintf(why, ENDPOINT_WHY_ROOM, "\"%.32s\" is not a port from 1 to 65535", digits);
        else
            snprintf(why, ENDPOINT_WHY_ROOM,
                     "the environment variable %s is \"%.32s\", not a port from 1 to 65535", text,
                     digits);
        return -1;
    }
    *port = (unsigned)number;
    return 0;
}

int endpoint_host(struct slice text, char host[ENDPOINT_HOST_ROOM], bool *is_ipv6)
{
    unsigned char address[sizeof(struct in6_addr)];
    *is_ipv6 = false;
    if (slice_equals_string(text, "*"))
        text = SLICE_LITERAL("0.0.0.0");
    else if (slice_equals_string(text, "localhost"))
        text = SLICE_LITERAL("127.0.0.1");
    if (text.len == 0 || text.len >= ENDPOINT_HOST_ROOM)
        return -1;
    memcpy(host, text.data, text.len);
    host[text.len] = '\0';
    if (inet_pton(AF_INET, host, address) == 1)
        return 0;
    if (inet_pton(AF_INET6, host, address) != 1)
        return -1;
    *is_ipv6 = true;
    return inet_ntop(AF_INET6, address, host, ENDPOINT_HOST_ROOM) ? 0 : -1;
}

static const char *tcp_text(const struct binding *binding, const struct yaml_node *node,
                            const char *address, bool is_ipv6, unsigned port)
{
    const char *text =
        pool_printf(binding->pool, is_ipv6 ? "http://[%s]:%u" : "http://%s:%u", address, port);
    return text ? text : out_of_memory(binding, node);
}

static const char *tcp_endpoint(const struct binding *binding, const struct yaml_node *node,
                                struct slice host, const char *port)
{
    char address[ENDPOINT_HOST_ROOM], why[ENDPOINT_WHY_ROOM];
    bool is_ipv6;
    unsigned number;
    if (endpoint_host(host, address, &is_ipv6) != 0) {
        snprintf(why, sizeof why, "the host \"%.*s\" is not *, localhost or an IP address",
                 (int)(host.len < 64 ? host.len : 64), host.len ? host.data : "");
        return refuse(binding, node, why);
    }
    if (endpoint_port(port, &number, why) != 0)
        return refuse(binding, node, why);
    return tcp_text(binding, node, address, is_ipv6, number);
}

static const char *unix_endpoint(const struct binding *binding, const struct yaml_node *node,
                                 const char *path)
{
    char why[ENDPOINT_WHY_ROOM];
    struct sockaddr_un address;
    if (*path != '/' || path[strlen(path) - 1] == '/')
        return refuse(binding, node, "the path is not absolute or names a directory");
    if (strlen(path) >= sizeof address.sun_path) {
        snprintf(why, sizeof why, "the path is longer than %zu bytes", sizeof address.sun_path - 1);
        return refuse(binding, node, why);
    }
    const char *text = pool_printf(binding->pool, "unix:%s", path);
    return text ? text : out_of_memory(binding, node);
}

/* What follows "http://": host:port, with IPv6 in brackets; a final slash is let through. */
static const char *authority_endpoint(const struct binding *binding, const struct yaml_node *node,
                                      const char *authority)
{
    bool bracketed = *authority == '[';
    const char *host_end = bracketed ? strchr(authority, ']') : strrchr(authority, ':');
    if (!host_end || (bracketed && host_end[1] != ':'))
        return refuse(binding, node, "it has no port");
    const char *port_start = host_end + 1 + bracketed;
    size_t port_len = strlen(port_start);
    if (port_len > 0 && port_start[port_len - 1] == '/')
        port_len--;
    struct slice host = slice_of(authority + bracketed, (size_t)(host_end - authority) - bracketed);
    const char *port = pool_text(binding->pool, slice_of(port_start, port_len));
    if (!port)
        return out_of_memory(binding, node);
    if (!bracketed && memchr(host.data, ':', host.len))
        return refuse(binding, node, "an IPv6 address stands in brackets, like http://[::1]:8080");
    return tcp_endpoint(binding, node, host, port);
}

static const char *url_endpoint(const struct binding *binding, const struct yaml_node *node)
{
    const char *text = node->text;
    if (strncmp(text, "http://", 7) == 0)
        return authority_endpoint(binding, node, text + 7);
    if (strncmp(text, "tcp://", 6) == 0)
        return authority_endpoint(binding, node, text + 6);
    if (strncmp(text, "unix://", 7) == 0)
        return unix_endpoint(binding, node, text + 7);
    if (strncmp(text, "unix:", 5) == 0)
        return unix_endpoint(binding, node, text + 5);
    if (strncmp(text, "https:", 6) == 0)
        return refuse(binding, node, "TLS is not supported yet");
    return refuse(binding, node, "");
}

static void warn_of_unknown_parts(const struct binding *binding, const struct yaml_node *bind)
{
    static const char *const PARTS[] = {"host", "port", "file"};
    for (const struct yaml_node *child = bind->children; child; child = child->next) {
        unsigned edits;
        const char *nearest = nearest_name(child->key, PARTS, 3, &edits);
        if (edits > 0)
            diagnostics_add(binding->diagnostics, DIAGNOSTIC_WARNING, child->key_mark,
                            "unknown key %s.%.64s; the nearest known key: %s.%s", binding->row->key,
                            child->key, binding->row->key, nearest);
    }
}

/* A part that is absent or null is NULL; false when it is there but no scalar. */
static bool take_part(const struct binding *binding, const struct yaml_node *bind, const char *name,
                      const struct yaml_node **part)
{
    *part = yaml_child(bind, slice_from_string(name));
    if (*part && (*part)->kind == YAML_NULL)
        *part = NULL;
    if (!*part || (*part)->kind == YAML_SCALAR)
        return true;
    diagnostics_add(binding->diagnostics, DIAGNOSTIC_ERROR, (*part)->mark,
                    "%s.%s is %s; accepted: %s", binding->row->key, name, YAML_DESCRIBE(*part),
                    binding->row->accepts);
    return false;
}

static void refuse_part(const struct binding *binding, const struct yaml_node *part,
                        const char *accepts)
{
    diagnostics_add(binding->diagnostics, DIAGNOSTIC_ERROR, part->mark, "%s.%s is %s; accepted: %s",
                    binding->row->key, part->key, YAML_DESCRIBE(part), accepts);
}

/* Node took a path relative to the working directory; the canonical form is absolute. */
static const char *file_endpoint(const struct binding *binding, const struct yaml_node *file)
{
    const char *path = file->text;
    char directory[sizeof((struct sockaddr_un){0}.sun_path)];
    if (*path && *path != '/') {
        if (!getcwd(directory, sizeof directory))
            return refuse(binding, file, "the path is too long");
        path = pool_printf(binding->pool, "%s/%s", directory, path);
        if (!path)
            return out_of_memory(binding, file);
    }
    return unix_endpoint(binding, file, path);
}

static const char *host_and_port(const struct binding *binding, const struct yaml_node *host,
                                 const struct yaml_node *port)
{
    char address[ENDPOINT_HOST_ROOM] = "0.0.0.0", why[ENDPOINT_WHY_ROOM];
    bool is_ipv6 = false, good = true;
    unsigned number = 0;
    if (host) {
        struct slice text = slice_from_string(host->text);
        if (text.len > 1 && text.data[0] == '[' && text.data[text.len - 1] == ']')
            text = slice_of(text.data + 1, text.len - 2);
        good = endpoint_host(text, address, &is_ipv6) == 0;
        if (!good)
            refuse_part(binding, host, "*, localhost or an IP address");
    }
    if (endpoint_port(port->text, &number, why) != 0) {
        diagnostics_add(binding->diagnostics, DIAGNOSTIC_ERROR, port->mark,
                        "%s.port: %s; accepted: a port from 1 to 65535, or PORT, PORT0, PORT1... "
                        "from the environment",
                        binding->row->key, why);
        return NULL;
    }
    return good ? tcp_text(binding, port, address, is_ipv6, number) : NULL;
}

static const char *map_endpoint(const struct binding *binding, const struct yaml_node *bind)
{
    const struct yaml_node *host, *port, *file;
    warn_of_unknown_parts(binding, bind);
    bool good = take_part(binding, bind, "host", &host);
    good = take_part(binding, bind, "port", &port) && good;
    good = take_part(binding, bind, "file", &file) && good;
    if (!good)
        return NULL;
    if (file)
        return file_endpoint(binding, file);
    if (!port)
        return refuse(binding, bind, "it has neither port nor file");
    return host_and_port(binding, host, port);
}

const char *endpoint_parse(const struct yaml_node *bind, const struct setting_row *row,
                           struct pool *pool, struct diagnostics *diagnostics)
{
    struct binding binding = {row, pool, diagnostics};
    if (bind->kind == YAML_MAP)
        return map_endpoint(&binding, bind);
    if (bind->kind == YAML_SCALAR)
        return url_endpoint(&binding, bind);
    return refuse(&binding, bind, "");
}
