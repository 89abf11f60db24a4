#include "master/supervisor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/invariant.h"
#include "base/log.h"
#include "io/child_contract.h"
#include "master/child.h"
#include "master/loans.h"

enum { SUPERVISOR_MAGIC = 0x73757076, RELAY_SLOT = 0, RELAY_STOP_LIMIT_MS = 700 };

enum supervisor_phase {
    PHASE_STARTING, /* not all children were ready yet; trouble is fatal */
    PHASE_SERVING,
    PHASE_STOPPING_WORKERS,
    PHASE_STOPPING_RELAY,
    PHASE_STOPPED
};

struct supervisor {
    unsigned magic;
    enum supervisor_phase phase;
    struct ev_loop *loop;
    struct supervisor_plan plan;
    const struct supervisor_handlers *handlers;
    void *context;
    struct buffer relay_settings, worker_settings; /* encoded */
    struct buffer peers;
    bool peers_known;        /* also when there are none */
    uint16_t mmrp_port;      /* that the last relay was bound to */
    struct child **children; /* [0] the relay, [1..workers] the client workers */
    struct loans *loans;
    ev_timer begin; /* starts the children from within the loop */
    bool start_failed;
};

static bool has_process(const struct child *child)
{
    return child_state(child) == CHILD_STARTING || child_state(child) == CHILD_READY;
}

static struct child *relay_of(const struct supervisor *supervisor)
{
    return supervisor->children[RELAY_SLOT];
}

static size_t workers_in_state(const struct supervisor *supervisor, enum child_state state)
{
    size_t count = 0;
    for (size_t slot = 1; slot <= supervisor->plan.workers; slot++)
        count += child_state(supervisor->children[slot]) == state;
    return count;
}

/* What a child is sent it must get: a frame that cannot be made ends it. */
static void send_or_kill(struct child *child, struct buffer *frame, int put, int fd)
{
    if (put == 0)
        child_send(child, frame, fd);
    else
        child_kill(child);
    buffer_free(frame);
}

static void send_start(struct supervisor *supervisor, struct child *child)
{
    struct buffer frame = {0};
    bool is_relay = child_slot(child) == RELAY_SLOT;
    struct frame_start start = {.slot = child_slot(child),
                                .incarnation = child_incarnation(child),
                                .mmrp_port = is_relay ? supervisor->mmrp_port : 0,
                                .settings = buffer_slice(is_relay ? &supervisor->relay_settings
                                                                  : &supervisor->worker_settings)};
    send_or_kill(child, &frame, put_start(&frame, &start), -1);
}

static void send_listeners(struct supervisor *supervisor, struct child *child, size_t owner)
{
    for (size_t i = 0; i < 2; i++) {
        const struct listeners *listeners = supervisor->plan.listeners[i];
        bool own = owner == child_slot(child);
        if (listeners->shared && !own)
            continue; /* it has that socket already */
        struct buffer frame = {0};
        struct frame_listener listener = {.kind = (uint8_t)listeners->kind,
                                          .slot = (uint32_t)owner,
                                          .name = slice_from_string(listeners->name)};
        send_or_kill(child, &frame, put_listener(&frame, &listener),
                     listeners_fd(listeners, owner));
    }
}

static void send_link_end(struct child *to, const struct child *worker, int fd)
{
    struct buffer frame = {0};
    struct frame_link link = {.slot = child_slot(worker), .incarnation = child_incarnation(worker)};
    send_or_kill(to, &frame, put_link(&frame, &link), fd);
}

/* A new data channel between the relay and one worker, when both are there. */
static void link_worker(struct supervisor *supervisor, struct child *worker)
{
    struct child *relay = relay_of(supervisor);
    if (!has_process(relay) || !has_process(worker))
        return;
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) {
        LOG_ERROR("link-failed", "child=%s error=\"%s\"", child_name(worker), strerror(errno));
        child_kill(worker);
        return;
    }
    send_link_end(relay, worker, ends[0]);
    send_link_end(worker, worker, ends[1]);
    close(ends[0]);
    close(ends[1]);
}

static void send_peers(struct supervisor *supervisor)
{
    struct child *relay = relay_of(supervisor);
    if (child_state(relay) != CHILD_READY || !supervisor->peers_known)
        return;
    struct buffer frame = {0};
    struct frame_peers peers = {.peers = buffer_slice(&supervisor->peers)};
    send_or_kill(relay, &frame, put_peers(&frame, &peers), -1);
}

static void welcome(struct supervisor *supervisor, struct child *child)
{
    send_start(supervisor, child);
    if (child_slot(child) != RELAY_SLOT) {
        send_listeners(supervisor, child, child_slot(child));
        link_worker(supervisor, child);
        return;
    }
    for (size_t slot = 1; slot <= supervisor->plan.workers; slot++)
        link_worker(supervisor, supervisor->children[slot]);
}

