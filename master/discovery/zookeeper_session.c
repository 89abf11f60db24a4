#include "master/discovery/zookeeper_session.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/invariant.h"
#include "base/log.h"
#include "master/discovery/host_resolver.h"

enum {
    SESSION_MAGIC = 0x5a4b5353,
    /* A server that lost its data refuses a session that saw more than it has, and it does so
     * without a word: it closes the connection. After so many of them we ask for a new session, but
     * not before a third of the session's time: servers that elect a leader close connections too,
     * and know the session afterwards. */
    REFUSALS_UNTIL_FRESH = 3
};

/* After a failure to resolve or to make a handle; names may change while the service is away. */
static const double RETRY_S = 5, RESOLVE_AGAIN_S = 30;
/* After a session that is over, and when the client fails to say when to call it again. */
static const double RESTART_S = 0.1, FAILED_CALL_S = 0.1;

enum session_state {
    STATE_RESOLVING,  /* no handle; names are being looked up */
    STATE_WAITING,    /* no handle; `timer` starts the next attempt */
    STATE_CONNECTING, /* a handle that never had a session */
    STATE_UP,
    STATE_LOST /* a session without a connection */
};
static const char *const STATE_NAMES[] = {"resolving", "waiting", "connecting", "up", "lost"};

struct zookeeper_session {
    unsigned magic;
    struct ev_loop *loop;
    char *hosts;
    int timeout_ms;
    const struct zookeeper_session_handlers *handlers;
    void *context;

    enum session_state state;
    bool said_away;
    zhandle_t *handle;
    int fd; /* the handle's, -1 for none; it changes with every connection */
    bool associating;
    unsigned refusals;
    uint64_t lost_ms; /* clock_monotonic_ms() when the connection was lost */
    ev_io io;
    ev_timer timer;         /* the handle's next deadline, or our next attempt */
    ev_timer resolve_again; /* while we are away and there are names */
    struct host_resolver *resolver;
};

static void connect_to(struct zookeeper_session *session, const char *addresses);
static void resolve(struct zookeeper_session *session);

bool zookeeper_is_away(int result)
{
    switch (result) {
    case ZCONNECTIONLOSS:
    case ZOPERATIONTIMEOUT:
    case ZINVALIDSTATE:
    case ZSESSIONEXPIRED:
    case ZSESSIONMOVED:
    case ZCLOSING:
        return true;
    default:
        return false;
    }
}

/* --- states ----------------------------------------------------------------------------------- */

static void say_away(struct zookeeper_session *session, const char *why)
{
    if (!session->said_away)
        LOG_WARNING("zookeeper-away", "hosts=%s why=\"%s\" note=\"known peers are kept\"",
                    LOG_TEXT(slice_from_string(session->hosts)), why);
    session->said_away = true;
}

static void say_up(struct zookeeper_session *session, bool fresh)
{
    const char *event = session->said_away ? "zookeeper-back" : "zookeeper-connected";
    LOG_NOTICE(event, "server=%s session=%s", zoo_get_current_server(session->handle),
               fresh ? "new" : "kept");
    session->said_away = false;
}

/* The only place where a session changes its state. */
static void enter(struct zookeeper_session *session, enum session_state state)
{
    enum session_state before = session->state;
    LOG_DEBUG("zookeeper-session", "from=%s to=%s", STATE_NAMES[before], STATE_NAMES[state]);
    session->state = state;
    switch (state) {
    case STATE_UP:
        session->refusals = 0;
        ev_timer_stop(session->loop, &session->resolve_again);
        say_up(session, before == STATE_CONNECTING);
        session->handlers->on_up(session->context, session->handle, before == STATE_CONNECTING);
        break;
    case STATE_RESOLVING:
    case STATE_WAITING:
    case STATE_CONNECTING:
    case STATE_LOST:
        if (!ev_is_active(&session->resolve_again) && !hosts_are_addresses(session->hosts))
            ev_timer_again(session->loop, &session->resolve_again);
        if (before == STATE_UP) {
            session->lost_ms = clock_monotonic_ms();
            session->handlers->on_down(session->context);
        }
        break;
    }
}

static void start_timer(struct zookeeper_session *session, double after)
{
    ev_timer_stop(session->loop, &session->timer);
    ev_timer_set(&session->timer, after, 0);
    ev_timer_start(session->loop, &session->timer);
}

