/* limit-server PORT PUBLISH [coalesce] [read]: what the kernel allows. It frames what its publisher
 * gives it and sends that to WebSockets, and does nothing else: the least that any server does.
 *
 * Clients connect to 127.0.0.1:PORT with the path /N; the publisher connects to the Unix socket
 * PUBLISH and writes records (record.h). By default each message is one send(). With `coalesce`,
 * all that has come for a client goes in one. With `read`, it reads what clients send, and throws
 * it away. It says "ready" when it listens, and ends with its standard input. */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/units.h"
#include "bench/limit/record.h"
#include "codecs/websocket.h"

enum { CLIENTS_MAX = 20000, READ_BYTES = 1 << 20, HEAD_BYTES = 2048, EVENTS_AT_ONCE = 256 };

/* What an event is about: one of these, or the number of a client. */
enum { ON_LISTENER = CLIENTS_MAX, ON_PUBLISHERS, ON_PUBLISHER, ON_STDIN };

struct client {
    int fd;                /* -1: none */
    struct buffer waiting; /* frames that have not left */
    bool is_blocked;       /* the socket takes no more */
};

static struct {
    int epoll, listener, publishers, publisher;
    bool coalesces, reads;
    struct buffer in; /* of the publisher */
    struct client clients[CLIENTS_MAX];
    uint32_t count;              /* clients are those below it */
    uint32_t dirty[CLIENTS_MAX]; /* coalescing: clients that frames wait for alone */
    uint32_t dirty_count;
    struct buffer for_all; /* coalescing: frames that wait for all */
} server;

