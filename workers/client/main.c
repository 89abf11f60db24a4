/* The client worker: serves the listeners that the master hands it, over one link to the relay. */
#include <errno.h>
#include <ev.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/invariant.h"
#include "base/log.h"
#include "io/child_contract.h"
#include "io/control_channel.h"
#include "io/descriptor_reserve.h"
#include "workers/client/client_worker.h"

/* Kept back from the limit of a stop, for the exit itself. */
enum { EXIT_MARGIN_MS = 100 };

struct process {
    struct ev_loop *loop;
    struct control_channel *control;
    struct client_worker *worker; /* NULL until START */
    ev_timer stop_limit;
    int status;
    bool stopping;
};

static void send_control(struct process *process, int put, struct buffer *frame)
{
    if (put != 0 || control_channel_send(process->control, frame, -1) != 0)
        LOG_ERROR("control-frame-lost", "why=\"no memory\"");
    buffer_free(frame);
}

static void fail(struct process *process, const char *why)
{
    struct buffer frame = {0};
    struct frame_failed failed = {slice_from_string(why)};
    LOG_ERROR("start-failed", "why=\"%s\"", why);
    send_control(process, put_failed(&frame, &failed), &frame);
    control_channel_flush(process->control, EXIT_MARGIN_MS);
    process->status = EXIT_OS;
    ev_break(process->loop, EVBREAK_ALL);
}

/* Every client is a descriptor; the service manager sets the hard limit. Clients get no more of
 * them than leaves room for backends, channels and lent listeners. */
static void bound_connections(struct settings *settings)
{
    uint64_t room = descriptors_for_clients(descriptor_reserve_make());
    if (settings->limit_connections > room)
        settings->limit_connections = room;
}

static void handle_start(struct process *process, struct slice payload)
{
    struct frame_start start;
    struct settings settings;
    INVARIANT(get_start(payload, &start) == 0 && !process->worker, "a broken START frame");
    char name[32];
    snprintf(name, sizeof name, "client-worker/%u", start.slot);
    log_open(name);
    if (settings_decode(start.settings, &settings) != 0) {
        fail(process, "the settings of the START frame cannot be read");
        return;
    }
    log_set_levels((uint32_t)settings.log_levels);
    bound_connections(&settings);
    process->worker = client_worker_new(process->loop, start.incarnation, &settings);
    if (!process->worker) {
        fail(process, strerror(errno));
        return;
    }
    struct buffer frame = {0};
    send_control(process, put_ready(&frame, &(struct frame_ready){.mmrp_port = 0}), &frame);
    LOG_INFO("worker-ready", "incarnation=%u", start.incarnation);
}

static void handle_listener(struct process *process, struct slice payload, int fd)
{
    struct frame_listener listener;
    INVARIANT(get_listener(payload, &listener) == 0 && fd >= 0, "a broken LISTENER frame");
    if (process->stopping)
        close(fd);
    else if (acceptor_add(process->worker->acceptor, fd, (enum listener_kind)listener.kind,
                          listener.slot) != 0)
        LOG_ERROR("listener-refused", "why=\"no memory\"");
    else
        LOG_INFO("listening", "on=%s slot=%u", LOG_TEXT(listener.name), listener.slot);
}

static void handle_revoke(struct process *process, struct slice payload)
{
    struct frame_listener_revoke revoke;
    INVARIANT(get_listener_revoke(payload, &revoke) == 0, "a broken LISTENER_REVOKE frame");
    if (!process->stopping)
        acceptor_revoke(process->worker->acceptor, revoke.slot);
    LOG_INFO("listeners-revoked", "slot=%u", revoke.slot);
}

static void handle_link(struct process *process, int fd)
{
    INVARIANT(fd >= 0, "a LINK frame without its descriptor");
    if (relay_link_connect(process->worker->relay, fd) != 0)
        LOG_ERROR("relay-not-linked", "why=\"no memory\"");
}

static void on_stopped(struct client_worker *worker)
{
    ev_break(worker->loop, EVBREAK_ALL);
}

static void on_stop_limit(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)watcher;
    (void)events;
    ev_break(loop, EVBREAK_ALL);
}

static void stop(struct process *process, uint32_t limit_ms)
{
    if (process->stopping)
        return;
    process->stopping = true;
    LOG_INFO("worker-stopping", "limit_ms=%u", limit_ms);
    if (!process->worker) {
        ev_break(process->loop, EVBREAK_ALL);
        return;
    }
    client_worker_stop(process->worker, on_stopped);
    uint32_t wait_ms = limit_ms > EXIT_MARGIN_MS ? limit_ms - EXIT_MARGIN_MS : 0;
    ev_timer_set(&process->stop_limit, wait_ms / 1000., 0.);
    ev_timer_start(process->loop, &process->stop_limit);
}

static void on_frame(void *context, uint16_t type, struct slice payload, int fd)
{
    struct process *process = context;
    INVARIANT(process->worker || type == FRAME_START || type == FRAME_STOP,
              "a control frame before START");
    struct frame_stop stop_frame;
    switch (type) {
    case FRAME_START:
        handle_start(process, payload);
        break;
    case FRAME_LISTENER:
        handle_listener(process, payload, fd);
        break;
    case FRAME_LISTENER_REVOKE:
        handle_revoke(process, payload);
        break;
    case FRAME_LINK:
        handle_link(process, fd);
        break;
    case FRAME_STOP:
        INVARIANT(get_stop(payload, &stop_frame) == 0, "a broken STOP frame");
        stop(process, stop_frame.limit_ms);
        break;
    default:
        INVARIANT(false, "a control frame that is not for a client worker");
    }
}

static void on_master_lost(void *context)
{
    stop(context, CHILD_STOP_LIMIT_MS);
}

/* Marathon signals the whole process tree; the master decides what becomes of us. */
static void ignore_signals(void)
{
    static const int IGNORED[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE};
    for (size_t i = 0; i < sizeof IGNORED / sizeof *IGNORED; i++)
        signal(IGNORED[i], SIG_IGN);
}

static int print_version(void)
{
    printf("client-worker %s\nlibev %d.%d\n", PACKAGE_VERSION, ev_version_major(),
           ev_version_minor());
    return EXIT_OK;
}

static bool has_control_channel(void)
{
    int type;
    socklen_t len = sizeof type;
    return getsockopt(CHILD_CONTROL_FD, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
           type == SOCK_SEQPACKET;
}

int main(int argc, char **argv)
{
    static const struct control_channel_handlers HANDLERS = {.on_frame = on_frame,
                                                             .on_lost = on_master_lost};
    if (argc == 2 && strcmp(argv[1], "-V") == 0)
        return print_version();
    if (argc > 1 || !has_control_channel()) {
        fprintf(stderr, "client-worker is started by msgserverd; -V prints its version\n");
        return EXIT_USAGE;
    }
    ignore_signals();
    log_open("client-worker");
    struct process process = {.loop = ev_default_loop(0), .status = EXIT_OK};
    if (process.loop)
        process.control = control_channel_open(process.loop, CHILD_CONTROL_FD, MASTER_TO_CHILD,
                                               &HANDLERS, &process);
    if (!process.control) {
        LOG_ERROR("start-failed", "why=\"no event loop or no memory\"");
        return EXIT_OS;
    }
    ev_timer_init(&process.stop_limit, on_stop_limit, 0., 0.);
    ev_run(process.loop, 0);
    client_worker_free(process.worker);
    control_channel_close(process.control);
    ev_loop_destroy(process.loop);
    return process.status;
}
