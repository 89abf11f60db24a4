#include "workers/client/connection.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/invariant.h"
#include "base/log.h"
#include "base/table.h"
#include "workers/client/http_reader.h"

enum {
    CONNECTION_MAGIC = 0x636f6e6e,
    /* Unsent bytes above which nothing more is read: what a client asks for and does not take
     * (answers to pipelined requests, pongs) stays bounded. */
    CONGESTED_AT = 64 << 10
};

#define BIT(state) (1u << CONNECTION_##state)
static const struct state_rule {
    const char *name;
    bool reads;
    enum deadline_kind deadline; /* set on entering; the handlers set their own in the others */
    unsigned from;               /* the states that may come before */
} STATES[CONNECTION_STATES] = {
    [CONNECTION_HEAD] = {"head", true, DEADLINE_HEADER, BIT(HEAD) | BIT(BODY) | BIT(WAITING)},
    [CONNECTION_BODY] = {"body", true, DEADLINE_HEADER, BIT(HEAD)},
    [CONNECTION_WAITING] = {"waiting", true, DEADLINE_NONE, BIT(HEAD) | BIT(BODY)},
    [CONNECTION_STREAMING] = {"streaming", true, DEADLINE_NONE,
                              BIT(HEAD) | BIT(BODY) | BIT(WAITING)},
    [CONNECTION_CLOSING] = {"closing", true, DEADLINE_CLOSE, BIT(STREAMING)},
    [CONNECTION_DRAINING] = {"draining", false, DEADLINE_HEADER,
                             BIT(HEAD) | BIT(BODY) | BIT(WAITING) | BIT(STREAMING) | BIT(CLOSING)},
    [CONNECTION_LINGERING] = {"lingering", true, DEADLINE_CLOSE, BIT(DRAINING)},
    [CONNECTION_CLOSED] = {"closed", false, DEADLINE_NONE, BIT(CLOSED) - 1},
};

const char *connection_state_name(enum connection_state state)
{
    return STATES[state].name;
}

void connection_set_deadline(struct connection *connection, enum deadline_kind kind)
{
    deadline_set(&connection->worker->deadlines, &connection->deadline, kind);
}

bool connection_is_congested(const struct connection *connection)
{
    return buffer_len(&connection->out) >= CONGESTED_AT;
}

static void mark_dirty(struct connection *connection)
{
    struct client_worker *worker = connection->worker;
    if (connection->is_dirty)
        return;
    connection->is_dirty = true;
    connection->next_dirty = NULL;
    if (worker->dirty)
        worker->last_dirty->next_dirty = connection;
    else
        worker->dirty = connection;
    worker->last_dirty = connection;
    ev_feed_event(worker->loop, &worker->round_end, EV_PREPARE);
}

void connection_enter(struct connection *connection, enum connection_state state)
{
    CHECK_MAGIC(connection, CONNECTION_MAGIC);
    INVARIANT(STATES[state].from & 1u << connection->state, "a connection in the wrong state");
    connection->state = (uint8_t)state;
    connection_set_deadline(connection, STATES[state].deadline);
    mark_dirty(connection);
}

/* Bytes behind a request that is not answered yet are kept up to the size of a request head; then
 * the kernel keeps them, and its window tells the client. */
static bool wants_input(const struct connection *connection)
{
    if (!STATES[connection->state].reads || connection->eof)
        return false;
    if (connection->state == CONNECTION_WAITING)
        return buffer_len(&connection->in) < connection->worker->settings.limit_header_bytes;
    return !connection_is_congested(connection);
}

static void watch(struct connection *connection)
{
    int wanted = (wants_input(connection) ? EV_READ : 0) | (connection->blocked ? EV_WRITE : 0);
    struct ev_loop *loop = connection->worker->loop;
    if (wanted == (connection->io.events & (EV_READ | EV_WRITE)) && ev_is_active(&connection->io))
        return;
    ev_io_stop(loop, &connection->io);
    ev_io_set(&connection->io, connection->io.fd, wanted);
    if (wanted)
        ev_io_start(loop, &connection->io);
}

/* --- closing -------------------------------------------------------------------------------- */

