/* Both ends of MMRP, to measure a relay between them.
 *
 * bench-mesh sink
 *     a bare ROUTER: prints its endpoint, reads frames and throws them away. Handshakes alone are
 *     answered, with nothing: so that who sends knows how far it has read.
 * bench-mesh load ENDPOINT TARGET OWN KIND [PORT]
 *     a relay OWN, "mage" or "ours", that sends to the relay TARGET at ENDPOINT. Standard input has
 *     one session key a line and an empty line; with PORT, each has a WebSocket there, that
 *     confirms. Then each line is a command, answered by a line when all has arrived:
 *         send WHAT FORM COUNT BODIES WINDOW
 *     WHAT: "clients" (arrived: at the WebSockets), "reader" (the same envelopes; arrived: a
 *     handshake behind them was answered), "nobody" (to an address that is none), or the cluster ID
 *     of a peer to pass them on to. FORM: "single" or "packed". COUNT: envelopes, of BODIES
 *     messages each, WINDOW of them on their way at most.
 * bench-mesh peer OWN HOST PORT FORM
 *     a host of ours to send to, whose handshake offers packs or not. Each line is a number: it is
 *     answered when so many envelopes have arrived since the last one. */
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <zmq.h>

#include "base/units.h"
#include "bench/load/arrivals.h"
#include "bench/load/shards.h"
#include "codecs/envelope_pack.h"

enum { BURST = 100, JSON_ROOM = 512, MICROSECONDS = 1000000, WAIT_US = MICROSECONDS / 10 };
static const uint64_t PATIENCE_US = 60 * (uint64_t)MICROSECONDS;

static void must(bool condition, const char *what)
{
    if (!condition)
        errx(EXIT_FAILURE, "%s: %s", what, zmq_strerror(errno));
}

static uint64_t number_of(const char *text)
{
    uint64_t number = 0;
    if (!text || parse_u64(slice_from_string(text), &number) != 0 || number == 0)
        errx(EXIT_FAILURE, "not a number from 1: %s", text ? text : "nothing");
    return number;
}

static void answer(const char *line)
{
    puts(line);
    fflush(stdout);
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

static void *open_socket(int type, const char *identity)
{
    int none = 0;
    void *socket = zmq_socket(zmq_ctx_new(), type);
    must(socket != NULL, "a socket");
    zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof none);
    if (identity)
        zmq_setsockopt(socket, ZMQ_ROUTING_ID, identity, strlen(identity));
    return socket;
}

static void write_handshake(char json[JSON_ROOM], const char *own, bool is_ours, bool packs)
{
    snprintf(json, JSON_ROOM,
             "{\"clusterId\":\"%s\",\"identity\":\"%s\",\"isRelay\":true,\"isClient\":false%s%s}",
             own, own,
             is_ours ? ",\"server\":\"msgserver\",\"game\":\"game\",\"version\":\"1.2.3\"" : "",
             packs ? ",\"pack\":\"1\"" : "");
}

/* --- sending --------------------------------------------------------------------------------- */

struct load {
    void *dealer;
    const char *relay, *own;
    char handshake[JSON_ROOM];
    struct target target;    /* the port for clients, if they connect, and the sessions' keys */
    struct slice *addresses; /* of the sessions */
    struct client *clients;  /* one for each session */
    uint32_t next;
    int epoll;
    struct buffer pack;
    size_t packed;
};

struct run {
    const char *what;
    bool packs;
    uint64_t count, bodies, window;
    uint64_t sent;
};

static int send_frame(void *socket, struct slice frame, bool more)
{
    return zmq_send(socket, frame.data, frame.len, more ? ZMQ_SNDMORE : 0) < 0 ? -1 : 0;
}

static int emit(void *context, struct slice frame, bool more)
{
    return send_frame(context, frame, more);
}

static void send_single(struct load *load, const struct envelope *envelope)
{
    must(envelope_emit(envelope, 0, emit, load->dealer) == 0, "sending");
}

static void send_pack(struct load *load)
{
    if (load->packed == 0)
        return;
    struct slice pack = buffer_slice(&load->pack);
    struct envelope envelope = {.route = {slice_from_string(load->relay)},
                                .route_len = 1,
                                .messages = &pack,
                                .message_count = 1,
                                .type = ENVELOPE_PACK};
    send_single(load, &envelope);
    buffer_clear(&load->pack);
    load->packed = 0;
}

