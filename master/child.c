#include "master/child.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/invariant.h"
#include "base/log.h"
#include "io/child_contract.h"
#include "io/control_channel.h"
#include "master/restart.h"
#include "master/spawn.h"

enum { CHILD_MAGIC = 0x6368696c, WHY_ROOM = 512 };

const char *const CHILD_STATE_NAMES[] = {[CHILD_DEAD] = "dead",
                                         [CHILD_STARTING] = "starting",
                                         [CHILD_READY] = "ready",
                                         [CHILD_STOPPING] = "stopping",
                                         [CHILD_WAITING] = "waiting"};

struct child {
    unsigned magic;
    enum child_state state;
    struct ev_loop *loop;
    unsigned slot;
    char *name;
    char *path;
    const struct child_handlers *handlers;
    void *context;

    pid_t pid; /* 0 without a process, or when it is reaped */
    int exit_status;
    uint32_t incarnation;
    uint64_t started_ms;
    struct control_channel *channel; /* outlives the process until its last frame is read */
    ev_child exited;
    ev_timer limit; /* STARTING: READY is due; STOPPING: SIGKILL is; WAITING: the next start is */
    struct restart_throttle throttle;
    bool wanted;    /* to be started again after its death */
    bool explained; /* on_trouble() was told why this process ends */
};

static uint32_t next_incarnation(void)
{
    static uint32_t last;
    uint32_t now = (uint32_t)(clock_wall_ms() / 1000);
    last = now > last ? now : last + 1;
    return last;
}

/* The only place where a child changes its state. `limit_ms` is what the timer is set to. */
static void enter_state(struct child *child, enum child_state state, uint64_t limit_ms)
{
    static const bool ALLOWED[][CHILD_WAITING + 1] = {
        [CHILD_DEAD] = {[CHILD_STARTING] = true, [CHILD_WAITING] = true},
        [CHILD_STARTING] = {[CHILD_READY] = true,
                            [CHILD_STOPPING] = true,
                            [CHILD_WAITING] = true,
                            [CHILD_DEAD] = true},
        [CHILD_READY] = {[CHILD_STOPPING] = true, [CHILD_WAITING] = true, [CHILD_DEAD] = true},
        [CHILD_STOPPING] = {[CHILD_STOPPING] = true, [CHILD_WAITING] = true, [CHILD_DEAD] = true},
        [CHILD_WAITING] = {[CHILD_STARTING] = true, [CHILD_WAITING] = true, [CHILD_DEAD] = true}};
    INVARIANT(ALLOWED[child->state][state], "a child's state cannot follow the one before");
    LOG_DEBUG("child-state", "child=%s pid=%d from=%s to=%s", child->name, (int)child->pid,
              CHILD_STATE_NAMES[child->state], CHILD_STATE_NAMES[state]);
    child->state = state;
    ev_timer_stop(child->loop, &child->limit);
    if (limit_ms > 0) {
        ev_now_update(child->loop);
        ev_timer_set(&child->limit, (double)limit_ms / 1000, 0);
        ev_timer_start(child->loop, &child->limit);
    }
    child->handlers->on_state(child->context, child, state);
}

static void tell_trouble(struct child *child, const char *why)
{
    if (child->explained)
        return;
    child->explained = true;
    child->handlers->on_trouble(child->context, child, why);
}

/* The process is gone, or none could be made. */
static void after_death(struct child *child)
{
    if (!child->wanted) {
        if (child->state != CHILD_DEAD) /* on_trouble() may have stopped a child without process */
            enter_state(child, CHILD_DEAD, 0);
        return;
    }
    uint64_t wait = restart_wait(&child->throttle, clock_monotonic_ms() - child->started_ms);
    LOG_NOTICE("child-restart", "child=%s in_ms=%llu", child->name, (unsigned long long)wait);
    enter_state(child, CHILD_WAITING, wait);
}

