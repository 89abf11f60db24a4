/* bench-client SOCKET PORT: puts load on a running server, from both of its sides. Standard input
 * has one session key a line and an empty line; then each line is a command, answered by a line of
 * JSON:
 *
 *   saturate MS BULK WINDOW   post as fast as answers come, for that many milliseconds, BULK
 *                             messages a request, while WINDOW messages (or one request) are on
 *                             their way
 *   pace MS RATE              post RATE messages a second, one a request, each when it is due
 *
 * Every session has a client that confirms, and every message must arrive, once and in order. Times
 * are in microseconds, from when a message was due (in `saturate`: was posted) to its receipt. */
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/units.h"
#include "bench/backend.h"
#include "bench/message.h"
#include "bench/stream.h"

enum { BACKENDS = 16, EVENTS_AT_ONCE = 64, END_LIMIT_US = 30000000, MICROSECONDS = 1000000 };

struct load {
    const char *socket_path;
    int epoll;
    struct watch timer;
    struct slice *session_keys;
    struct stream *streams;
    size_t sessions, next_session;
    struct backend backends[BACKENDS];
};

struct run {
    uint64_t start_us, end_us;
    uint32_t bulk, window;
    uint64_t rate; /* messages a second, or 0 */
    uint64_t sent;
};

/* What arrived in this run. */
static struct {
    uint32_t *latencies;
    size_t count, room;
    uint64_t last_us;
} arrived;

static void on_received(uint64_t due_us)
{
    if (arrived.count == arrived.room) {
        arrived.room = arrived.room > 0 ? 2 * arrived.room : 1 << 16;
        arrived.latencies = reallocarray(arrived.latencies, arrived.room, sizeof(uint32_t));
        if (!arrived.latencies)
            err(EXIT_FAILURE, "counting messages");
    }
    arrived.last_us = now_us();
    arrived.latencies[arrived.count++] = (uint32_t)(arrived.last_us - due_us);
}

static void on_timer(struct watch *watch)
{
    uint64_t expirations;
    if (read(watch->fd, &expirations, sizeof expirations) < 0 && errno != EAGAIN)
        err(EXIT_FAILURE, "reading a timer");
}

static void wake_at(const struct load *load, uint64_t due_us)
{
    struct itimerspec when = {.it_value = {.tv_sec = (time_t)(due_us / MICROSECONDS),
                                           .tv_nsec = (long)(due_us % MICROSECONDS * 1000)}};
    if (timerfd_settime(load->timer.fd, TFD_TIMER_ABSTIME, &when, NULL) != 0)
        err(EXIT_FAILURE, "setting a timer");
}

/* --- one run ---------------------------------------------------------------------------------- */

static struct backend *idle_backend(struct load *load)
{
    for (size_t i = 0; i < BACKENDS; i++)
        if (load->backends[i].asked == 0)
            return &load->backends[i];
    return NULL;
}

static void post(struct load *load, struct run *run, struct backend *backend, uint64_t due_us)
{
    if (load->next_session + run->bulk > load->sessions)
        load->next_session = 0;
    backend_post(backend, &load->session_keys[load->next_session], run->bulk, due_us);
    load->next_session += run->bulk;
    run->sent += run->bulk;
}

static uint64_t next_due(const struct run *run)
{
    return run->start_us + run->sent * MICROSECONDS / run->rate;
}

/* Posts what may be posted now. Returns whether more will be. */
static bool post_all(struct load *load, struct run *run)
{
    struct backend *backend;
    uint64_t now = now_us();
    if (run->rate > 0) {
        while (next_due(run) < run->end_us && next_due(run) <= now &&
               (backend = idle_backend(load)))
            post(load, run, backend, next_due(run));
        if (next_due(run) >= run->end_us)
            return false;
        if (next_due(run) > now)
            wake_at(load, next_due(run));
        return true;
    }
    while (now < run->end_us &&
           (run->sent == arrived.count || run->sent - arrived.count + run->bulk <= run->window) &&
           (backend = idle_backend(load)))
        post(load, run, backend, now);
    return now < run->end_us;
}

static bool all_arrived(const struct load *load, const struct run *run)
{
    for (size_t i = 0; i < BACKENDS; i++)
        if (load->backends[i].asked > 0)
            return false;
    return arrived.count == run->sent;
}

static void wait_for_events(const struct load *load)
{
    struct epoll_event events[EVENTS_AT_ONCE];
    int count = epoll_wait(load->epoll, events, EVENTS_AT_ONCE, 1000);
    if (count < 0 && errno != EINTR)
        err(EXIT_FAILURE, "epoll_wait");
    for (int i = 0; i < count; i++) {
        struct watch *watch = events[i].data.ptr;
        watch->on_readable(watch);
    }
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static uint32_t percentile(unsigned percent)
{
    return arrived.count > 0 ? arrived.latencies[(arrived.count - 1) * percent / 100] : 0;
}

static double own_cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / MICROSECONDS;
}