void connection_detach(struct connection *connection)
{
    if (connection->attachment)
        attachment_detach(connection->attachment);
    connection->attachment = NULL;
}

static void handle(struct connection *connection, enum connection_event event, struct slice input)
{
    connection->handler(connection, event, input);
}

void connection_close(struct connection *connection)
{
    CHECK_MAGIC(connection, CONNECTION_MAGIC);
    struct client_worker *worker = connection->worker;
    if (connection->state == CONNECTION_CLOSED)
        return;
    connection_enter(connection, CONNECTION_CLOSED);
    handle(connection, CONNECTION_GONE, SLICE_EMPTY);
    connection_detach(connection);
    ev_io_stop(worker->loop, &connection->io);
    close(connection->io.fd);
    buffer_free(&connection->in);
    buffer_free(&connection->out);
    free(connection->cors);
    connection->cors = NULL;
    DL_DELETE(worker->connections, connection);
    if (!connection->is_backend)
        worker->client_connections--;
}

static void destroy(struct connection *connection)
{
    struct client_worker *worker = connection->worker;
    connection->magic = 0;
    slab_release(&worker->connection_slab, connection);
    memory_trim_note(&worker->memory_trim);
}

void connection_finish(struct connection *connection)
{
    if (connection->state == CONNECTION_CLOSED || connection->state == CONNECTION_DRAINING ||
        connection->state == CONNECTION_LINGERING)
        return;
    connection_enter(connection, CONNECTION_DRAINING);
}

/* The last byte left. What the client sent meanwhile must be read before the socket is closed, or
 * the kernel resets the connection and the client may never see our last words. */
static void drained(struct connection *connection)
{
    if (connection->eof) {
        connection_close(connection);
        return;
    }
    shutdown(connection->io.fd, SHUT_WR);
    connection_enter(connection, CONNECTION_LINGERING);
}

/* --- output --------------------------------------------------------------------------------- */

bool connection_wrote_messages(struct connection *connection, bool failed, uint32_t count,
                               size_t body_bytes)
{
    CHECK_MAGIC(connection, CONNECTION_MAGIC);
    if (connection->state == CONNECTION_CLOSED)
        return false;
    if (failed) {
        LOG_ERROR("connection-dropped", "why=\"no memory\"");
        connection_close(connection);
        return false;
    }
    connection->uncredited += messages_cost(count, body_bytes);
    mark_dirty(connection);
    return true;
}

bool connection_wrote(struct connection *connection, bool failed)
{
    return connection_wrote_messages(connection, failed, 0, 0);
}

/* No more is in flight than `out` still holds. Small messages cost more than they take there: for
 * the difference credit is given at once, so that a client which takes nothing fills its window
 * with bytes that are really held. When `out` is empty, all was given. */
static void give_credit(struct connection *connection)
{
    size_t left = buffer_len(&connection->out);
    if (connection->uncredited <= left)
        return;
    if (connection->attachment)
        attachment_credit(connection->attachment, connection->uncredited - left);
    connection->uncredited = left;
}

/* Returns whether bytes were sent; the connection may be closed after it. */
static bool send_out(struct connection *connection)
{
    struct slice bytes = buffer_slice(&connection->out);
    if (bytes.len == 0)
        return false;
    ssize_t sent = send(connection->io.fd, bytes.data, bytes.len, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
        connection_close(connection);
        return false;
    }
    if (sent > 0)
        buffer_consume(&connection->out, (size_t)sent);
    return sent > 0;
}

static void flush(struct connection *connection)
{
    bool was_blocked = connection->blocked;
    bool progress = send_out(connection);
    if (connection->state == CONNECTION_CLOSED)
        return;
    connection->blocked = buffer_len(&connection->out) > 0;
    give_credit(connection);
    bool slow_but_alive = was_blocked && progress;
    if (slow_but_alive && STATES[connection->state].deadline == DEADLINE_HEADER)
        connection_set_deadline(connection, DEADLINE_HEADER);
    if (connection->state == CONNECTION_DRAINING && !connection->blocked)
        drained(connection);
    else if (connection->state == CONNECTION_HEAD ||
             (connection->state == CONNECTION_STREAMING && slow_but_alive))
        handle(connection, CONNECTION_SENT, SLICE_EMPTY);
    if (connection->state != CONNECTION_CLOSED)
        watch(connection);
}

