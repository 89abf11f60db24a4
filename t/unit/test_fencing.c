/* The phone: a client attaches here and there, and what is late of its old attachments must not
 * touch the newest. Random interleavings of what three workers of the session's home and one of
 * another host tell the relays, and of what the hosts tell each other; SEED=N repeats one. */
#include "relay_fixture.h"

#include <stdio.h>

#include "base/clock.h"
#include "workers/relay/delivery.h"

enum {
    INTERLEAVINGS = 10000,
    STEPS_MIN = 10,
    STEPS_MAX = 50,
    ATTACHMENTS_MAX = 40,
    WORKERS = 4,
    ELSEWHERE = WORKERS - 1, /* the worker of the other host */
    WINDOW_MESSAGES = 6,
    WINDOW_BODIES = 24,
    ROUNDS_MAX = 200
};

/* What one connection of the client knows. */
struct connection {
    int worker;
    uint32_t handle;
    enum attachment_style style;
    bool open;
    bool detached; /* by the client's worker, for good */
    bool raced;    /* a connect was on its way when it came: that one may seem to be newer */
    uint64_t last; /* ID received; 0: none */
    uint32_t owed; /* cost of what it received without a credit */
};

static struct test_relay here, home;
static struct test_worker workers[WORKERS];
static struct connection connections[ATTACHMENTS_MAX];
static size_t connection_count;
static char address[32], actor[16];
static uint64_t sent, received, confirmed;
static bool link_down;
static uint64_t now_ms = 1000000;
static uint32_t last_handle;
static uint64_t seed, random_state;

/* Called in place of the clocks (ld's --wrap): time goes on step by step. */
uint64_t __wrap_clock_monotonic_ms(void);
uint64_t __wrap_clock_monotonic_us(void);
uint64_t __wrap_clock_monotonic_ms(void)
{
    return now_ms;
}
uint64_t __wrap_clock_monotonic_us(void)
{
    return now_ms * 1000;
}

static uint64_t below(uint64_t limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (random_state >> 11) % limit;
}

#define require(condition, ...)                                                                    \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            char text_[200];                                                                       \
            snprintf(text_, sizeof text_, __VA_ARGS__);                                            \
            ck_abort_msg("%s (repeat with SEED=%llu)", text_, (unsigned long long)seed);           \
        }                                                                                          \
    } while (0)

/* --- what workers are told ---------------------------------------------------------------- */

static struct connection *find_connection(int worker, uint32_t handle)
{
    for (size_t i = 0; i < connection_count; i++)
        if (connections[i].worker == worker && connections[i].handle == handle)
            return &connections[i];
    return NULL;
}

static void take_message(struct connection *connection, uint64_t id, uint64_t body, int len)
{
    require(body == id, "ID %llu has the body of %llu", (unsigned long long)id,
            (unsigned long long)body);
    if (connection->last == 0)
        require(id <= confirmed + 1, "ID %llu came first, %llu is confirmed",
                (unsigned long long)id, (unsigned long long)confirmed);
    else
        require(id == connection->last + 1, "%llu came after %llu", (unsigned long long)id,
                (unsigned long long)connection->last);
    connection->last = id;
    connection->owed += (uint32_t)messages_cost(1, (uint64_t)len);
    if (id > received)
        received = id;
}

/* A line of the journal: "deliver 1: 3=[3] 4=[4]" or "end 1: superseded". */
static void take_line(int worker, const char *line)
{
    unsigned handle;
    int at = 0;
    if (sscanf(line, "end %u: %n", &handle, &at) == 1) {
        struct connection *connection = find_connection(worker, handle);
        if (!connection) /* of an earlier interleaving, and long gone */
            return;
        require(strcmp(line + at, "superseded") == 0, "an unexpected end: %s", line);
        connection->open = false;
        return;
    }
    require(sscanf(line, "deliver %u:%n", &handle, &at) == 1, "what is this: %s", line);
    struct connection *connection = find_connection(worker, handle);
    if (!connection || connection->detached)
        return; /* it crossed the client's leaving */
    require(connection->open, "a delivery after the end: %s", line);
    unsigned long long id, body;
    for (int from, to, n; sscanf(line + at, " %llu=%n[%llu]%n", &id, &from, &body, &n) == 2;
         at += to)
        take_message(connection, id, body, (to = n) - from);
    if (connection->style != STYLE_STREAM)
        connection->open = false;
}

static void read_journal(int worker)
{
    struct buffer *journal = &workers[worker].journal;
    if (buffer_len(journal) == 0)
        return;
    buffer_append(journal, "", 1);
    for (char *rest = buffer_bytes(journal), *line; (line = strsep(&rest, "\n")) && *line;)
        take_line(worker, line);
    buffer_free(journal);
}

