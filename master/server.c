#include "master/server.h"

#include <errno.h>
#include <ev.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "io/child_contract.h"
#include "master/announcer.h"
#include "master/capacity.h"
#include "master/config_report.h"
#include "master/descriptors.h"
#include "master/discovery/cluster_id.h"
#include "master/libexec.h"
#include "master/listeners.h"
#include "master/mesh_exposure.h"
#include "master/notify.h"
#include "master/supervisor.h"

/* Marathon kills 3 s after SIGTERM. In the worst case 300 ms for discovery, CHILD_STOP_LIMIT_MS for
 * the client workers and 700 ms for the relay pass before. */
enum { STOP_LIMIT_MS = 2800, EXIT_SECOND_SIGINT = 128 + SIGINT };

enum server_phase { PHASE_RUNNING, PHASE_WITHDRAWING, PHASE_STOPPING };

struct server {
    struct ev_loop *loop;
    struct settings *settings;
    const struct config_source *source;
    enum server_phase phase;
    int exit_status;
    struct listeners listeners[2]; /* by enum listener_kind */
    struct supervisor *supervisor;
    struct announcer announcer;
    uint16_t mmrp_port;
    size_t told_workers; /* what the service manager was told last */
    bool told_relay;
    bool serving;
    bool interrupted;
    ev_signal terminate, interrupt, hangup;
    ev_timer deadline;
};

/* --- stop ---------------------------------------------------------------------------------- */

static void close_listeners(struct server *server)
{
    for (size_t i = 0; i < 2; i++)
        listeners_close(&server->listeners[i]);
}

static void stop_children(struct server *server)
{
    if (server->phase == PHASE_STOPPING)
        return;
    server->phase = PHASE_STOPPING;
    close_listeners(server);
    supervisor_stop(server->supervisor);
}

/* Other hosts first stop to be led here; then nobody is accepted any more, and the children tell
 * their clients. */
static void begin_stop(struct server *server, int exit_status, const char *why)
{
    if (server->phase != PHASE_RUNNING)
        return;
    LOG_NOTICE("stopping", "why=\"%s\"", why);
    notify_service_manager("STOPPING=1\nSTATUS=stopping");
    server->phase = PHASE_WITHDRAWING;
    server->exit_status = exit_status;
    ev_now_update(server->loop);
    ev_timer_set(&server->deadline, STOP_LIMIT_MS / 1000.0, 0);
    ev_timer_start(server->loop, &server->deadline);
    if (!announcer_withdraw(&server->announcer))
        stop_children(server);
}

static void on_withdrawn(void *context)
{
    stop_children(context);
}

static void on_stopped(void *context)
{
    struct server *server = context;
    ev_break(server->loop, EVBREAK_ALL);
}

static void on_deadline(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    struct server *server = watcher->data;
    LOG_WARNING("stopped-late", "hint=\"a child did not end even when killed\"");
    _exit(server->exit_status);
}

/* --- signals ------------------------------------------------------------------------------- */

static void on_terminate(struct ev_loop *loop, ev_signal *watcher, int events)
{
    (void)loop;
    (void)events;
    begin_stop(watcher->data, EXIT_OK, "SIGTERM");
}

static void on_interrupt(struct ev_loop *loop, ev_signal *watcher, int events)
{
    (void)loop;
    (void)events;
    struct server *server = watcher->data;
    if (server->interrupted) {
        LOG_WARNING("stopped-at-once", "why=\"a second SIGINT\"");
        close_listeners(server); /* removes the files of Unix sockets */
        _exit(EXIT_SECOND_SIGINT);
    }
    server->interrupted = true;
    begin_stop(server, EXIT_OK, "SIGINT");
}

static void on_hangup(struct ev_loop *loop, ev_signal *watcher, int events)
{
    (void)loop;
    (void)events;
    struct server *server = watcher->data;
    config_report_changes(server->source, server->settings);
}

static void watch_signal(struct server *server, ev_signal *watcher, int number,
                         void (*callback)(struct ev_loop *, ev_signal *, int))
{
    ev_signal_init(watcher, callback, number);
    watcher->data = server;
    ev_signal_start(server->loop, watcher);
}

static void watch_signals(struct server *server)
{
    signal(SIGPIPE, SIG_IGN);
    watch_signal(server, &server->terminate, SIGTERM, on_terminate);
    watch_signal(server, &server->interrupt, SIGINT, on_interrupt);
    watch_signal(server, &server->hangup, SIGHUP, on_hangup);
}

/* --- children and discovery ---------------------------------------------------------------- */

static void tell_status(struct server *server, const char *first_line)
{
    char lines[160];
    snprintf(lines, sizeof lines, "%sSTATUS=%zu of %" PRIu64 " client workers ready, relay %s",
             first_line, server->told_workers, server->settings->workers,
             server->told_relay ? "ready" : "restarting");
    notify_service_manager(lines);
}

static void on_relay(void *context, struct slice cluster_id, uint16_t mmrp_port)
{
    struct server *server = context;
    server->mmrp_port = mmrp_port;
    if (server->phase == PHASE_RUNNING)
        announcer_relay_ready(&server->announcer, cluster_id);
}