static void watch(int fd, uint32_t events, uint32_t subject)
{
    struct epoll_event event = {.events = events, .data.u32 = subject};
    if (epoll_ctl(server.epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        err(EXIT_FAILURE, "epoll_ctl");
}

static void put(struct buffer *out, const void *bytes, size_t len)
{
    if (buffer_append(out, bytes, len) != 0)
        err(EXIT_FAILURE, "no memory");
}

/* --- sending ---------------------------------------------------------------------------------- */

/* Sends, and keeps what the socket does not take. */
static void send_frames(struct client *client, const char *bytes, size_t len)
{
    ssize_t sent = 0;
    if (!client->is_blocked) {
        sent = send(client->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN)
            err(EXIT_FAILURE, "a client is gone");
        if (sent < 0)
            sent = 0;
    }
    if ((size_t)sent < len) {
        put(&client->waiting, bytes + sent, len - (size_t)sent);
        client->is_blocked = true;
    }
}

static void flush(struct client *client)
{
    struct buffer waiting = client->waiting;
    client->waiting = (struct buffer){0};
    client->is_blocked = false;
    send_frames(client, buffer_bytes(&waiting), buffer_len(&waiting));
    buffer_free(&waiting);
}

static void flush_all(void)
{
    for (uint32_t i = 0; i < server.dirty_count; i++) {
        struct client *client = &server.clients[server.dirty[i]];
        if (!client->is_blocked && buffer_len(&client->waiting) > 0)
            flush(client);
    }
    server.dirty_count = 0;
    if (buffer_len(&server.for_all) > 0)
        for (uint32_t i = 0; i < server.count; i++)
            send_frames(&server.clients[i], buffer_bytes(&server.for_all),
                        buffer_len(&server.for_all));
    buffer_clear(&server.for_all);
}

static void coalesce(uint32_t to, const char *frame, size_t len)
{
    if (to == RECORD_TO_ALL) {
        put(&server.for_all, frame, len);
        return;
    }
    if (buffer_len(&server.for_all) > 0)
        flush_all(); /* what came first leaves first */
    struct client *client = &server.clients[to];
    if (buffer_len(&client->waiting) == 0)
        server.dirty[server.dirty_count++] = to;
    put(&client->waiting, frame, len);
    if (server.dirty_count == CLIENTS_MAX)
        flush_all();
}

/* The frame stands in the publisher's buffer, in place of the record before its payload. */
static void publish(uint32_t to, char *payload, size_t len)
{
    char *frame = payload - 2;
    if (len > 125) {
        frame -= 2;
        frame[1] = 126;
        frame[2] = (char)(len >> 8);
        frame[3] = (char)len;
    } else {
        frame[1] = (char)len;
    }
    frame[0] = (char)(0x80 | WEBSOCKET_TEXT);
    size_t frame_len = len + (size_t)(payload - frame);
    if (to != RECORD_TO_ALL && to >= server.count)
        errx(EXIT_FAILURE, "a message for client %u, who is not there", to);
    if (server.coalesces)
        coalesce(to, frame, frame_len);
    else if (to != RECORD_TO_ALL)
        send_frames(&server.clients[to], frame, frame_len);
    else
        for (uint32_t i = 0; i < server.count; i++)
            send_frames(&server.clients[i], frame, frame_len);
}

/* --- the publisher ---------------------------------------------------------------------------- */

static void take_records(void)
{
    for (;;) {
        struct record record;
        size_t there = buffer_len(&server.in);
        char *bytes = buffer_bytes(&server.in);
        if (there < sizeof record)
            break;
        memcpy(&record, bytes, sizeof record);
        if (record.len > UINT16_MAX)
            errx(EXIT_FAILURE, "a record of %u bytes", record.len);
        if (there < sizeof record + record.len)
            break;
        publish(record.to, bytes + sizeof record, record.len);
        server.in.start += sizeof record + record.len;
    }
    if (buffer_len(&server.in) == 0)
        buffer_clear(&server.in); /* its memory is used again */
    flush_all();
}

static void on_publisher(void)
{
    char *to = buffer_reserve(&server.in, READ_BYTES);
    if (!to)
        err(EXIT_FAILURE, "no memory");
    ssize_t got = recv(server.publisher, to, READ_BYTES, MSG_DONTWAIT);
    if (got < 0 && errno != EAGAIN)
        err(EXIT_FAILURE, "the publisher");
    if (got > 0) {
        buffer_added(&server.in, (size_t)got);
        take_records();
    } else if (got == 0) {
        close(server.publisher);
    }
}

static void on_publishers(void)
{
    server.publisher = accept4(server.publishers, NULL, NULL, SOCK_CLOEXEC);
    if (server.publisher < 0)
        err(EXIT_FAILURE, "accept");
    watch(server.publisher, EPOLLIN, ON_PUBLISHER);
}

/* --- clients ---------------------------------------------------------------------------------- */

/* Clients send a whole head at once, and wait for the answer. */
static void shake_hands(int fd)
{
    static const char FIELD[] = "Sec-WebSocket-Key: ";
    char head[HEAD_BYTES], accept[WEBSOCKET_ACCEPT_ROOM], answer[256];
    ssize_t got = recv(fd, head, sizeof head - 1, 0);
    if (got < 0)
        err(EXIT_FAILURE, "a client's request");
    head[got] = '\0';
    char *key = strstr(head, FIELD), *number_end;
    unsigned long number =
        strncmp(head, "GET /", 5) == 0 ? strtoul(head + 5, &number_end, 10) : CLIENTS_MAX;
    if (!key || number >= CLIENTS_MAX ||
        !websocket_accept(slice_of(key + sizeof FIELD - 1, 24), accept))
        errx(EXIT_FAILURE, "a client asks: %s", head);
    int len = snprintf(answer, sizeof answer,
                       "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
                       "Upgrade: websocket\r\nSec-WebSocket-Accept: %s\r\n\r\n",
                       accept);
    if (send(fd, answer, (size_t)len, MSG_NOSIGNAL) != len)
        err(EXIT_FAILURE, "answering a client");
    server.clients[number] = (struct client){.fd = fd};
    if (number >= server.count)
        server.count = (uint32_t)number + 1;
    watch(fd, (server.reads ? EPOLLIN : 0) | EPOLLOUT | EPOLLET, (uint32_t)number);
}

static void on_listener(void)
{
    int fd = accept4(server.listener, NULL, NULL, SOCK_CLOEXEC), on = 1;
    if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0)
        err(EXIT_FAILURE, "accept");
    shake_hands(fd);
}

static void on_client(struct client *client, uint32_t events)
{
    static char thrown_away[65536];
    if (events & EPOLLOUT && client->is_blocked)
        flush(client);
    if (events & EPOLLIN && server.reads)
        while (recv(client->fd, thrown_away, sizeof thrown_away, MSG_DONTWAIT) ==
               sizeof thrown_away)
            ;
}

/* --- the loop --------------------------------------------------------------------------------- */

static void on_event(const struct epoll_event *event)
{
    switch (event->data.u32) {
    case ON_LISTENER:
        on_listener();
        break;
    case ON_PUBLISHERS:
        on_publishers();
        break;
    case ON_PUBLISHER:
        on_publisher();
        break;
    case ON_STDIN:
        exit(EXIT_SUCCESS);
    default:
        on_client(&server.clients[event->data.u32], event->events);
    }
}

static void listen_for_clients(const char *port_text)
{
    uint64_t port;
    if (parse_u64(slice_from_string(port_text), &port) != 0 || port == 0 || port > UINT16_MAX)
        errx(EXIT_FAILURE, "not a port: %s", port_text);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    server.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (server.listener < 0 ||
        setsockopt(server.listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(server.listener, (const struct sockaddr *)&address, sizeof address) != 0 ||
        listen(server.listener, SOMAXCONN) != 0)
        err(EXIT_FAILURE, "listening on port %s", port_text);
    watch(server.listener, EPOLLIN, ON_LISTENER);
}

static void listen_for_publishers(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (len >= sizeof address.sun_path)
        errx(EXIT_FAILURE, "the path %s is too long", path);
    memcpy(address.sun_path, path, len);
    server.publishers = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (server.publishers < 0 ||
        bind(server.publishers, (const struct sockaddr *)&address, sizeof address) != 0 ||
        listen(server.publishers, 1) != 0)
        err(EXIT_FAILURE, "listening on %s", path);
    watch(server.publishers, EPOLLIN, ON_PUBLISHERS);
}

int main(int argc, char **argv)
{
    if (argc < 3)
        errx(EXIT_FAILURE, "usage: limit-server PORT PUBLISH [coalesce] [read]");
    for (int i = 3; i < argc; i++) {
        server.coalesces |= strcmp(argv[i], "coalesce") == 0;
        server.reads |= strcmp(argv[i], "read") == 0;
    }
    server.epoll = epoll_create1(EPOLL_CLOEXEC);
    listen_for_clients(argv[1]);
    listen_for_publishers(argv[2]);
    watch(STDIN_FILENO, EPOLLIN, ON_STDIN);
    puts("ready");
    fflush(stdout);
    for (;;) {
        struct epoll_event events[EVENTS_AT_ONCE];
        int count = epoll_wait(server.epoll, events, EVENTS_AT_ONCE, -1);
        if (count < 0 && errno != EINTR)
            err(EXIT_FAILURE, "epoll_wait");
        for (int i = 0; i < count; i++)
            on_event(&events[i]);
    }
}