static void run_worker(int worker)
{
    ev_run(workers[worker].loop, EVRUN_NOWAIT);
    read_journal(worker);
}

static struct test_relay *relay_of(int worker)
{
    return worker == ELSEWHERE ? &here : &home;
}

/* --- steps ---------------------------------------------------------------------------------- */

static struct connection *any_connection(void)
{
    return connection_count > 0 ? &connections[below(connection_count)] : NULL;
}

static void attach(void)
{
    static const enum attachment_style STYLES[] = {STYLE_STREAM, STYLE_STREAM, STYLE_STREAM,
                                                   STYLE_LONG_POLL, STYLE_SHORT_POLL};
    if (connection_count == ATTACHMENTS_MAX)
        return;
    struct connection *connection = &connections[connection_count++];
    *connection = (struct connection){.worker = (int)below(WORKERS),
                                      .handle = ++last_handle,
                                      .style = STYLES[below(5)],
                                      .open = true,
                                      .raced = fake_mesh_connect_waits(home.relay->mesh)};
    uint64_t id = below(2) ? 0 : received;
    if (id > confirmed)
        confirmed = id;
    now_ms++;
    test_attach(&workers[connection->worker], connection->handle, connection->style, address,
                connection->worker == ELSEWHERE ? "host-b:1" : "", id);
    now_ms++;
}

/* Also of what is over: the worker's word crossed the relay's. */
static void detach(void)
{
    struct connection *connection = any_connection();
    if (!connection || connection->detached)
        return;
    connection->detached = true;
    connection->open = false;
    test_detach(&workers[connection->worker], connection->handle);
}

static void credit(struct connection *connection)
{
    if (!connection || connection->detached || connection->owed == 0)
        return;
    test_credit(&workers[connection->worker], connection->handle, connection->owed);
    connection->owed = 0;
}

static void confirm(void)
{
    struct connection *connection = any_connection();
    if (!connection || connection->detached || connection->last == 0)
        return;
    uint64_t id = connection->last - below(connection->last);
    if (id > confirmed)
        confirmed = id;
    test_confirm(&workers[connection->worker], connection->handle, id);
}

static void send_messages(void)
{
    for (uint64_t count = 1 + below(3); count > 0; count--) {
        char body[24];
        snprintf(body, sizeof body, "[%llu]", (unsigned long long)++sent);
        ck_assert_int_eq(test_send(&home, address, body), 0);
    }
}

static void hand_on(struct test_relay *to)
{
    size_t waiting = fake_mesh_waiting(to->relay->mesh);
    if (waiting > 0)
        fake_mesh_hand_on(to->relay->mesh, below(waiting));
}

/* The hosts notice one after the other. */
static void set_link(bool up)
{
    struct mesh_peer_state state = {true, up, true};
    bool home_first = below(2);
    link_down = !up;
    if (!up) {
        fake_mesh_lose(here.relay->mesh);
        fake_mesh_lose(home.relay->mesh);
    }
    if (home_first)
        fake_mesh_set_peer(home.relay->mesh, "host-a:1", state);
    fake_mesh_set_peer(here.relay->mesh, "host-b:1", state);
    if (!home_first)
        fake_mesh_set_peer(home.relay->mesh, "host-a:1", state);
}

/* MAGE's: it names no attachment, so it can mean none of ours. */
static void plain_disconnect(void)
{
    struct session *session = session_find(&home.relay->registry, slice_from_string(address));
    const struct attachment *before = session->attachment;
    char line[64];
    snprintf(line, sizeof line, "msgServer.disconnect  | %s", address);
    fake_mesh_receive(home.relay->mesh, line);
    require(session->attachment == before, "a plain disconnect touched an attachment of ours");
}

static void step(void)
{
    uint64_t dice = below(100);
    if (dice < 14)
        attach();
    else if (dice < 22)
        detach();
    else if (dice < 30)
        credit(any_connection());
    else if (dice < 38)
        confirm();
    else if (dice < 50)
        send_messages();
    else if (dice < 68)
        run_worker((int)below(WORKERS));
    else if (dice < 80)
        ev_run((below(3) ? &home : &here)->loop, EVRUN_NOWAIT);
    else if (dice < 94)
        hand_on(below(2) ? &home : &here);
    else if (dice < 96)
        remote_home_tick(here.relay, now_ms);
    else if (dice < 98)
        plain_disconnect();
    else
        set_link(link_down);
    /* Time on the way counts as youth; see `raced`. */
    if (!fake_mesh_connect_waits(home.relay->mesh))
        now_ms += below(3);
}

/* --- one interleaving ----------------------------------------------------------------------- */