/* --- the client's handle ---------------------------------------------------------------------- */

static void log_client(const char *message)
{
    static struct log_limit limit;
    uint64_t suppressed;
    if (log_wants(LOG_LEVEL_DEBUG) && log_limit_pass(&limit, 200, &suppressed))
        LOG_DEBUG("zookeeper-client", "suppressed=%llu text=%s", (unsigned long long)suppressed,
                  LOG_TEXT(slice_from_string(message)));
}

/* zookeeper_close() sends its last words and waits for the answer, up to 4.5 s in all. With the
 * reading side shut there is nothing to wait for, and with both sides shut, when the socket takes
 * no bytes, the sending fails at once too. */
static void drop_handle(struct zookeeper_session *session)
{
    ev_io_stop(session->loop, &session->io);
    ev_timer_stop(session->loop, &session->timer);
    if (!session->handle)
        return;
    struct pollfd socket = {.fd = session->fd, .events = POLLOUT};
    if (session->fd >= 0) {
        bool takes_bytes = poll(&socket, 1, 0) == 1 && socket.revents == POLLOUT;
        shutdown(session->fd, takes_bytes ? SHUT_RD : SHUT_RDWR);
    }
    zhandle_t *handle = session->handle;
    session->handle = NULL;
    session->fd = -1;
    zookeeper_close(handle);
}

static void start_again(struct zookeeper_session *session)
{
    drop_handle(session);
    enter(session, STATE_WAITING);
    start_timer(session, RESTART_S);
}

/* A server that drops us between our greeting and its answer refuses the session. */
static bool is_refused(struct zookeeper_session *session, int state)
{
    bool dropped = session->associating && state != ZOO_CONNECTED_STATE;
    session->associating = state == ZOO_ASSOCIATING_STATE;
    if (!dropped || session->associating)
        return false;
    return ++session->refusals >= REFUSALS_UNTIL_FRESH && session->state == STATE_LOST &&
           clock_monotonic_ms() - session->lost_ms >= (uint64_t)session->timeout_ms / 3;
}

/* Looks at the handle after each call into it. */
static void settle(struct zookeeper_session *session, int result)
{
    int state = zoo_state(session->handle);
    if (is_unrecoverable(session->handle)) {
        LOG_NOTICE("zookeeper-session-over", "why=\"%s\"", zerror(state));
        start_again(session);
    } else if (is_refused(session, state)) {
        LOG_NOTICE("zookeeper-session-over", "why=\"the server refuses it\"");
        start_again(session);
    } else if (state == ZOO_CONNECTED_STATE) {
        if (session->state != STATE_UP)
            enter(session, STATE_UP);
    } else {
        if (session->state == STATE_UP)
            enter(session, STATE_LOST);
        if (result != ZOK && result != ZNOTHING)
            say_away(session, zerror(result));
    }
}

/* Asks the client what it waits for. Its descriptor may be a new one under an old number, so the
 * watcher is set anew each time. */
static void wait_for_events(struct zookeeper_session *session)
{
    int fd = -1, interest = 0;
    struct timeval after = {0};
    ev_io_stop(session->loop, &session->io);
    int result = zookeeper_interest(session->handle, &fd, &interest, &after);
    session->fd = result == ZOK ? fd : -1;
    if (session->fd >= 0) {
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        ev_io_set(&session->io, fd,
                  (interest & ZOOKEEPER_READ ? EV_READ : 0) |
                      (interest & ZOOKEEPER_WRITE ? EV_WRITE : 0));
        ev_io_start(session->loop, &session->io);
    }
    double seconds = (double)after.tv_sec + (double)after.tv_usec / 1e6;
    start_timer(session, result == ZOK ? seconds : FAILED_CALL_S);
    settle(session, result);
}

static void drive(struct zookeeper_session *session, int events)
{
    CHECK_MAGIC(session, SESSION_MAGIC);
    if (session->handle && session->fd >= 0)
        settle(session, zookeeper_process(session->handle, events));
    if (session->handle)
        wait_for_events(session);
}

static void on_io(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    drive(io->data,
          (events & EV_READ ? ZOOKEEPER_READ : 0) | (events & EV_WRITE ? ZOOKEEPER_WRITE : 0));
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)events;
    struct zookeeper_session *session = timer->data;
    if (session->state == STATE_WAITING)
        resolve(session);
    else
        drive(session, 0);
}

