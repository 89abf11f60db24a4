/* bench-load KIND PORT PUBLISH CLIENTS [one] [TRANSPORT]: puts load on a running server, from both
 * of its sides, and checks that every message arrives once and in order.
 *
 * KIND is msgserver, limit, nchan or pushpin; clients connect to PORT; PUBLISH is the Unix socket
 * or the port where it takes messages. TRANSPORT is websocket, sse or longpolling. With `one`, all
 * clients listen to one channel (peers that have channels). It says "ready" when all clients are
 * connected; then each line of standard input is a command, answered by a line of JSON:
 *
 *   confirm COUNT [KEEP]
 *                      clients confirm every COUNT messages (0: never) all but the last KEEP
 *   reconnect          each client leaves and comes back, which confirms what it has
 *   leave              clients leave, their sessions are deleted, and the program ends
 *   fanout MS FLIGHT   broadcast for that many milliseconds, while FLIGHT of them are on their way
 *   pace MS RATE       send RATE single messages a second, one a request, each when it is due
 *   saturate MS BULK WINDOW
 *                      send single messages as fast as answers come, BULK a request, while WINDOW
 *                      messages (or one request) are on their way
 *
 * Times are in microseconds, from when a message was due (where nothing is due: was sent) to its
 * receipt. */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/units.h"
#include "bench/load/arrivals.h"
#include "bench/load/client.h"
#include "bench/load/publisher.h"
#include "bench/load/shards.h"

enum {
    PUBLISHERS = MESSAGE_LANES,
    BULK_MAX = 1000,
    END_LIMIT_US = 60000000,
    MICROSECONDS = 1000000
};

struct load {
    struct target target;
    int epoll;
    struct client *clients;
    uint32_t next_client;
    struct publisher publishers[PUBLISHERS];
    uint32_t publisher_count;
    uint64_t broadcasts[MESSAGE_LANES]; /* over all runs */
};

struct run {
    uint64_t start_us, end_us;
    uint32_t flight; /* broadcasts; 0: single messages */
    uint32_t bulk, window;
    uint64_t rate; /* single messages a second, or 0 */
    uint64_t sent;
};

static uint64_t arrived_count(void)
{
    return arrivals()->latencies.count;
}

/* --- one run ---------------------------------------------------------------------------------- */

static struct publisher *idle_publisher(struct load *load, uint32_t among)
{
    for (uint32_t i = 0; i < among && i < load->publisher_count; i++)
        if (!load->publishers[i].is_busy)
            return &load->publishers[i];
    return NULL;
}

/* The next one that waits for nothing: backends side by side keep no order, and a client's messages
 * shall have one. */
static struct client *next_client(struct load *load)
{
    struct client *client;
    uint32_t passed = 0;
    do {
        client = &load->clients[load->next_client];
        load->next_client = (load->next_client + 1) % load->target.clients;
    } while (client->ordered > client->singles.last && ++passed < load->target.clients);
    return client;
}

static void order(struct load *load, struct run *run, struct publisher *publisher, uint64_t due_us)
{
    struct order orders[BULK_MAX];
    for (uint32_t i = 0; i < run->bulk; i++) {
        struct client *client = next_client(load);
        orders[i] = (struct order){client->number, {MESSAGE_SINGLE, 0, ++client->ordered, due_us}};
    }
    publisher_order(publisher, orders, run->bulk);
    run->sent += run->bulk;
}

static uint64_t next_due(const struct run *run)
{
    return run->start_us + run->sent * MICROSECONDS / run->rate;
}

/* These send what may be sent now. Return for how many microseconds there is nothing to do but to
 * wait for what comes; UINT64_MAX: that is up to the others. */
static uint64_t pace(struct load *load, struct run *run, uint64_t now)
{
    struct publisher *publisher;
    while (next_due(run) < run->end_us && next_due(run) <= now &&
           (publisher = idle_publisher(load, PUBLISHERS)))
        order(load, run, publisher, next_due(run));
    return next_due(run) > now && next_due(run) < run->end_us ? next_due(run) - now : UINT64_MAX;
}

static void saturate(struct load *load, struct run *run, uint64_t now)
{
    struct publisher *publisher;
    while (
        now < run->end_us &&
        (run->sent == arrived_count() || run->sent - arrived_count() + run->bulk <= run->window) &&
        (publisher = idle_publisher(load, PUBLISHERS)))
        order(load, run, publisher, now);
}