static void report(const struct run *run, double cpu_seconds)
{
    double seconds = (double)(arrived.last_us - run->start_us) / MICROSECONDS;
    qsort(arrived.latencies, arrived.count, sizeof *arrived.latencies, compare);
    printf("{\"messages\":%llu,\"seconds\":%.6f,\"p50\":%u,\"p99\":%u,\"ownSeconds\":%.6f}\n",
           (unsigned long long)run->sent, seconds, percentile(50), percentile(99), cpu_seconds);
    fflush(stdout);
}

/* Backends connect anew for each run: the server closes idle connections of theirs. */
static void carry_out(struct load *load, struct run *run, uint64_t milliseconds)
{
    for (size_t i = 0; i < BACKENDS; i++) {
        backend_open(&load->backends[i], load->socket_path);
        watch_start(load->epoll, &load->backends[i].watch);
    }
    double cpu_seconds = own_cpu_seconds();
    arrived.count = 0;
    run->start_us = arrived.last_us = now_us();
    run->end_us = run->start_us + milliseconds * 1000;
    while (post_all(load, run) || !all_arrived(load, run)) {
        wait_for_events(load);
        if (now_us() > run->end_us + END_LIMIT_US)
            errx(EXIT_FAILURE, "%zu of %llu messages arrived", arrived.count,
                 (unsigned long long)run->sent);
    }
    report(run, own_cpu_seconds() - cpu_seconds);
    for (size_t i = 0; i < BACKENDS; i++)
        backend_close(&load->backends[i]);
}

/* --- commands --------------------------------------------------------------------------------- */

static uint64_t number_of(const char *text, uint64_t max)
{
    uint64_t number = 0;
    if (!text || parse_u64(slice_from_string(text), &number) != 0 || number == 0 || number > max)
        errx(EXIT_FAILURE, "not a number from 1 to %llu: %s", (unsigned long long)max,
             text ? text : "nothing");
    return number;
}

static void command(struct load *load, char *line)
{
    static const char SPACE[] = " ";
    enum { MILLISECONDS_MAX = 3600000 };
    char *rest;
    const char *name = strtok_r(line, SPACE, &rest);
    uint64_t milliseconds = number_of(strtok_r(NULL, SPACE, &rest), MILLISECONDS_MAX);
    struct run run = {.bulk = 1};
    if (name && strcmp(name, "pace") == 0) {
        run.rate = number_of(strtok_r(NULL, SPACE, &rest), MICROSECONDS);
    } else if (name && strcmp(name, "saturate") == 0) {
        run.bulk = (uint32_t)number_of(strtok_r(NULL, SPACE, &rest), load->sessions);
        run.window = (uint32_t)number_of(strtok_r(NULL, SPACE, &rest), UINT32_MAX);
    } else {
        errx(EXIT_FAILURE, "no such command");
    }
    carry_out(load, &run, milliseconds);
}

/* Returns the next line without its end, valid until the next call; NULL at the end of input. */
static char *read_line(void)
{
    static char *line;
    static size_t room;
    ssize_t len = getline(&line, &room, stdin);
    if (len > 0 && line[len - 1] == '\n')
        line[len - 1] = '\0';
    return len < 0 ? NULL : line;
}

static void read_sessions(struct load *load)
{
    const char *key;
    while ((key = read_line()) && *key) {
        load->session_keys =
            reallocarray(load->session_keys, load->sessions + 1, sizeof *load->session_keys);
        char *copy = strdup(key);
        if (!load->session_keys || !copy)
            err(EXIT_FAILURE, "reading session keys");
        load->session_keys[load->sessions++] = slice_from_string(copy);
    }
    load->streams = calloc(load->sessions + 1, sizeof *load->streams);
    if (!load->streams)
        err(EXIT_FAILURE, "reading session keys");
}

int main(int argc, char **argv)
{
    if (argc != 3)
        errx(EXIT_FAILURE, "usage: bench-client SOCKET PORT");
    static struct load load;
    uint16_t port = (uint16_t)number_of(argv[2], UINT16_MAX);
    load.socket_path = argv[1];
    load.epoll = epoll_create1(EPOLL_CLOEXEC);
    load.timer =
        (struct watch){timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC), on_timer};
    watch_start(load.epoll, &load.timer);
    stream_received = on_received;
    read_sessions(&load);
    for (size_t i = 0; i < load.sessions; i++) {
        stream_open(&load.streams[i], port, load.session_keys[i]);
        watch_start(load.epoll, &load.streams[i].watch);
    }
    puts("ready");
    fflush(stdout);
    char *line;
    while ((line = read_line()))
        command(&load, line);
    return EXIT_SUCCESS;
}
