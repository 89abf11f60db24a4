#include "master/config/apply.h"

#include "base/units.h"

/* The place of the first of two keys that is in a file. */
static struct mark mark_at(const struct yaml_node *top, const char *key, const char *or_key)
{
    const struct yaml_node *node = yaml_at(top, key);
    if (!node)
        node = yaml_at(top, or_key);
    return node ? node->mark : (struct mark){0};
}

/* Given, perhaps with a mistake that was reported; null is as good as absent. */
static bool is_given(const struct yaml_node *top, const char *key)
{
    const struct yaml_node *node = yaml_at(top, key);
    return node && node->kind != YAML_NULL;
}

static void check_zookeeper(const struct yaml_node *top, const struct settings *settings,
                            struct diagnostics *diagnostics)
{
    const char *engine = "server.serviceDiscovery.engine";
    struct mark mark = mark_at(top, engine, engine);
    if (strcmp(settings->discovery_engine, "zookeeper") != 0)
        return;
    if (!is_given(top, "server.serviceDiscovery.options.hosts"))
        diagnostics_add(diagnostics, DIAGNOSTIC_ERROR, mark,
                        "engine zookeeper needs server.serviceDiscovery.options.hosts; accepted: "
                        "host:port, several joined by commas");
    if (!is_given(top, "server.mmrp.bind.port"))
        diagnostics_add(diagnostics, DIAGNOSTIC_ERROR, mark,
                        "engine zookeeper needs server.mmrp.bind.port, where peers connect; "
                        "accepted: a port from 1 to 65535, or * for any");
}

static void check_mmrp(const struct yaml_node *top, struct diagnostics *diagnostics)
{
    const struct yaml_node *host = yaml_at(top, "server.mmrp.bind.host");
    if (host && !yaml_at(top, "server.mmrp.bind.port"))
        diagnostics_add(diagnostics, DIAGNOSTIC_ERROR, host->mark,
                        "server.mmrp.bind has a host but no port; accepted: a port from 1 to "
                        "65535, or * for any");
}

static void check_curve(const struct yaml_node *top, struct diagnostics *diagnostics)
{
    const char *const KEYS[] = {"server.mmrp.curve.keyFile", "server.mmrp.curve.peersFile"};
    for (size_t i = 0; i < 2; i++)
        if (is_given(top, KEYS[i]) && !is_given(top, KEYS[1 - i]))
            diagnostics_add(diagnostics, DIAGNOSTIC_ERROR, mark_at(top, KEYS[i], KEYS[i]),
                            "%s needs %s; accepted: both, or neither", KEYS[i], KEYS[1 - i]);
}

static void check_listeners(const struct yaml_node *top, const struct settings *settings,
                            struct diagnostics *diagnostics)
{
    const char *backend = settings->backend_bind;
    struct mark mark = mark_at(top, "server.backendHost.bind", "server.clientHost.bind");
    if (!backend)
        return;
    if (strncmp(backend, "unix:", 5) != 0 && !is_given(top, "server.backendHost.tokenFile"))
        diagnostics_add(diagnostics, DIAGNOSTIC_ERROR, mark,
                        "server.backendHost.bind is TCP, which needs server.backendHost.tokenFile; "
                        "accepted: the path of a file that holds the token, or a Unix socket");
    if (strcmp(backend, settings->client_bind) == 0)
        diagnostics_add(diagnostics, DIAGNOSTIC_ERROR, mark,
                        "server.backendHost.bind and server.clientHost.bind are both %.128s; "
                        "accepted: two different listeners",
                        backend);
}

/* A smaller limit inside of a larger one: otherwise the larger one could never be reached. */
static void check_limits(const struct yaml_node *top, const struct settings *settings,
                         struct diagnostics *diagnostics)
{
    const struct {
        const char *smaller_key, *larger_key;
        uint64_t smaller, larger;
    } PAIRS[] = {
        {"server.limits.messageBytes", "server.limits.mailboxBytes", settings->limit_message_bytes,
         settings->limit_mailbox_bytes},
        {"server.limits.messageBytes", "server.limits.backendBodyBytes",
         settings->limit_message_bytes, settings->limit_backend_body_bytes},
        {"server.limits.mailboxBytes", "server.limits.hostBytes", settings->limit_mailbox_bytes,
         settings->limit_host_bytes},
    };
    for (size_t i = 0; i < sizeof PAIRS / sizeof *PAIRS; i++) {
        char smaller[UNIT_TEXT_ROOM], larger[UNIT_TEXT_ROOM];
        if (PAIRS[i].smaller <= PAIRS[i].larger)
            continue;
        format_size(PAIRS[i].smaller, smaller);
        format_size(PAIRS[i].larger, larger);
        diagnostics_add(diagnostics, DIAGNOSTIC_ERROR,
                        mark_at(top, PAIRS[i].smaller_key, PAIRS[i].larger_key),
                        "%s is %s, more than %s, which is %s; accepted: at most that",
                        PAIRS[i].smaller_key, smaller, PAIRS[i].larger_key, larger);
    }
}

void config_check_together(const struct yaml_node *top, const struct settings *settings,
                           struct diagnostics *diagnostics)
{
    check_zookeeper(top, settings, diagnostics);
    check_mmrp(top, diagnostics);
    check_curve(top, diagnostics);
    check_listeners(top, settings, diagnostics);
    check_limits(top, settings, diagnostics);
}