static void add_to_pack(struct load *load, const struct envelope *envelope)
{
    must(envelope_pack_put(&load->pack, envelope, 1) == 0, "packing");
    load->packed++;
    if (buffer_len(&load->pack) >= ENVELOPE_PACK_BYTES)
        send_pack(load);
}

static void shake_hands(struct load *load)
{
    struct slice json = slice_from_string(load->handshake);
    struct envelope envelope = {.route = {slice_from_string(load->relay)},
                                .route_len = 1,
                                .messages = &json,
                                .message_count = 1,
                                .return_route = {slice_from_string(load->own)},
                                .return_route_len = 1,
                                .flags = ENVELOPE_TRACK_ROUTE,
                                .type = ENVELOPE_HANDSHAKE};
    send_single(load, &envelope);
}

static void send_next(struct load *load, struct run *run)
{
    enum { BODIES_MAX = 1000 };
    static char bodies[BODIES_MAX][MESSAGE_BYTES];
    static struct slice messages[1 + BODIES_MAX];
    must(run->bodies <= BODIES_MAX, "too many bodies");
    bool nobody = strcmp(run->what, "nobody") == 0;
    bool onward = strchr(run->what, ':') != NULL;
    struct client *client = &load->clients[load->next];
    struct message message = {.kind = MESSAGE_SINGLE, .due_us = now_us()};
    messages[0] =
        nobody ? SLICE_LITERAL("sess/nobody:AbCdEfGh01234567") : load->addresses[load->next];
    for (size_t i = 0; i < run->bodies; i++) {
        if (!nobody && !onward) /* the client shall find no gap */
            message.number = ++client->ordered;
        message_write(bodies[i], &message);
        messages[1 + i] = slice_of(bodies[i], MESSAGE_BYTES);
    }
    struct envelope envelope = {.route = {slice_from_string(load->relay)},
                                .route_len = 1,
                                .messages = messages,
                                .message_count = 1 + run->bodies,
                                .type = ENVELOPE_SEND};
    if (onward)
        envelope.route[envelope.route_len++] = slice_from_string(run->what);
    load->next = (load->next + 1) % load->target.clients;
    if (run->packs)
        add_to_pack(load, &envelope);
    else
        send_single(load, &envelope);
    run->sent++;
}

/* --- waiting --------------------------------------------------------------------------------- */

/* Whole messages, the answers to handshakes among them; returns how many. */
static unsigned take_answers(const struct load *load, int timeout_ms)
{
    unsigned messages = 0;
    zmq_pollitem_t item = {.socket = load->dealer, .events = ZMQ_POLLIN};
    must(zmq_poll(&item, 1, timeout_ms) >= 0, "polling");
    zmq_msg_t frame;
    zmq_msg_init(&frame);
    while (zmq_msg_recv(&frame, load->dealer, ZMQ_DONTWAIT) >= 0)
        messages += !zmq_msg_more(&frame);
    zmq_msg_close(&frame);
    return messages;
}

static void send_counted_by_clients(struct load *load, struct run *run)
{
    uint64_t limit = now_us() + PATIENCE_US;
    must(load->target.port != 0, "clients need a port");
    arrivals_reset();
    while (arrivals()->latencies.count < run->count * run->bodies) {
        uint64_t arrived = arrivals()->latencies.count / run->bodies;
        bool may_send = run->sent < run->count && run->sent - arrived + BURST <= run->window;
        for (unsigned i = 0; may_send && i < BURST && run->sent < run->count; i++)
            send_next(load, run);
        send_pack(load);
        shards_wait(load->epoll, may_send ? 0 : WAIT_US);
        must(now_us() < limit, "it does not arrive");
    }
}

/* Two handshakes in each window. */
static void send_counted_by_handshakes(struct load *load, struct run *run)
{
    uint64_t half = run->window / 2, limit = now_us() + PATIENCE_US;
    unsigned waiting = 0;
    while (run->sent < run->count || waiting > 0) {
        if (run->sent < run->count && waiting < 2) {
            for (uint64_t i = 0; i < half && run->sent < run->count; i++)
                send_next(load, run);
            send_pack(load);
            shake_hands(load);
            waiting++;
        }
        waiting -= take_answers(load, run->sent < run->count && waiting < 2 ? 0 : 100);
        must(now_us() < limit, "it does not arrive");
    }
}