static void lend_listeners(void *context, size_t borrower, size_t owner)
{
    struct supervisor *supervisor = context;
    struct child *child = supervisor->children[borrower];
    LOG_INFO("listener-lent", "of_slot=%zu to=%s", owner, child_name(child));
    send_listeners(supervisor, child, owner);
}

static void take_back_listeners(void *context, size_t borrower, size_t owner)
{
    struct supervisor *supervisor = context;
    struct child *child = supervisor->children[borrower];
    LOG_INFO("listener-revoked", "of_slot=%zu from=%s", owner, child_name(child));
    struct buffer frame = {0};
    struct frame_listener_revoke frame_fields = {.slot = (uint32_t)owner};
    send_or_kill(child, &frame, put_listener_revoke(&frame, &frame_fields), -1);
}

static const struct loans_handlers LOAN_HANDLERS = {lend_listeners, take_back_listeners};

static bool any_listener_per_slot(const struct supervisor *supervisor)
{
    return !supervisor->plan.listeners[0]->shared || !supervisor->plan.listeners[1]->shared;
}

static void update_loans(struct supervisor *supervisor, struct child *child)
{
    size_t slot = child_slot(child);
    if (slot == RELAY_SLOT || !any_listener_per_slot(supervisor))
        return;
    if (child_state(child) == CHILD_READY)
        loans_slot_ready(supervisor->loans, slot);
    else if (child_wait_ms(child) >= RESTART_SLOW_MS)
        loans_slot_empty(supervisor->loans, slot);
    else if (child_state(child) != CHILD_STARTING)
        loans_slot_down(supervisor->loans, slot);
}

static void advance_start(struct supervisor *supervisor)
{
    if (supervisor->start_failed || child_state(relay_of(supervisor)) != CHILD_READY ||
        workers_in_state(supervisor, CHILD_READY) != supervisor->plan.workers)
        return;
    supervisor->phase = PHASE_SERVING;
    supervisor->handlers->on_serving(supervisor->context);
}

static void advance_stop(struct supervisor *supervisor)
{
    struct child *relay = relay_of(supervisor);
    if (supervisor->phase == PHASE_STOPPING_WORKERS &&
        workers_in_state(supervisor, CHILD_DEAD) == supervisor->plan.workers) {
        supervisor->phase = PHASE_STOPPING_RELAY;
        child_stop(relay, RELAY_STOP_LIMIT_MS);
    }
    if (supervisor->phase == PHASE_STOPPING_RELAY && child_state(relay) == CHILD_DEAD) {
        supervisor->phase = PHASE_STOPPED;
        supervisor->handlers->on_stopped(supervisor->context);
    }
}

static void on_state(void *context, struct child *child, enum child_state state)
{
    struct supervisor *supervisor = context;
    CHECK_MAGIC(supervisor, SUPERVISOR_MAGIC);
    if (state == CHILD_STARTING && supervisor->phase <= PHASE_SERVING)
        welcome(supervisor, child);
    else if (state == CHILD_READY && child == relay_of(supervisor))
        send_peers(supervisor);
    if (supervisor->phase <= PHASE_SERVING)
        update_loans(supervisor, child);
    if (supervisor->phase == PHASE_STARTING) {
        advance_start(supervisor);
    } else if (supervisor->phase == PHASE_SERVING) {
        supervisor->handlers->on_change(supervisor->context,
                                        workers_in_state(supervisor, CHILD_READY),
                                        child_state(relay_of(supervisor)) == CHILD_READY);
    } else {
        advance_stop(supervisor);
    }
}

static void on_ready(void *context, struct child *child, const struct frame_ready *ready)
{
    struct supervisor *supervisor = context;
    if (child != relay_of(supervisor))
        return;
    supervisor->mmrp_port = ready->mmrp_port;
    supervisor->handlers->on_relay(supervisor->context, ready->cluster_id, ready->mmrp_port);
}

/* What the death of a child costs. */
static const char *loss_of(struct supervisor *supervisor, const struct child *child)
{
    if (child != relay_of(supervisor))
        return "its connections; clients reconnect";
    return strcmp(supervisor->plan.settings->store_engine, "memory") == 0
               ? "the sessions and mailboxes of this host, which were in memory"
               : "nothing; sessions and mailboxes are in the store";
}

static void on_trouble(void *context, struct child *child, const char *why)
{
    struct supervisor *supervisor = context;
    if (supervisor->phase == PHASE_SERVING)
        LOG_ERROR("child-trouble", "child=%s why=\"%s\" lost=\"%s\"", child_name(child), why,
                  loss_of(supervisor, child));
    if (supervisor->phase != PHASE_STARTING || supervisor->start_failed)
        return;
    supervisor->start_failed = true;
    supervisor->handlers->on_start_failed(supervisor->context, why);
}

