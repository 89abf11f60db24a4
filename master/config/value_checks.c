#include "master/config/value_checks.h"

#include <net/if.h>
#include <stdio.h>

#include "codecs/netmask.h"
#include "codecs/session_key.h"
#include "master/config/endpoint.h"

typedef const char *check_function(const char *text, struct pool *pool, char *why);

static const char *refuse(char *why, const char *sentence)
{
    snprintf(why, VALUE_WHY_ROOM, "%s", sentence);
    return NULL;
}

/* Every byte printable ASCII and none of `excluded`. */
static bool is_visible(const char *text, const char *excluded)
{
    for (; *text; text++)
        if (*text <= 0x20 || *text > 0x7e || strchr(excluded, *text))
            return false;
    return true;
}

static const char *check_name(const char *text, struct pool *pool, char *why)
{
    (void)pool;
    if (strlen(text) > 128)
        return refuse(why, "longer than 128 bytes");
    for (const char *at = text; *at; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            return refuse(why, "it has control characters");
    return text;
}

static bool is_scheme(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!((text[i] >= 'a' && text[i] <= 'z') || (text[i] >= 'A' && text[i] <= 'Z')))
            return false;
    return len > 0;
}

/* SCHEME://HOST and what may follow. */
static const char *check_url(const char *text, struct pool *pool, char *why)
{
    (void)pool;
    const char *separator = strstr(text, "://");
    if (!separator || !is_scheme(text, (size_t)(separator - text)))
        return refuse(why, "it does not start with a scheme like https://");
    if (separator[3] == '\0' || separator[3] == '/')
        return refuse(why, "it has no host");
    if (!is_visible(text, "\"<>\\^`{|}?#"))
        return refuse(why, "it has characters that a URL prefix cannot have");
    return text;
}

/* Goes into a header field, so nothing in it may end the line. */
static const char *check_origin(const char *text, struct pool *pool, char *why)
{
    if (strcmp(text, "*") == 0)
        return text;
    if (!check_url(text, pool, why))
        return NULL;
    if (strchr(strstr(text, "://") + 3, '/'))
        return refuse(why, "an origin has no path");
    return text;
}

static const char *check_methods(const char *text, struct pool *pool, char *why)
{
    (void)pool;
    for (const char *at = text; *at; at++)
        if (!(*at >= 'A' && *at <= 'Z') && !strchr(", -", *at))
            return refuse(why, "methods are capital letters");
    return text;
}

static const char *check_route(const char *text, struct pool *pool, char *why)
{
    (void)pool;
    if (*text != '/')
        return refuse(why, "it does not start with /");
    return is_visible(text, "?#\"<>\\%") ? text : refuse(why, "it has ?, #, %, quotes or blanks");
}

static const char *check_transport(const char *text, struct pool *pool, char *why)
{
    static const char *const NAMES[] = {"websocket", "longpolling", "shortpolling", "sse"};
    (void)pool;
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        if (strcmp(text, NAMES[i]) == 0)
            return text;
    return refuse(why, "no such transport");
}

static const char *check_mmrp_host(const char *text, struct pool *pool, char *why)
{
    uint32_t address;
    (void)pool;
    if (strcmp(text, "*") == 0 || ipv4_parse(slice_from_string(text), &address) == 0)
        return text;
    return refuse(why, "not an IPv4 address");
}

static const char *check_mmrp_port(const char *text, struct pool *pool, char *why)
{
    unsigned port;
    if (strcmp(text, "*") == 0)
        return text;
    if (endpoint_port(text, &port, why) != 0)
        return NULL;
    *why = '\0';
    return pool_printf(pool, "%u", port);
}

static const char *check_netmask(const char *text, struct pool *pool, char *why)
{
    struct netmask netmask;
    const char *sentence = "not a netmask";
    (void)pool;
    if (netmask_parse(slice_from_string(text), &netmask, &sentence) != 0)
        return refuse(why, sentence);
    return text;
}

static const char *check_cluster_id(const char *text, struct pool *pool, char *why)
{
    (void)pool;
    struct slice id = slice_from_string(text);
    return id.len <= CLUSTER_ID_MAX && cluster_id_is_valid(id) ? text
                                                               : refuse(why, "not a cluster ID");
}

