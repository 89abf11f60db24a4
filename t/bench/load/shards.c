#include "bench/load/shards.h"

#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/load/arrivals.h"

enum { EVENTS_AT_ONCE = 256, MICROSECONDS = 1000000, CONFIRMATIONS_APART = 50 };

static struct {
    pid_t pids[SHARDS_MAX];
    uint32_t count;
    struct watch wake;
    _Atomic uint32_t *ready; /* how many have opened their clients */
} shards;

bool shards_are_needed(uint32_t clients)
{
    return clients > CLIENTS_PER_SHARD;
}

/* Clients do not all confirm at the same message. */
void shards_open_clients(struct client *clients, uint32_t from, uint32_t to,
                         const struct target *target, int epoll)
{
    for (uint32_t i = from; i < to; i++) {
        client_open(&clients[i], target, i);
        clients[i].unconfirmed = i % CONFIRMATIONS_APART;
        watch_start(epoll, &clients[i].watch);
    }
}

void shards_wait(int epoll, uint64_t wait_us)
{
    struct epoll_event events[EVENTS_AT_ONCE];
    if (wait_us > MICROSECONDS)
        wait_us = MICROSECONDS;
    struct timespec limit = {.tv_sec = (time_t)(wait_us / MICROSECONDS),
                             .tv_nsec = (long)(wait_us % MICROSECONDS * 1000)};
    int count = epoll_pwait2(epoll, events, EVENTS_AT_ONCE, &limit, NULL);
    if (count < 0 && errno != EINTR)
        err(EXIT_FAILURE, "epoll_pwait2");
    for (int i = 0; i < count; i++) {
        struct watch *watch = events[i].data.ptr;
        watch->on_readable(watch);
    }
}

/* --- a process with clients ------------------------------------------------------------------- */

static void wake_parent(void)
{
    uint64_t one = 1;
    if (write(shards.wake.fd, &one, sizeof one) != sizeof one)
        err(EXIT_FAILURE, "telling of arrivals");
}

static _Noreturn void serve(struct client *clients, uint32_t from, uint32_t to,
                            const struct target *target)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    signal(SIGCHLD, SIG_DFL);
    shards_open_clients(clients, from, to, target, epoll);
    atomic_fetch_add(shards.ready, 1);
    wake_parent();
    for (;;) {
        uint64_t before = arrivals()->latencies.count;
        shards_wait(epoll, UINT64_MAX);
        if (arrivals()->latencies.count != before)
            wake_parent();
    }
}

/* --- the process that sends ------------------------------------------------------------------- */

static void on_wake(struct watch *watch)
{
    uint64_t times;
    if (read(watch->fd, &times, sizeof times) < 0 && errno != EAGAIN)
        err(EXIT_FAILURE, "hearing of arrivals");
}

static void on_child(int signal_number)
{
    (void)signal_number;
    _exit(EXIT_FAILURE); /* it has said why */
}

void shards_start(struct client *clients, const struct target *target, int epoll)
{
    uint32_t needed = (target->clients + CLIENTS_PER_SHARD - 1) / CLIENTS_PER_SHARD;
    shards.ready = shared_memory(sizeof *shards.ready);
    shards.wake = (struct watch){eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), on_wake};
    watch_start(epoll, &shards.wake);
    signal(SIGCHLD, on_child);
    while (shards.count < needed) {
        uint32_t from = shards.count * CLIENTS_PER_SHARD, to = from + CLIENTS_PER_SHARD;
        pid_t pid = fork();
        if (pid < 0)
            err(EXIT_FAILURE, "fork");
        if (pid == 0)
            serve(clients, from, to < target->clients ? to : target->clients, target);
        shards.pids[shards.count++] = pid;
    }
    while (atomic_load(shards.ready) < needed)
        shards_wait(epoll, UINT64_MAX);
}

void shards_stop(void)
{
    signal(SIGCHLD, SIG_DFL);
    for (uint32_t i = 0; i < shards.count; i++) {
        kill(shards.pids[i], SIGTERM);
        waitpid(shards.pids[i], NULL, 0);
    }
    shards.count = 0;
}

double shards_cpu_seconds(void)
{
    double seconds = 0;
    for (uint32_t i = 0; i < shards.count; i++) {
        clockid_t clock;
        struct timespec used;
        if (clock_getcpuclockid(shards.pids[i], &clock) == 0 && clock_gettime(clock, &used) == 0)
            seconds += (double)used.tv_sec + (double)used.tv_nsec / 1e9;
    }
    return seconds;
}