static const struct child_handlers CHILD_HANDLERS = {on_state, on_ready, on_trouble};

static void on_begin(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    struct supervisor *supervisor = watcher->data;
    for (size_t slot = 0; slot <= supervisor->plan.workers; slot++)
        if (supervisor->phase == PHASE_STARTING)
            child_start(supervisor->children[slot]);
}

static struct child *make_child(struct supervisor *supervisor, size_t slot)
{
    char name[48];
    char path[4096];
    const char *program = slot == RELAY_SLOT ? "relay-worker" : "client-worker";
    if (slot == RELAY_SLOT)
        snprintf(name, sizeof name, "%s", program);
    else
        snprintf(name, sizeof name, "%s/%zu", program, slot);
    snprintf(path, sizeof path, "%s/%s", supervisor->plan.libexec_directory, program);
    return child_new(supervisor->loop, (unsigned)slot, name, path, &CHILD_HANDLERS, supervisor);
}

static int prepare(struct supervisor *supervisor)
{
    size_t workers = supervisor->plan.workers;
    /* Client workers read what strangers send: the mesh's secret is none of their business. */
    struct settings without_secret = *supervisor->plan.settings;
    without_secret.mesh_secret_key = NULL;
    if (settings_encode(supervisor->plan.settings, &supervisor->relay_settings) != 0 ||
        settings_encode(&without_secret, &supervisor->worker_settings) != 0)
        return -1;
    if (buffer_len(&supervisor->relay_settings) > CONTROL_FRAME_MAX_PAYLOAD - 64) {
        errno = EMSGSIZE;
        return -1;
    }
    supervisor->loans = loans_new(workers, &LOAN_HANDLERS, supervisor);
    supervisor->children = calloc(workers + 1, sizeof(struct child *));
    if (!supervisor->loans || !supervisor->children)
        return -1;
    for (size_t slot = 0; slot <= workers; slot++) {
        supervisor->children[slot] = make_child(supervisor, slot);
        if (!supervisor->children[slot])
            return -1;
    }
    return 0;
}

struct supervisor *supervisor_start(struct ev_loop *loop, const struct supervisor_plan *plan,
                                    const struct supervisor_handlers *handlers, void *context)
{
    INVARIANT(plan->workers >= 1, "a server without client workers");
    struct supervisor *supervisor = calloc(1, sizeof *supervisor);
    if (!supervisor)
        return NULL;
    supervisor->magic = SUPERVISOR_MAGIC;
    supervisor->loop = loop;
    supervisor->plan = *plan;
    supervisor->handlers = handlers;
    supervisor->context = context;
    ev_timer_init(&supervisor->begin, on_begin, 0, 0);
    supervisor->begin.data = supervisor;
    if (prepare(supervisor) != 0) {
        int error = errno;
        supervisor_free(supervisor);
        errno = error;
        return NULL;
    }
    ev_timer_start(loop, &supervisor->begin);
    return supervisor;
}

void supervisor_set_peers(struct supervisor *supervisor, struct slice peers)
{
    CHECK_MAGIC(supervisor, SUPERVISOR_MAGIC);
    struct buffer copy = {0};
    if (buffer_append_slice(&copy, peers) != 0) {
        LOG_ERROR("peers-lost", "error=\"%s\"", strerror(errno));
        return;
    }
    buffer_free(&supervisor->peers);
    supervisor->peers = copy;
    supervisor->peers_known = true;
    send_peers(supervisor);
}

void supervisor_stop(struct supervisor *supervisor)
{
    CHECK_MAGIC(supervisor, SUPERVISOR_MAGIC);
    if (supervisor->phase > PHASE_SERVING)
        return;
    supervisor->phase = PHASE_STOPPING_WORKERS;
    ev_timer_stop(supervisor->loop, &supervisor->begin);
    child_forbid_restart(relay_of(supervisor));
    for (size_t slot = 1; slot <= supervisor->plan.workers; slot++)
        child_stop(supervisor->children[slot], CHILD_STOP_LIMIT_MS);
    advance_stop(supervisor);
}

void supervisor_free(struct supervisor *supervisor)
{
    if (!supervisor)
        return;
    CHECK_MAGIC(supervisor, SUPERVISOR_MAGIC);
    supervisor->phase = PHASE_STOPPED;
    for (size_t slot = 0; supervisor->children && slot <= supervisor->plan.workers; slot++)
        child_free(supervisor->children[slot]);
    ev_timer_stop(supervisor->loop, &supervisor->begin);
    loans_free(supervisor->loans);
    buffer_free(&supervisor->relay_settings);
    buffer_free(&supervisor->worker_settings);
    buffer_free(&supervisor->peers);
    free(supervisor->children);
    supervisor->magic = 0;
    free(supervisor);
}