static void load_command(struct load *load, char *line)
{
    static const char SPACE[] = " ";
    char *rest;
    const char *name = strtok_r(line, SPACE, &rest);
    struct run run = {.what = strtok_r(NULL, SPACE, &rest)};
    must(name && strcmp(name, "send") == 0 && run.what, "no such command");
    const char *form = strtok_r(NULL, SPACE, &rest);
    run.packs = form && strcmp(form, "packed") == 0;
    run.count = number_of(strtok_r(NULL, SPACE, &rest));
    run.bodies = number_of(strtok_r(NULL, SPACE, &rest));
    run.window = number_of(strtok_r(NULL, SPACE, &rest));
    uint64_t began_us = now_us();
    if (strcmp(run.what, "clients") == 0)
        send_counted_by_clients(load, &run);
    else
        send_counted_by_handshakes(load, &run);
    char text[64];
    snprintf(text, sizeof text, "%.6f", (double)(now_us() - began_us) / MICROSECONDS);
    answer(text);
}

static struct slice address_of(const char *key)
{
    char *address;
    const char *home = strrchr(key, '~');
    int len = asprintf(&address, "sess/%.*s", (int)(home ? home - key : 0), key);
    must(home && len > 0, "a session key");
    return slice_of(address, (size_t)len);
}

static void read_sessions(struct load *load)
{
    struct target *target = &load->target;
    const char *key;
    while ((key = read_line()) && *key) {
        size_t room = target->clients + 1;
        load->addresses = reallocarray(load->addresses, room, sizeof *load->addresses);
        target->session_keys = reallocarray(target->session_keys, room, sizeof(struct slice));
        char *copy = strdup(key);
        must(load->addresses && target->session_keys && copy, "reading session keys");
        load->addresses[target->clients] = address_of(key);
        target->session_keys[target->clients++] = slice_from_string(copy);
    }
    load->clients = calloc(target->clients, sizeof *load->clients);
    must(load->clients != NULL, "reading session keys");
}

/* They confirm whatever comes, at once. */
static void open_clients(struct load *load, const char *port)
{
    static struct client_settings settings = {.confirm_after = 1};
    client_settings = &settings;
    load->target.port = (uint16_t)number_of(port);
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    arrivals_start(load->target.clients);
    shards_open_clients(load->clients, 0, load->target.clients, &load->target, load->epoll);
}

static int run_load(int argc, char **argv)
{
    if (argc < 6)
        errx(EXIT_FAILURE, "usage: bench-mesh load ENDPOINT TARGET OWN KIND [PORT]");
    static struct load load;
    char *line;
    bool is_ours = strcmp(argv[5], "ours") == 0;
    load.relay = argv[3];
    load.own = argv[4];
    load.target = (struct target){.adapter = &adapter_msgserver, .transport = TRANSPORT_WEBSOCKET};
    write_handshake(load.handshake, load.own, is_ours, is_ours);
    load.dealer = open_socket(ZMQ_DEALER, load.own);
    must(zmq_connect(load.dealer, argv[2]) == 0, "connecting");
    read_sessions(&load);
    if (argc > 6)
        open_clients(&load, argv[6]);
    shake_hands(&load);
    while (is_ours && take_answers(&load, -1) == 0)
        continue;
    answer("ready");
    while ((line = read_line()))
        load_command(&load, line);
    return EXIT_SUCCESS;
}

/* --- receiving ------------------------------------------------------------------------------- */

static void *open_router(const char *endpoint)
{
    void *router = open_socket(ZMQ_ROUTER, NULL);
    char bound[256];
    size_t room = sizeof bound;
    must(zmq_bind(router, endpoint) == 0, endpoint);
    must(zmq_getsockopt(router, ZMQ_LAST_ENDPOINT, bound, &room) == 0, endpoint);
    answer(bound);
    return router;
}

static bool is_type(zmq_msg_t *meta, enum envelope_type type)
{
    const char *name = envelope_type_name(type);
    return zmq_msg_size(meta) == 1 + strlen(name) &&
           memcmp((const char *)zmq_msg_data(meta) + 1, name, strlen(name)) == 0;
}

