#include "workers/client/client_worker.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/table.h"
#include "workers/client/connection.h"
#include "workers/client/http_answer.h"

static void end_round(struct client_worker *worker)
{
    if (!connection_flush_dirty(worker)) {
        ev_timer_set(&worker->next_round, 0., 0.);
        ev_timer_start(worker->loop, &worker->next_round);
    }
    if (worker->stopping && !worker->connections && worker->on_stopped) {
        void (*on_stopped)(struct client_worker *) = worker->on_stopped;
        worker->on_stopped = NULL;
        on_stopped(worker);
    }
}

static void on_round_end(struct ev_loop *loop, ev_prepare *watcher, int events)
{
    (void)loop;
    (void)events;
    end_round(watcher->data);
}

static void on_next_round(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    end_round(watcher->data);
}

static void log_refused(struct client_worker *worker)
{
    uint64_t suppressed;
    if (log_limit_pass(&worker->refused_log, LOG_REFUSED_EVERY_MS, &suppressed))
        LOG_WARNING("connections-refused",
                    "limit=%zu suppressed=%llu hint=\"raise server.limits.connections, or "
                    "server.workers\"",
                    (size_t)worker->settings.limit_connections, (unsigned long long)suppressed);
}

/* Over the limit, some are told why; when even those are many, the rest is just closed. */
static void on_accepted(void *context, const struct accepted *accepted)
{
    struct client_worker *worker = context;
    size_t limit = worker->settings.limit_connections;
    bool refused = accepted->kind == LISTENER_CLIENT && worker->client_connections >= limit;
    if (refused)
        log_refused(worker);
    if (refused && worker->client_connections >= limit + REFUSED_CONNECTIONS_AT_ONCE) {
        close(accepted->fd);
        return;
    }
    struct connection *connection = connection_new(worker, accepted);
    if (!connection)
        LOG_ERROR("connection-dropped", "why=\"no memory\"");
    else if (refused)
        http_answer_text(connection, 503, "Too many connections");
}

static void init_deadlines(struct client_worker *worker)
{
    const struct settings *settings = &worker->settings;
    const uint64_t durations[DEADLINE_KINDS] = {
        [DEADLINE_HEADER] = settings->header_timeout,
        [DEADLINE_POLL] = settings->longpolling_heartbeat < LONG_POLL_HEARTBEAT_MAX
                              ? settings->longpolling_heartbeat
                              : LONG_POLL_HEARTBEAT_MAX,
        [DEADLINE_PACE] = settings->poll_pace,
        [DEADLINE_PING] = settings->websocket_ping_interval,
        [DEADLINE_SSE_HEARTBEAT] = settings->sse_heartbeat,
        [DEADLINE_RECEIPTS] = RECEIPTS_PACE_MS,
        [DEADLINE_CLOSE] = CLOSE_LIMIT_MS,
    };
    deadlines_init(&worker->deadlines, worker->loop, durations, connection_deadline_expired);
}

static void free_room(void *context)
{
    struct client_worker *worker = context;
    relay_link_free_room(worker->relay);
}

struct client_worker *client_worker_new(struct ev_loop *loop, uint32_t incarnation,
                                        struct settings *settings)
{
    struct client_worker *worker = calloc(1, sizeof *worker);
    if (!worker) {
        settings_free(settings);
        return NULL;
    }
    worker->loop = loop;
    worker->connection_slab.object_size = sizeof(struct connection);
    worker->settings = *settings;
    *settings = (struct settings){0};
    init_deadlines(worker);
    memory_trim_init(&worker->memory_trim, loop, free_room, worker);
    /* After all events of a round, and before the data channel's, which what happens here feeds. */
    ev_prepare_init(&worker->round_end, on_round_end);
    ev_set_priority(&worker->round_end, EV_MINPRI + 1);
    ev_timer_init(&worker->next_round, on_next_round, 0., 0.);
    ev_set_priority(&worker->next_round, EV_MINPRI + 1);
    worker->round_end.data = worker->next_round.data = worker;
    worker->relay = relay_link_new(loop, incarnation, worker->settings.limit_attachment_window);
    worker->acceptor = acceptor_new(loop, on_accepted, worker);
    if (!worker->relay || !worker->acceptor) {
        int error = errno;
        client_worker_free(worker);
        errno = error;
        return NULL;
    }
    return worker;
}

void client_worker_free(struct client_worker *worker)
{
    if (!worker)
        return;
    acceptor_free(worker->acceptor);
    struct connection *connection, *next;
    DL_FOREACH_SAFE(worker->connections, connection, next)
        connection_close(connection);
    while (!connection_flush_dirty(worker))
        continue;
    ev_timer_stop(worker->loop, &worker->next_round);
    ev_clear_pending(worker->loop, &worker->round_end);
    relay_link_free(worker->relay);
    deadlines_close(&worker->deadlines);
    memory_trim_stop(&worker->memory_trim);
    settings_free(&worker->settings);
    free(worker);
}

void client_worker_stop(struct client_worker *worker,
                        void (*on_stopped)(struct client_worker *worker))
{
    if (worker->stopping)
        return;
    worker->stopping = true;
    worker->on_stopped = on_stopped;
    acceptor_free(worker->acceptor);
    worker->acceptor = NULL;
    struct connection *connection, *next;
    DL_FOREACH_SAFE(worker->connections, connection, next)
        connection_stop(connection);
    ev_feed_event(worker->loop, &worker->round_end, EV_PREPARE);
}