static void on_serving(void *context)
{
    struct server *server = context;
    const struct settings *settings = server->settings;
    char mmrp[160] = "off";
    if (server->mmrp_port != 0)
        snprintf(mmrp, sizeof mmrp, "tcp://%s:%u", settings->mmrp_host, server->mmrp_port);
    LOG_NOTICE("serving",
               "clients=%s backends=%s mmrp=%s curve=%s cluster_id=%s discovery=%s service=%s/%s "
               "workers=%" PRIu64,
               server->listeners[LISTENER_CLIENT].name, server->listeners[LISTENER_BACKEND].name,
               mmrp, settings->mesh_public_key ? "on" : "off",
               server->announcer.cluster_id ? server->announcer.cluster_id : "none",
               settings->discovery_engine, settings->service_name, settings->service_version,
               settings->workers);
    server->serving = true;
    server->told_workers = settings->workers;
    server->told_relay = true;
    tell_status(server, "READY=1\n");
    announcer_serving(&server->announcer);
}

static void on_start_failed(void *context, const char *why)
{
    struct server *server = context;
    LOG_ERROR("start-failed", "why=\"%s\"", why);
    begin_stop(server, EXIT_UNAVAILABLE, "a child did not get ready");
}

static void on_change(void *context, size_t workers_ready, bool relay_ready)
{
    struct server *server = context;
    if (workers_ready == server->told_workers && relay_ready == server->told_relay)
        return;
    server->told_workers = workers_ready;
    server->told_relay = relay_ready;
    tell_status(server, "");
}

static void on_peers(void *context, struct slice peers)
{
    struct server *server = context;
    supervisor_set_peers(server->supervisor, peers);
}

static const struct supervisor_handlers SUPERVISOR_HANDLERS = {
    .on_relay = on_relay,
    .on_serving = on_serving,
    .on_start_failed = on_start_failed,
    .on_change = on_change,
    .on_stopped = on_stopped,
};
static const struct discovery_handlers DISCOVERY_HANDLERS = {on_peers, on_withdrawn};

/* --- start --------------------------------------------------------------------------------- */

static int listen_on(struct server *server, enum listener_kind kind, const char *endpoint)
{
    char why[LISTENERS_WHY_ROOM];
    struct listeners *listeners = &server->listeners[kind];
    if (listeners_open(listeners, kind, endpoint, server->settings->workers, why) != 0) {
        LOG_ERROR("cannot-listen", "why=\"%s\"", why);
        return EXIT_OS;
    }
    LOG_INFO("listening", "for=%s on=%s", kind == LISTENER_CLIENT ? "clients" : "backends",
             listeners->name);
    return EXIT_OK;
}

static int start_children(struct server *server)
{
    struct supervisor_plan plan = {
        .settings = server->settings,
        .libexec_directory = libexec_directory(),
        .workers = server->settings->workers,
        .listeners = {&server->listeners[LISTENER_CLIENT], &server->listeners[LISTENER_BACKEND]}};
    server->supervisor = supervisor_start(server->loop, &plan, &SUPERVISOR_HANDLERS, server);
    if (server->supervisor)
        return EXIT_OK;
    LOG_ERROR("cannot-start", "error=\"%s\"",
              errno == EMSGSIZE ? "the configuration is above 128 KiB" : strerror(errno));
    return EXIT_OS;
}

static int set_cluster_host(struct settings *settings)
{
    char host[CLUSTER_HOST_ROOM];
    char why[512];
    if (cluster_host_of(settings, host, why, sizeof why) != 0) {
        LOG_ERROR("configuration", "what=\"%s\"", why);
        return EXIT_CONFIGURATION;
    }
    const struct setting_row *row = setting_row_find("derived.clusterHost");
    return setting_set(settings, row, slice_from_string(host)) == 0 ? EXIT_OK : EXIT_OS;
}

static int start(struct server *server)
{
    int status = set_cluster_host(server->settings);
    mesh_exposure_warn(server->settings);
    if (status == EXIT_OK)
        status = listen_on(server, LISTENER_CLIENT, server->settings->client_bind);
    if (status == EXIT_OK)
        status = listen_on(server, LISTENER_BACKEND, server->settings->backend_bind);
    if (status == EXIT_OK)
        status = start_children(server);
    return status;
}

static void release(struct server *server)
{
    announcer_stop(&server->announcer);
    supervisor_free(server->supervisor);
    close_listeners(server);
}

int server_run(struct settings *settings, const struct config_source *source)
{
    struct server server = {.loop = ev_default_loop(EVFLAG_AUTO),
                            .settings = settings,
                            .source = source,
                            .told_relay = true};
    if (!server.loop) {
        LOG_ERROR("cannot-start", "error=\"no event loop: %s\"", strerror(errno));
        return EXIT_OS;
    }
    server.announcer = (struct announcer){.loop = server.loop,
                                          .settings = settings,
                                          .handlers = &DISCOVERY_HANDLERS,
                                          .context = &server};
    ev_init(&server.deadline, on_deadline);
    server.deadline.data = &server;
    watch_signals(&server);
    descriptors_raise_limit();
    capacity_report(settings);
    int status = start(&server);
    if (status == EXIT_OK) {
        ev_run(server.loop, 0);
        status = server.exit_status;
        LOG_NOTICE("stopped", "status=%d", status);
    }
    release(&server);
    return status;
}