/* Connections that become dirty meanwhile, also the flushed ones, come at the end of the list. */
bool connection_flush_dirty(struct client_worker *worker)
{
    for (int left = FLUSHED_PER_ROUND; left > 0 && worker->dirty; left--) {
        struct connection *connection = worker->dirty;
        worker->dirty = connection->next_dirty;
        connection->is_dirty = false;
        if (connection->state != CONNECTION_CLOSED)
            flush(connection);
        if (connection->state == CONNECTION_CLOSED && !connection->is_dirty)
            destroy(connection);
    }
    return worker->dirty == NULL;
}

/* --- input ---------------------------------------------------------------------------------- */

void connection_keep_input(struct connection *connection, struct slice input)
{
    if (buffer_append_slice(&connection->in, input) != 0)
        connection_wrote(connection, true);
}

static void handle_input(struct connection *connection, struct slice input)
{
    if (connection->state != CONNECTION_LINGERING)
        handle(connection, CONNECTION_INPUT, input);
}

static void handle_eof(struct connection *connection)
{
    connection->eof = true;
    if (connection->state == CONNECTION_LINGERING)
        connection_close(connection);
    else
        handle(connection, CONNECTION_EOF, SLICE_EMPTY);
}

static void read_input(struct connection *connection)
{
    char *scratch = connection->worker->scratch;
    ssize_t got = recv(connection->io.fd, scratch, READ_PER_ROUND, 0);
    if (got > 0)
        handle_input(connection, slice_of(scratch, (size_t)got));
    else if (got == 0)
        handle_eof(connection);
    else if (errno != EAGAIN && errno != EINTR)
        connection_close(connection);
    if (connection->state != CONNECTION_CLOSED)
        watch(connection);
}

static void on_io(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    struct connection *connection = watcher->data;
    CHECK_MAGIC(connection, CONNECTION_MAGIC);
    if (events & EV_WRITE)
        mark_dirty(connection);
    if (events & EV_READ)
        read_input(connection);
}

void connection_deadline_expired(struct deadline *deadline, enum deadline_kind kind)
{
    (void)kind;
    struct connection *connection =
        (struct connection *)((char *)deadline - offsetof(struct connection, deadline));
    CHECK_MAGIC(connection, CONNECTION_MAGIC);
    switch (connection->state) {
    case CONNECTION_CLOSING:
    case CONNECTION_DRAINING:
    case CONNECTION_LINGERING:
        connection_close(connection);
        break;
    default:
        handle(connection, CONNECTION_DEADLINE, SLICE_EMPTY);
        break;
    }
}

void connection_stop(struct connection *connection)
{
    CHECK_MAGIC(connection, CONNECTION_MAGIC);
    switch (connection->state) {
    case CONNECTION_CLOSING:
    case CONNECTION_DRAINING:
    case CONNECTION_LINGERING:
        break; /* ends soon, one way or the other */
    default:
        handle(connection, CONNECTION_STOP, SLICE_EMPTY);
        break;
    }
}

struct connection *connection_new(struct client_worker *worker, const struct accepted *accepted)
{
    struct connection *connection = slab_allocate(&worker->connection_slab);
    if (!connection) {
        close(accepted->fd);
        return NULL;
    }
    memory_trim_note(&worker->memory_trim);
    connection->magic = CONNECTION_MAGIC;
    connection->worker = worker;
    connection->is_backend = accepted->kind == LISTENER_BACKEND;
    connection->over_unix_socket = accepted->over_unix_socket;
    connection->handler = http_reader_handle;
    ev_io_init(&connection->io, on_io, accepted->fd, EV_READ);
    connection->io.data = connection;
    DL_APPEND(worker->connections, connection);
    if (!connection->is_backend)
        worker->client_connections++;
    connection_set_deadline(connection, DEADLINE_HEADER);
    ev_io_start(worker->loop, &connection->io);
    return connection;
}