static const char *check_ipv4(const char *text, struct pool *pool, char *why)
{
    uint32_t address;
    (void)pool;
    if (ipv4_parse(slice_from_string(text), &address) != 0)
        return refuse(why, "not an IPv4 address");
    return text;
}

static const char *check_interface(const char *text, struct pool *pool, char *why)
{
    (void)pool;
    if (strlen(text) >= IF_NAMESIZE || !is_visible(text, "/"))
        return refuse(why, "not an interface name");
    return text;
}

/* One server of the list: "host:port", "host" (port 2181), or "host:port/chroot" at the end. */
static const char *check_server(struct slice server, bool is_last, struct pool *pool, char *why)
{
    char *text = pool_text(pool, server);
    if (!text)
        return NULL;
    char *chroot = strchr(text, '/');
    if (*text == '\0' || !is_visible(text, "\"'"))
        return refuse(why, "a server is empty or has blanks");
    if (chroot && !is_last)
        return refuse(why, "a path may only follow the last server");
    char *path = chroot ? pool_text(pool, slice_from_string(chroot)) : "";
    if (!path)
        return NULL;
    if (chroot)
        *chroot = '\0';
    char *colon = strrchr(text, ':');
    unsigned port = 2181;
    if (colon == text || *text == '\0')
        return refuse(why, "a server has no host");
    if (colon && endpoint_port(colon + 1, &port, why) != 0)
        return NULL;
    int host_len = colon ? (int)(colon - text) : (int)strlen(text);
    *why = '\0';
    return pool_printf(pool, "%.*s:%u%s", host_len, text, port, path);
}

/* The ZooKeeper library wants every port; the one MAGE used took 2181 for a missing one. */
static const char *check_servers(const char *text, struct pool *pool, char *why)
{
    const char *servers = NULL;
    for (;;) {
        size_t len = strcspn(text, ",");
        bool is_last = text[len] == '\0';
        struct slice server = slice_of(text, len);
        while (server.len > 0 && *server.data == ' ')
            server = slice_of(server.data + 1, server.len - 1);
        while (server.len > 0 && server.data[server.len - 1] == ' ')
            server.len--;
        const char *checked = check_server(server, is_last, pool, why);
        if (!checked)
            return NULL;
        servers = servers ? pool_printf(pool, "%s,%s", servers, checked) : checked;
        if (is_last || !servers)
            return servers;
        text += len + 1;
    }
}

/* Engines that MAGE had and that are known, so that the answer can say more than "unknown". */
static const char *check_discovery(const char *text, struct pool *pool, char *why)
{
    (void)pool;
    if (strcmp(text, "mdns") == 0 || strcmp(text, "consul") == 0)
        return refuse(why, "not supported yet");
    return text;
}

static const struct {
    const char *key;
    check_function *check;
} CHECKS[] = {
    {"server.serviceName", check_name},
    {"server.serviceVersion", check_name},
    {"server.clientHost.expose", check_url},
    {"server.clientHost.cors.origin", check_origin},
    {"server.clientHost.cors.methods", check_methods},
    {"server.msgStream.transports.longpolling.route", check_route},
    {"server.msgStream.transports.shortpolling.route", check_route},
    {"server.msgStream.transports.websocket.route", check_route},
    {"server.msgStream.transports.sse.route", check_route},
    {"server.msgStream.detect", check_transport},
    {"server.mmrp.bind.host", check_mmrp_host},
    {"server.mmrp.bind.port", check_mmrp_port},
    {"server.mmrp.network", check_netmask},
    {"server.mmrp.clusterId", check_cluster_id},
    {"server.mmrp.advertise", check_ipv4},
    {"server.serviceDiscovery.engine", check_discovery},
    {"server.serviceDiscovery.options.hosts", check_servers},
    {"server.serviceDiscovery.options.interface", check_interface},
};

const char *value_check(const struct setting_row *row, const char *text, struct pool *pool,
                        char why[VALUE_WHY_ROOM])
{
    *why = '\0';
    for (size_t i = 0; i < sizeof CHECKS / sizeof *CHECKS; i++)
        if (strcmp(CHECKS[i].key, row->key) == 0)
            return CHECKS[i].check(text, pool, why);
    return text;
}