static void describe_exit(const struct child *child, char why[WHY_ROOM])
{
    int status = child->exit_status;
    if (WIFSIGNALED(status))
        snprintf(why, WHY_ROOM, "%s was ended by signal %d (%s)", child->name, WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else
        snprintf(why, WHY_ROOM, "%s exited with status %d", child->name, WEXITSTATUS(status));
}

/* Reaped, and its last words read: the two come in either order. */
static void bury(struct child *child)
{
    char why[WHY_ROOM];
    describe_exit(child, why);
    LOG_INFO("child-gone", "child=%s lived_ms=%llu why=\"%s\"", child->name,
             (unsigned long long)(clock_monotonic_ms() - child->started_ms), why);
    if (child->wanted)
        tell_trouble(child, why);
    after_death(child);
}

static void on_exited(struct ev_loop *loop, ev_child *watcher, int events)
{
    (void)events;
    struct child *child = watcher->data;
    CHECK_MAGIC(child, CHILD_MAGIC);
    ev_child_stop(loop, watcher);
    child->exit_status = watcher->rstatus;
    child->pid = 0;
    if (!child->channel)
        bury(child);
}

static void on_ready_frame(struct child *child, struct slice payload)
{
    struct frame_ready ready;
    INVARIANT(get_ready(payload, &ready) == 0, "a broken READY frame");
    if (child->state != CHILD_STARTING)
        return;
    LOG_INFO("child-ready", "child=%s pid=%d after_ms=%llu", child->name, (int)child->pid,
             (unsigned long long)(clock_monotonic_ms() - child->started_ms));
    child->handlers->on_ready(child->context, child, &ready);
    if (child->state == CHILD_STARTING)
        enter_state(child, CHILD_READY, 0);
}

static void on_failed_frame(struct child *child, struct slice payload)
{
    struct frame_failed failed;
    INVARIANT(get_failed(payload, &failed) == 0, "a broken FAILED frame");
    char why[WHY_ROOM];
    snprintf(why, sizeof why, "%s: %.*s", child->name, (int)failed.why.len, failed.why.data);
    tell_trouble(child, why);
    if (child->state != CHILD_STOPPING)
        enter_state(child, CHILD_STOPPING, CHILD_STOP_LIMIT_MS);
}

static void on_frame(void *context, uint16_t type, struct slice payload, int fd)
{
    struct child *child = context;
    CHECK_MAGIC(child, CHILD_MAGIC);
    if (fd >= 0)
        close(fd);
    if (type == FRAME_READY)
        on_ready_frame(child, payload);
    else if (type == FRAME_FAILED)
        on_failed_frame(child, payload);
}

/* Usually its exit is reported in the same moment; one that only closed its channel is ended. */
static void on_lost(void *context)
{
    struct child *child = context;
    CHECK_MAGIC(child, CHILD_MAGIC);
    control_channel_close(child->channel);
    child->channel = NULL;
    if (child->pid == 0)
        bury(child);
    else if (child->state != CHILD_STOPPING)
        enter_state(child, CHILD_STOPPING, CHILD_STOP_LIMIT_MS);
}

static const struct control_channel_handlers CHANNEL_HANDLERS = {on_frame, on_lost};

static int open_process(struct child *child)
{
    int ends[2];
    if (control_channel_pair(ends) != 0)
        return -1;
    child->pid = spawn_child(child->path, ends[1]);
    int error = errno;
    close(ends[1]);
    if (child->pid > 0)
        child->channel =
            control_channel_open(child->loop, ends[0], CHILD_TO_MASTER, &CHANNEL_HANDLERS, child);
    if (child->channel)
        return 0;
    close(ends[0]);
    if (child->pid > 0) { /* without memory for the channel: it sees EOF, and is reaped here */
        kill(child->pid, SIGKILL);
        waitpid(child->pid, NULL, 0);
        error = ENOMEM;
    }
    child->pid = 0;
    errno = error;
    return -1;
}

static void start_process(struct child *child)
{
    child->started_ms = clock_monotonic_ms();
    child->incarnation = next_incarnation();
    child->explained = false;
    if (open_process(child) != 0) {
        char why[WHY_ROOM];
        snprintf(why, sizeof why, "%s cannot be started: %s", child->name, strerror(errno));
        LOG_ERROR("child-not-started", "child=%s why=\"%s\"", child->name, why);
        tell_trouble(child, why);
        after_death(child);
        return;
    }
    ev_child_set(&child->exited, child->pid, 0);
    ev_child_start(child->loop, &child->exited);
    LOG_DEBUG("child-started", "child=%s pid=%d incarnation=%u", child->name, (int)child->pid,
              child->incarnation);
    enter_state(child, CHILD_STARTING, CHILD_READY_LIMIT_MS);
}

static void on_limit(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    struct child *child = watcher->data;
    CHECK_MAGIC(child, CHILD_MAGIC);
    char why[WHY_ROOM];
    switch (child->state) {
    case CHILD_WAITING:
        if (child->wanted)
            start_process(child);
        else
            enter_state(child, CHILD_DEAD, 0);
        break;
    case CHILD_STARTING:
        snprintf(why, sizeof why, "%s was not ready after %d s", child->name,
                 CHILD_READY_LIMIT_MS / 1000);
        tell_trouble(child, why);
        child_kill(child);
        break;
    case CHILD_STOPPING:
        LOG_WARNING("child-killed", "child=%s pid=%d why=\"it did not exit in time\"", child->name,
                    (int)child->pid);
        child_kill(child);
        break;
    case CHILD_DEAD:
    case CHILD_READY:
        INVARIANT(false, "a child's timer ran without a limit");
    }
}

struct child *child_new(struct ev_loop *loop, unsigned slot, const char *name, const char *path,
                        const struct child_handlers *handlers, void *context)
{
    struct child *child = calloc(1, sizeof *child);
    if (!child)
        return NULL;
    child->magic = CHILD_MAGIC;
    child->loop = loop;
    child->slot = slot;
    child->handlers = handlers;
    child->context = context;
    child->name = strdup(name);
    child->path = strdup(path);
    ev_child_init(&child->exited, on_exited, 0, 0);
    ev_init(&child->limit, on_limit);
    child->exited.data = child->limit.data = child;
    if (child->name && child->path)
        return child;
    child_free(child);
    errno = ENOMEM;
    return NULL;
}

void child_free(struct child *child)
{
    if (!child)
        return;
    CHECK_MAGIC(child, CHILD_MAGIC);
    INVARIANT(child->pid == 0 && !child->channel, "a child is freed while its process runs");
    ev_timer_stop(child->loop, &child->limit);
    child->magic = 0;
    free(child->name);
    free(child->path);
    free(child);
}

void child_start(struct child *child)
{
    CHECK_MAGIC(child, CHILD_MAGIC);
    child->wanted = true;
    start_process(child);
}

void child_forbid_restart(struct child *child)
{
    CHECK_MAGIC(child, CHILD_MAGIC);
    child->wanted = false;
}

void child_stop(struct child *child, uint32_t limit_ms)
{
    CHECK_MAGIC(child, CHILD_MAGIC);
    child->wanted = false;
    if (child->state == CHILD_WAITING)
        enter_state(child, CHILD_DEAD, 0);
    if (child->state == CHILD_DEAD)
        return;
    struct buffer frame = {0};
    struct frame_stop stop = {.limit_ms = limit_ms};
    if (put_stop(&frame, &stop) == 0)
        child_send(child, &frame, -1);
    buffer_free(&frame);
    enter_state(child, CHILD_STOPPING, limit_ms);
}

void child_kill(struct child *child)
{
    CHECK_MAGIC(child, CHILD_MAGIC);
    if (child->pid == 0)
        return;
    kill(child->pid, SIGKILL);
    if (child->state != CHILD_STOPPING)
        enter_state(child, CHILD_STOPPING, 0);
}

void child_send(struct child *child, struct buffer *frame, int fd)
{
    CHECK_MAGIC(child, CHILD_MAGIC);
    if (child->channel && control_channel_send(child->channel, frame, fd) != 0) {
        LOG_ERROR("child-send-failed", "child=%s error=\"%s\"", child->name, strerror(errno));
        child_kill(child);
    }
    buffer_free(frame);
}

unsigned child_slot(const struct child *child)
{
    return child->slot;
}

enum child_state child_state(const struct child *child)
{
    return child->state;
}

const char *child_name(const struct child *child)
{
    return child->name;
}

uint32_t child_incarnation(const struct child *child)
{
    return child->incarnation;
}

uint64_t child_wait_ms(const struct child *child)
{
    return child->state == CHILD_WAITING ? child->throttle.last_wait_ms : 0;
}