/* Each publisher is a lane. */
static void broadcast(struct load *load, struct run *run, uint64_t now)
{
    struct publisher *publisher;
    while (now < run->end_us && run->sent - arrivals()->broadcasts < run->flight &&
           (publisher = idle_publisher(load, run->flight))) {
        uint32_t lane = (uint32_t)(publisher - load->publishers);
        publisher_broadcast(
            publisher, &(struct message){MESSAGE_BROADCAST, lane, ++load->broadcasts[lane], now});
        run->sent++;
    }
}

static uint64_t send_all(struct load *load, struct run *run)
{
    uint64_t wait_us = UINT64_MAX, now = now_us();
    if (run->flight > 0)
        broadcast(load, run, now);
    else if (run->rate > 0)
        wait_us = pace(load, run, now);
    else
        saturate(load, run, now);
    for (uint32_t i = 0; i < load->publisher_count; i++)
        publisher_flush(&load->publishers[i]);
    return wait_us;
}

static bool is_over(const struct load *load, const struct run *run)
{
    for (uint32_t i = 0; i < load->publisher_count; i++)
        if (load->publishers[i].is_busy)
            return false;
    uint64_t due = run->flight > 0 ? run->sent * load->target.clients : run->sent;
    return arrived_count() == due && (run->rate > 0 ? next_due(run) : now_us()) >= run->end_us;
}

static double own_cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / MICROSECONDS +
           shards_cpu_seconds();
}

static void report(const struct run *run, double cpu_seconds)
{
    printf("{\"messages\":%llu,\"deliveries\":%llu,\"seconds\":%.6f,\"p50\":%llu,\"p99\":%llu,"
           "\"ownSeconds\":%.6f}\n",
           (unsigned long long)run->sent, (unsigned long long)arrived_count(),
           (double)(arrivals()->last_us - run->start_us) / MICROSECONDS,
           (unsigned long long)histogram_percentile(&arrivals()->latencies, 50),
           (unsigned long long)histogram_percentile(&arrivals()->latencies, 99), cpu_seconds);
    fflush(stdout);
}

/* Publishers connect anew for each run: servers close idle connections of theirs. */
static void carry_out(struct load *load, struct run *run, uint64_t milliseconds)
{
    load->publisher_count = load->target.adapter->is_http ? PUBLISHERS : 1;
    for (uint32_t i = 0; i < load->publisher_count; i++)
        publisher_open(&load->publishers[i], &load->target, load->epoll);
    double cpu_seconds = own_cpu_seconds();
    arrivals_reset();
    run->start_us = now_us();
    run->end_us = run->start_us + milliseconds * 1000;
    for (;;) {
        uint64_t wait_us = send_all(load, run);
        if (is_over(load, run))
            break;
        shards_wait(load->epoll, wait_us);
        if (now_us() > run->end_us + END_LIMIT_US)
            errx(EXIT_FAILURE, "%s: %llu messages sent, and %llu arrived",
                 load->target.adapter->name, (unsigned long long)run->sent,
                 (unsigned long long)arrived_count());
    }
    report(run, own_cpu_seconds() - cpu_seconds);
    for (uint32_t i = 0; i < load->publisher_count; i++)
        publisher_close(&load->publishers[i]);
}

/* --- commands --------------------------------------------------------------------------------- */

static uint64_t number_of(const char *text, uint64_t min, uint64_t max)
{
    uint64_t number = 0;
    if (!text || parse_u64(slice_from_string(text), &number) != 0 || number < min || number > max)
        errx(EXIT_FAILURE, "not a number from %llu to %llu: %s", (unsigned long long)min,
             (unsigned long long)max, text ? text : "nothing");
    return number;
}

static void reconnect(struct load *load)
{
    if (shards_are_needed(load->target.clients))
        errx(EXIT_FAILURE, "only %d clients can reconnect", CLIENTS_PER_SHARD);
    for (uint32_t i = 0; i < load->target.clients; i++) {
        client_reopen(&load->clients[i]);
        watch_start(load->epoll, &load->clients[i].watch);
    }
}

static void leave(struct load *load)
{
    shards_stop();
    if (!shards_are_needed(load->target.clients))
        for (uint32_t i = 0; i < load->target.clients; i++)
            close(load->clients[i].watch.fd);
    if (load->target.adapter->clear)
        load->target.adapter->clear(&load->target);
    exit(EXIT_SUCCESS);
}

