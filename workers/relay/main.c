/* relay-worker: the process that holds mailboxes and talks to other hosts. Started by msgserverd
 * alone; see io/child_contract.h. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "io/child_contract.h"
#include "io/control_channel.h"
#include "io/descriptor_reserve.h"
#include "workers/relay/relay.h"
#include "workers/relay/versions.h"

struct process {
    struct ev_loop *loop;
    struct control_channel *control;
    struct settings settings;
    struct relay *relay;
    ev_timer stop_limit;
    enum exit_status status;
};

static void finish(struct process *process, enum exit_status status)
{
    process->status = status;
    ev_break(process->loop, EVBREAK_ALL);
}

static void send_control(struct process *process, struct buffer *frame, int put)
{
    if (put != 0 || control_channel_send(process->control, frame, -1) != 0) {
        LOG_ERROR("control-failed", "errno=%d", errno);
        finish(process, EXIT_OS);
    }
    buffer_free(frame);
}

static void fail(struct process *process, const char *why)
{
    struct buffer frame = {0};
    struct frame_failed failed = {.why = slice_from_string(why)};
    LOG_ERROR("relay-failed", "why=\"%s\"", why);
    send_control(process, &frame, put_failed(&frame, &failed));
    control_channel_flush(process->control, CHILD_STOP_LIMIT_MS);
    finish(process, EXIT_UNAVAILABLE);
}

static void on_start(struct process *process, struct slice payload, int fd)
{
    (void)fd;
    struct frame_start start;
    char why[512] = "";
    if (process->relay || get_start(payload, &start) != 0 ||
        settings_decode(start.settings, &process->settings) != 0) {
        fail(process, "the START frame cannot be read");
        return;
    }
    log_set_levels((uint32_t)process->settings.log_levels);
    process->relay = relay_new(process->loop, &process->settings, start.mmrp_port, why, sizeof why);
    if (!process->relay) {
        fail(process, why);
        return;
    }
    struct buffer frame = {0};
    struct frame_ready ready = {.cluster_id = relay_cluster_id(process->relay),
                                .mmrp_port = mesh_port(process->relay->mesh)};
    LOG_INFO("relay-ready", "cluster_id=%s mmrp_port=%u", LOG_TEXT(ready.cluster_id),
             ready.mmrp_port);
    send_control(process, &frame, put_ready(&frame, &ready));
}

static void on_link(struct process *process, struct slice payload, int fd)
{
    struct frame_link link;
    if (!process->relay && fd >= 0) { /* it failed, and that was told */
        close(fd);
        return;
    }
    if (!process->relay || fd < 0 || get_link(payload, &link) != 0 ||
        relay_link_worker(process->relay, link.slot, link.incarnation, fd) != 0) {
        LOG_ERROR("link-failed", "errno=%d", errno);
        if (fd >= 0)
            close(fd);
    }
}

static void on_peers(struct process *process, struct slice payload, int fd)
{
    (void)fd;
    struct frame_peers peers;
    if (!process->relay || get_peers(payload, &peers) != 0 ||
        mesh_set_peers(process->relay->mesh, peers.peers) != 0)
        LOG_ERROR("peers-failed", "errno=%d", errno);
}

/* The client workers have a STOP of their own, and tell their clients. */
static void on_stop(struct process *process, struct slice payload, int fd)
{
    (void)fd;
    struct frame_stop stop;
    if (get_stop(payload, &stop) != 0)
        stop.limit_ms = 0;
    LOG_INFO("relay-stopping", "limit_ms=%u", stop.limit_ms);
    finish(process, EXIT_OK);
}

static void on_frame(void *context, uint16_t type, struct slice payload, int fd)
{
    static void (*const handlers[FRAME_CONTROL_TYPES])(struct process *, struct slice, int) = {
        [FRAME_START] = on_start,
        [FRAME_LINK] = on_link,
        [FRAME_PEERS] = on_peers,
        [FRAME_STOP] = on_stop,
    };
    if (handlers[type])
        handlers[type](context, payload, fd);
    else
        LOG_ERROR("control-unexpected", "type=%u", type);
}

static void on_lost(void *context)
{
    LOG_NOTICE("master-gone", "action=finish");
    finish(context, EXIT_OK);
}

static const struct control_channel_handlers HANDLERS = {.on_frame = on_frame, .on_lost = on_lost};

int main(int argc, char **argv)
{
    struct process process = {.status = EXIT_OK};
    if (argc == 2 && strcmp(argv[1], "-V") == 0) {
        print_library_versions();
        return EXIT_OK;
    }
    if (argc != 1) {
        fprintf(stderr, "relay-worker is started by msgserverd and takes no arguments but -V\n");
        return EXIT_USAGE;
    }
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    log_open("relay-worker");
    descriptor_reserve_make();
    process.loop = ev_default_loop(EVFLAG_AUTO);
    process.control = process.loop ? control_channel_open(process.loop, CHILD_CONTROL_FD,
                                                          MASTER_TO_CHILD, &HANDLERS, &process)
                                   : NULL;
    if (!process.control) {
        LOG_ERROR("relay-failed", "why=\"no event loop or no control channel\"");
        return EXIT_OS;
    }
    ev_run(process.loop, 0);
    ev_run(process.loop, EVRUN_NOWAIT); /* what was put into the channels leaves */
    relay_free(process.relay);
    settings_free(&process.settings);
    control_channel_close(process.control);
    ev_loop_destroy(process.loop);
    return process.status;
}