static _Noreturn void run_sink(void)
{
    void *router = open_router("tcp://127.0.0.1:*");
    zmq_msg_t sender, frame;
    zmq_msg_init(&sender);
    zmq_msg_init(&frame);
    for (;;) {
        must(zmq_msg_recv(&sender, router, 0) >= 0, "receiving");
        do
            must(zmq_msg_recv(&frame, router, 0) >= 0, "receiving");
        while (zmq_msg_more(&frame));
        if (is_type(&frame, ENVELOPE_HANDSHAKE))
            must(zmq_msg_send(&sender, router, ZMQ_SNDMORE) >= 0 &&
                     send_frame(router, SLICE_EMPTY, false) == 0,
                 "answering");
    }
}

static size_t count_packed(zmq_msg_t *frame)
{
    static struct frame_list frames;
    struct slice pack = slice_of(zmq_msg_data(frame), zmq_msg_size(frame));
    size_t count = 0;
    int rc;
    while ((rc = envelope_pack_take(&pack, &frames)) > 0)
        count++;
    must(rc == 0, "a broken pack");
    return count;
}

static void answer_handshake(void *router, zmq_msg_t *sender, const char *json, const char *own)
{
    struct slice message = slice_from_string(json);
    struct envelope envelope = {.route = {slice_of(zmq_msg_data(sender), zmq_msg_size(sender))},
                                .route_len = 1,
                                .messages = &message,
                                .message_count = 1,
                                .return_route = {slice_from_string(own)},
                                .return_route_len = 1,
                                .flags = ENVELOPE_TRACK_ROUTE,
                                .type = ENVELOPE_HANDSHAKE};
    must(envelope_emit(&envelope, 0, emit, router) == 0, "answering");
}

/* "sender | TARGET | <> | message | … | meta": the message, if it is a pack, is the fourth. */
static size_t receive_envelopes(void *router, const char *json, const char *own)
{
    enum { KEPT = 4 };
    zmq_msg_t frames[KEPT], *last;
    size_t count = 0, envelopes = 1;
    for (size_t i = 0; i < KEPT; i++)
        zmq_msg_init(&frames[i]);
    zmq_msg_t rest;
    zmq_msg_init(&rest);
    do {
        last = count < KEPT ? &frames[count] : &rest;
        must(zmq_msg_recv(last, router, 0) >= 0, "receiving");
        count++;
    } while (zmq_msg_more(last));
    if (is_type(last, ENVELOPE_HANDSHAKE)) {
        answer_handshake(router, &frames[0], json, own);
        envelopes = 0;
    } else if (is_type(last, ENVELOPE_PACK)) {
        envelopes = count_packed(&frames[KEPT - 1]);
    }
    for (size_t i = 0; i < KEPT; i++)
        zmq_msg_close(&frames[i]);
    zmq_msg_close(&rest);
    return envelopes;
}

static int run_peer(int argc, char **argv)
{
    if (argc != 6)
        errx(EXIT_FAILURE, "usage: bench-mesh peer OWN HOST PORT FORM");
    char json[JSON_ROOM], endpoint[128];
    write_handshake(json, argv[2], true, strcmp(argv[5], "packed") == 0);
    snprintf(endpoint, sizeof endpoint, "tcp://%s:%s", argv[3], argv[4]);
    void *router = open_router(endpoint);
    uint64_t arrived = 0, wanted = 0;
    zmq_pollitem_t items[] = {{.socket = router, .events = ZMQ_POLLIN},
                              {.fd = STDIN_FILENO, .events = ZMQ_POLLIN}};
    for (;;) {
        must(zmq_poll(items, 2, -1) >= 0, "polling");
        if (items[0].revents)
            arrived += receive_envelopes(router, json, argv[2]);
        if (items[1].revents) {
            char *line = read_line();
            if (!line)
                return EXIT_SUCCESS;
            wanted = number_of(line);
        }
        if (wanted > 0 && arrived >= wanted) {
            must(arrived == wanted, "more arrived than was sent");
            arrived = wanted = 0;
            answer("arrived");
        }
    }
}

int main(int argc, char **argv)
{
    const char *role = argc > 1 ? argv[1] : "";
    if (strcmp(role, "sink") == 0)
        run_sink();
    if (strcmp(role, "load") == 0)
        return run_load(argc, argv);
    if (strcmp(role, "peer") == 0)
        return run_peer(argc, argv);
    errx(EXIT_FAILURE, "usage: bench-mesh sink | load … | peer …");
}