/* --- from names to a handle ------------------------------------------------------------------- */

static void retry_later(struct zookeeper_session *session, const char *why)
{
    say_away(session, why);
    if (session->state != STATE_WAITING)
        enter(session, STATE_WAITING);
    start_timer(session, RETRY_S);
}

static void connect_to(struct zookeeper_session *session, const char *addresses)
{
    INVARIANT(!session->handle, "a ZooKeeper handle is made over another");
    session->handle = zookeeper_init2(addresses, NULL, session->timeout_ms, NULL, NULL,
                                      ZOO_NO_LOG_CLIENTENV, log_client);
    if (!session->handle) {
        retry_later(session, strerror(errno));
        return;
    }
    /* Never again by itself; while it has no connection the client looks its hosts up in any case,
     * which is why it only gets addresses. */
    zoo_set_servers_resolution_delay(session->handle, -1);
    session->associating = false;
    enter(session, STATE_CONNECTING);
    wait_for_events(session);
}

static void on_resolved(void *context, const char *addresses)
{
    struct zookeeper_session *session = context;
    CHECK_MAGIC(session, SESSION_MAGIC);
    session->resolver = NULL;
    if (session->state == STATE_RESOLVING) {
        if (addresses)
            connect_to(session, addresses);
        else
            retry_later(session, "no address is known for these hosts");
    } else if (addresses && session->handle && session->state != STATE_UP) {
        char *list = strdup(addresses);
        if (list) {
            list[strcspn(list, "/")] = '\0'; /* the chroot stays that of the handle */
            zoo_set_servers(session->handle, list);
            free(list);
            drive(session, 0);
        }
    }
}

static void resolve(struct zookeeper_session *session)
{
    enter(session, STATE_RESOLVING);
    if (hosts_are_addresses(session->hosts)) {
        connect_to(session, session->hosts);
    } else if (!session->resolver) {
        session->resolver =
            host_resolver_start(session->loop, session->hosts, on_resolved, session);
        if (!session->resolver)
            retry_later(session, strerror(errno));
    }
}

static void on_resolve_again(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)events;
    struct zookeeper_session *session = timer->data;
    if (session->handle && !session->resolver)
        session->resolver =
            host_resolver_start(session->loop, session->hosts, on_resolved, session);
}

/* --- for others ------------------------------------------------------------------------------- */

struct zookeeper_session *zookeeper_session_open(struct ev_loop *loop, const char *hosts,
                                                 uint64_t timeout_ms,
                                                 const struct zookeeper_session_handlers *handlers,
                                                 void *context)
{
    struct zookeeper_session *session = calloc(1, sizeof *session);
    if (!session)
        return NULL;
    session->hosts = strdup(hosts);
    if (!session->hosts) {
        free(session);
        return NULL;
    }
    session->magic = SESSION_MAGIC;
    session->loop = loop;
    session->timeout_ms = (int)timeout_ms;
    session->handlers = handlers;
    session->context = context;
    session->fd = -1;
    session->state = STATE_WAITING;
    ev_io_init(&session->io, on_io, -1, 0);
    ev_timer_init(&session->timer, on_timer, 0, 0);
    ev_timer_init(&session->resolve_again, on_resolve_again, RESOLVE_AGAIN_S, RESOLVE_AGAIN_S);
    session->io.data = session->timer.data = session->resolve_again.data = session;
    zoo_set_debug_level(log_wants(LOG_LEVEL_DEBUG) ? ZOO_LOG_LEVEL_INFO : ZOO_LOG_LEVEL_ERROR);
    start_timer(session, 0); /* so that nothing is called back inside this call */
    return session;
}

void zookeeper_session_flush(struct zookeeper_session *session)
{
    CHECK_MAGIC(session, SESSION_MAGIC);
    if (!session->handle)
        return;
    /* A request that could not be sent closed the descriptor: nothing may watch it any more. */
    ev_io_stop(session->loop, &session->io);
    start_timer(session, 0);
}

void zookeeper_session_close(struct zookeeper_session *session)
{
    CHECK_MAGIC(session, SESSION_MAGIC);
    ev_timer_stop(session->loop, &session->resolve_again);
    host_resolver_cancel(session->resolver);
    drop_handle(session);
    free(session->hosts);
    session->magic = 0;
    free(session);
}