static uint64_t progress(void)
{
    return figure(&home, METRIC_DELIVERED) + figure(&here, METRIC_DELIVERED) +
           figure(&home, METRIC_STALE) + figure(&here, METRIC_STALE) +
           figure(&home, METRIC_CONFIRMED);
}

/* Everything that is on its way arrives, and every client takes what it is given. */
static void settle_all(void)
{
    int rounds = 0, quiet = 0;
    while (quiet < 3) {
        uint64_t before = progress();
        for (int worker = 0; worker < WORKERS; worker++)
            run_worker(worker);
        ev_run(home.loop, EVRUN_NOWAIT);
        ev_run(here.loop, EVRUN_NOWAIT);
        quiet = fake_mesh_pump() > 0 ? 0 : quiet + 1;
        for (size_t i = 0; i < connection_count; i++)
            credit(&connections[i]);
        remote_home_tick(here.relay, now_ms);
        if (progress() != before)
            quiet = 0;
        require(++rounds < ROUNDS_MAX, "it never settles");
    }
}

static bool is_the_sessions(const struct connection *connection, const struct session *session)
{
    const struct attachment *attachment = session->attachment;
    uint64_t handle = (uint64_t)workers[connection->worker].incarnation << 32 | connection->handle;
    char hop[64];
    if (!attachment)
        return false;
    if (connection->worker != ELSEWHERE)
        return attachment->handle == handle;
    snprintf(hop, sizeof hop, "host-a:1:%llu", (unsigned long long)handle);
    return attachment->route && slice_equals_string(attachment->route->hops[1], hop);
}

static void check_end(const struct session *session)
{
    const struct connection *open = NULL;
    for (size_t i = 0; i < connection_count; i++) {
        if (!connections[i].open)
            continue;
        require(!open, "two connections are open");
        open = &connections[i];
    }
    if (!open) {
        require(!session->attachment, "something is attached that no client knows of");
    } else {
        require(is_the_sessions(open, session), "the open connection is a black hole");
        require(open->last == sent ||
                    (open->last == 0 && mailbox_confirmed(&session->mailbox) == sent),
                "the open connection has %llu of %llu", (unsigned long long)open->last,
                (unsigned long long)sent);
    }
    /* A poll that is asked for again may end early: its client comes again. */
    const struct connection *newest =
        connection_count > 0 ? &connections[connection_count - 1] : NULL;
    if (newest && !newest->detached && !newest->raced && newest->style == STYLE_STREAM)
        require(open == newest, "the newest connection was superseded");
}

static void interleave(uint64_t number)
{
    connection_count = 0;
    sent = received = confirmed = 0;
    snprintf(actor, sizeof actor, "p%llu", (unsigned long long)number);
    snprintf(address, sizeof address, "sess/%s:x", actor);
    struct session *session = test_session(&home, actor, "x");
    for (uint64_t left = STEPS_MIN + below(STEPS_MAX - STEPS_MIN); left > 0; left--)
        step();
    if (link_down)
        set_link(true);
    settle_all();
    send_messages(); /* the next message arrives, too */
    settle_all();
    check_end(session);
    for (size_t i = 0; i < connection_count; i++)
        if (!connections[i].detached)
            test_detach(&workers[connections[i].worker], connections[i].handle);
    settle_all();
    require(!session->attachment && !here.relay->homes.clients, "somebody stayed");
    relay_end_session(home.relay, session, SESSION_DELETED, END_EXPIRED);
    buffer_free(fake_mesh_journal(here.relay->mesh));
    buffer_free(fake_mesh_journal(home.relay->mesh));
}

START_TEST(no_interleaving_makes_a_black_hole)
{
    const char *given = getenv("SEED");
    uint64_t first = given ? strtoull(given, NULL, 10) : 1;
    test_relay_prepare(&here, "host-a:1");
    test_relay_prepare(&home, "host-b:1");
    here.settings.limit_attachment_window = home.settings.limit_attachment_window =
        messages_cost(WINDOW_MESSAGES, WINDOW_BODIES);
    here.settings.poll_pace = home.settings.poll_pace = 0;
    test_relay_start(&here);
    test_relay_start(&home);
    for (int worker = 0; worker < WORKERS; worker++)
        test_worker_start(&workers[worker], relay_of(worker), (uint32_t)worker + 1);
    set_link(true);
    for (uint64_t i = 0; i < (given ? 1 : INTERLEAVINGS); i++) {
        seed = first + i;
        random_state = seed * 0x9e3779b97f4a7c15ull | 1;
        interleave(i);
    }
    for (int worker = 0; worker < WORKERS; worker++)
        test_worker_stop(&workers[worker]);
    test_relay_stop(&here);
    test_relay_stop(&home);
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, no_interleaving_makes_a_black_hole);
}

UNIT_MAIN("fencing", add_tests)