/* Commands that only change how the clients stand. */
static bool adjust(struct load *load, const char *name, const char *argument, const char *second)
{
    if (strcmp(name, "confirm") == 0)
        *client_settings = (struct client_settings){
            .confirm_after = (uint32_t)number_of(argument, 0, UINT32_MAX),
            .keep = second ? (uint32_t)number_of(second, 0, UINT32_MAX) : 0,
        };
    else if (strcmp(name, "reconnect") == 0)
        reconnect(load);
    else if (strcmp(name, "leave") == 0)
        leave(load);
    else
        return false;
    puts("{}");
    fflush(stdout);
    return true;
}

static void command(struct load *load, char *line)
{
    static const char SPACE[] = " ";
    enum { MILLISECONDS_MAX = 3600000 };
    char *rest;
    const char *name = strtok_r(line, SPACE, &rest);
    const char *argument = strtok_r(NULL, SPACE, &rest), *second = strtok_r(NULL, SPACE, &rest);
    struct run run = {.bulk = 1};
    if (!name || adjust(load, name, argument, second))
        return;
    uint64_t milliseconds = number_of(argument, 1, MILLISECONDS_MAX);
    if (strcmp(name, "pace") == 0) {
        run.rate = number_of(second, 1, MICROSECONDS);
    } else if (strcmp(name, "saturate") == 0) {
        uint64_t bulk_max = load->target.adapter->in_bulk ? BULK_MAX : 1;
        run.bulk = (uint32_t)number_of(second, 1, bulk_max);
        run.window = (uint32_t)number_of(strtok_r(NULL, SPACE, &rest), 1, load->target.clients);
    } else if (strcmp(name, "fanout") == 0) {
        run.flight = (uint32_t)number_of(second, 1, PUBLISHERS);
    } else {
        errx(EXIT_FAILURE, "no such command");
    }
    carry_out(load, &run, milliseconds);
}

static const struct adapter *adapter_named(const char *name)
{
    static const struct adapter *const adapters[] = {&adapter_msgserver, &adapter_limit,
                                                     &adapter_nchan, &adapter_pushpin, NULL};
    for (const struct adapter *const *adapter = adapters; *adapter; adapter++)
        if (strcmp((*adapter)->name, name) == 0)
            return *adapter;
    errx(EXIT_FAILURE, "no server \"%s\"", name);
}

static enum transport transport_named(const char *name)
{
    static const char *const names[] = {[TRANSPORT_WEBSOCKET] = "websocket",
                                        [TRANSPORT_SSE] = "sse",
                                        [TRANSPORT_LONG_POLLING] = "longpolling"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], name) == 0)
            return (enum transport)i;
    errx(EXIT_FAILURE, "no transport \"%s\"", name);
}

static void open_clients(struct load *load)
{
    arrivals_start(load->target.clients);
    client_settings = shared_memory(sizeof *client_settings);
    load->clients = shared_memory(load->target.clients * sizeof *load->clients);
    if (shards_are_needed(load->target.clients))
        shards_start(load->clients, &load->target, load->epoll);
    else
        shards_open_clients(load->clients, 0, load->target.clients, &load->target, load->epoll);
}

int main(int argc, char **argv)
{
    enum { CLIENTS_MAX = SHARDS_MAX * CLIENTS_PER_SHARD };
    static struct load load;
    if (argc < 5)
        errx(EXIT_FAILURE, "usage: bench-load KIND PORT PUBLISH CLIENTS [one] [TRANSPORT]");
    load.target = (struct target){
        .adapter = adapter_named(argv[1]),
        .port = (uint16_t)number_of(argv[2], 1, UINT16_MAX),
        .publish = argv[3],
        .clients = (uint32_t)number_of(argv[4], 1, CLIENTS_MAX),
    };
    for (int i = 5; i < argc; i++)
        if (strcmp(argv[i], "one") == 0)
            load.target.one_channel = true;
        else
            load.target.transport = transport_named(argv[i]);
    load.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (load.target.adapter->prepare)
        load.target.adapter->prepare(&load.target);
    open_clients(&load);
    puts("ready");
    fflush(stdout);
    char *line = NULL;
    size_t room = 0;
    ssize_t len;
    while ((len = getline(&line, &room, stdin)) > 0) {
        line[len - (line[len - 1] == '\n')] = '\0';
        command(&load, line);
    }
    free(line);
    return EXIT_SUCCESS;
}
