/* bench-crowd PORT SOURCE FIRST COUNT SOCKET|PATH: many silent WebSocket clients in little memory,
 * for what connections cost. They connect to 127.0.0.1:PORT from the address SOURCE and those after
 * it, because an address has but 28,000 ports, and free ones are found slowly among many; with the
 * SOCKET of a backend API as clients of sessions player-FIRST …, else as GET PATH<number>.
 * Commands come on standard input, one a line; each is answered by a line of JSON:
 *
 *   create            make the sessions
 *   greet             send each session a message, which its client is to confirm once it is open
 *   open AT_ONCE      open those that are closed, so many at a time
 *   close             close all
 *   delete            end the sessions
 *   lost N            wait until the server has closed that many
 *   quit
 *
 * A connection that is refused, reset, or answered otherwise than it should be is a failure, and
 * tried again. */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "codecs/http_response.h"

enum {
    EVENTS_AT_ONCE = 512,
    READ_ROOM = 4096,
    FAILURES_MAX = 100000,
    PIPELINED = 100, /* requests to the backend API */
    COMMAND_ROOM = 64,
    PER_ADDRESS = 4000
};

struct client {
    char *path;
    int fd; /* -1: closed */
    enum { CLOSED, CONNECTING, ASKED, UPGRADED, OPEN } state;
};

static struct {
    struct sockaddr_in server;
    in_addr_t source;    /* in host order */
    const char *backend; /* or NULL */
    unsigned first;
    size_t count, next, opening, open, failures;
    bool greeted;
    int epoll;
    struct client *clients;
} crowd;

/* --- sessions --------------------------------------------------------------------------------- */

static void must(bool done, const char *what)
{
    if (!done)
        err(EXIT_FAILURE, "%s", what);
}

static int connect_backend(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", crowd.backend);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0,
         "the backend API");
    return fd;
}

static void write_all(int fd, struct slice bytes)
{
    while (bytes.len > 0) {
        ssize_t written = write(fd, bytes.data, bytes.len);
        must(written > 0, "writing a request");
        bytes = slice_of(bytes.data + written, bytes.len - (size_t)written);
    }
}

static void put_request(struct buffer *out, const char *path, struct slice body)
{
    must(buffer_printf(out, "POST %s HTTP/1.1\r\nHost: b\r\nContent-Length: %zu\r\n\r\n", path,
                       body.len) == 0 &&
             buffer_append_slice(out, body) == 0,
         "no memory");
}

/* The text between the next `from` in the input and the next `to`; reads until it is there. */
static char *next_text(int fd, struct buffer *in, const char *from, const char *to)
{
    for (;;) {
        must(buffer_append(in, "", 1) == 0, "no memory"); /* a string, for strstr() */
        buffer_truncate(in, buffer_len(in) - 1);
        char *bytes = buffer_bytes(in);
        char *start = bytes ? strstr(bytes, from) : NULL;
        char *end = start ? strstr(start + strlen(from), to) : NULL;
        if (end) {
            start += strlen(from);
            char *text = strndup(start, (size_t)(end - start));
            must(text, "no memory");
            buffer_consume(in, (size_t)(end - bytes));
            return text;
        }
        char *room = buffer_reserve(in, READ_ROOM);
        ssize_t got = room ? read(fd, room, READ_ROOM) : -1;
        must(got > 0, "reading the backend's answer");
        buffer_added(in, (size_t)got);
    }
}

static char *path_of_session(const char *key)
{
    struct buffer path = {0};
    must(buffer_append_string(&path, "/msgstream?sessionKey=") == 0, "no memory");
    for (; *key; key++)
        must((strchr(":~", *key) ? buffer_printf(&path, "%%%02X", *key)
                                 : buffer_append(&path, key, 1)) == 0,
             "no memory");
    must(buffer_append(&path, "", 1) == 0, "no memory");
    char *copy = strdup(buffer_bytes(&path));
    buffer_free(&path);
    return copy;
}

static void create_sessions(void)
{
    int fd = connect_backend();
    struct buffer in = {0}, out = {0};
    for (size_t i = 0; i < crowd.count; i += PIPELINED) {
        size_t end = i + PIPELINED < crowd.count ? i + PIPELINED : crowd.count;
        for (size_t j = i; j < end; j++) {
            char body[96];
            int len = snprintf(body, sizeof body, "{\"actorId\":\"player-%zu\",\"ttl\":86400}",
                               crowd.first + j);
            put_request(&out, "/sessions", slice_of(body, (size_t)len));
        }
        write_all(fd, buffer_slice(&out));
        buffer_clear(&out);
        for (size_t j = i; j < end; j++) {
            char *key = next_text(fd, &in, "\"sessionKey\":\"", "\"");
            free(crowd.clients[j].path);
            crowd.clients[j].path = path_of_session(key);
            must(crowd.clients[j].path, "no memory");
            free(key);
        }
    }
    buffer_free(&in);
    buffer_free(&out);
    close(fd);
}

/* A key as it was created, from its client's path. */
static void put_key(struct buffer *out, const char *path)
{
    for (path = strchr(path, '=') + 1; *path; path++) {
        char byte = *path;
        if (byte == '%') {
            byte = path[1] == '7' ? '~' : ':';
            path += 2;
        }
        must(buffer_append(out, &byte, 1) == 0, "no memory");
    }
}

static void greet(void)
{
    int fd = connect_backend();
    struct buffer in = {0}, out = {0}, body = {0};
    for (size_t i = 0; i < crowd.count; i += PIPELINED) {
        must(buffer_append_string(&body, "{\"message\":[[\"hello\"]],\"to\":[") == 0, "no memory");
        for (size_t j = i; j < i + PIPELINED && j < crowd.count; j++) {
            must(buffer_append_string(&body, j > i ? ",\"" : "\"") == 0, "no memory");
            put_key(&body, crowd.clients[j].path);
            must(buffer_append_string(&body, "\"") == 0, "no memory");
        }
        must(buffer_append_string(&body, "]}") == 0, "no memory");
        put_request(&out, "/messages", buffer_slice(&body));
        buffer_clear(&body);
        write_all(fd, buffer_slice(&out));
        buffer_clear(&out);
        free(next_text(fd, &in, "HTTP/1.1 200", "]}\n"));
    }
    buffer_free(&in);
    buffer_free(&out);
    buffer_free(&body);
    close(fd);
    crowd.greeted = true;
}

/* The keys in the paths are written as the API wants them, too. */
static void delete_sessions(void)
{
    int fd = connect_backend();
    struct buffer in = {0}, out = {0};
    for (size_t i = 0; i < crowd.count; i += PIPELINED) {
        size_t end = i + PIPELINED < crowd.count ? i + PIPELINED : crowd.count;
        for (size_t j = i; j < end; j++)
            must(buffer_printf(&out, "DELETE /sessions/%s HTTP/1.1\r\nHost: b\r\n\r\n",
                               strchr(crowd.clients[j].path, '=') + 1) == 0,
                 "no memory");
        write_all(fd, buffer_slice(&out));
        buffer_clear(&out);
        for (size_t j = i; j < end; j++)
            free(next_text(fd, &in, "HTTP/1.1 20", "\r\n\r\n"));
    }
    buffer_free(&in);
    buffer_free(&out);
    close(fd);
}

/* --- connections ------------------------------------------------------------------------------ */

static void forget(struct client *client)
{
    crowd.opening -= client->state != OPEN && client->state != CLOSED;
    crowd.open -= client->state == OPEN;
    client->state = CLOSED;
    if (client->fd >= 0)
        close(client->fd);
    client->fd = -1;
}

static void fail(struct client *client, const char *what)
{
    if (++crowd.failures <= 5)
        warn("%s", what);
    if (crowd.failures > FAILURES_MAX)
        errx(EXIT_FAILURE, "too many failures");
    forget(client);
    crowd.next = 0; /* it is looked for again */
}

static void start_client(struct client *client)
{
    static const int ON = 1;
    in_addr_t address = crowd.source + (in_addr_t)((client - crowd.clients) / PER_ADDRESS);
    struct sockaddr_in source = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(address)};
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    must(client->fd >= 0, "a socket");
    /* The port is chosen when the peer is known, so that it is only unique with it. */
    setsockopt(client->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &ON, sizeof ON);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = client};
    client->state = CONNECTING;
    crowd.opening++;
    if (bind(client->fd, (struct sockaddr *)&source, sizeof source) != 0 ||
        (connect(client->fd, (struct sockaddr *)&crowd.server, sizeof crowd.server) != 0 &&
         errno != EINPROGRESS) ||
        epoll_ctl(crowd.epoll, EPOLL_CTL_ADD, client->fd, &event) != 0)
        fail(client, "connecting");
}

static void ask(struct client *client)
{
    char request[512];
    int len = snprintf(request, sizeof request,
                       "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\n"
                       "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                       "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                       client->path);
    client->state = ASKED;
    if (send(client->fd, request, (size_t)len, MSG_NOSIGNAL) != len)
        fail(client, "asking for an upgrade");
}

static void has_opened(struct client *client)
{
    client->state = OPEN;
    crowd.opening--;
    crowd.open++;
}

static const char *head_end(const char *bytes, size_t len)
{
    const char *end = memmem(bytes, len, "\r\n\r\n", 4);
    return end ? end + 4 : NULL;
}

/* The greeting is message 1, and confirmed as a browser would. */
static void confirm(struct client *client)
{
    static const char ONE[] = {(char)0x81, (char)0x81, 0, 0, 0, 0, '1'};
    if (send(client->fd, ONE, sizeof ONE, MSG_NOSIGNAL) != sizeof ONE)
        fail(client, "confirming");
    else
        has_opened(client);
}

static void on_bytes(struct client *client, const char *bytes, size_t len)
{
    if (client->state == ASKED) {
        const char *rest = head_end(bytes, len);
        if (len < 12 || memcmp(bytes, "HTTP/1.1 101", 12) != 0 || !rest) {
            warnx("%.*s", (int)len, bytes);
            fail(client, "an answer that is no upgrade");
            return;
        }
        len -= (size_t)(rest - bytes);
        bytes = rest;
        client->state = UPGRADED;
        if (!crowd.greeted)
            has_opened(client);
    }
    if (client->state == UPGRADED && len > 0) {
        if (memmem(bytes, len, "{\"1\":", 5))
            confirm(client);
        else
            fail(client, "another message than the greeting");
    } else if (len > 0) {
        fail(client, "a message to a silent client");
    }
}

static void on_event(struct client *client, uint32_t events)
{
    char bytes[READ_ROOM];
    if (client->state == CLOSED)
        return;
    if (client->state == CONNECTING && (events & EPOLLOUT))
        ask(client);
    if (client->state == CLOSED || !(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        return;
    ssize_t got = recv(client->fd, bytes, sizeof bytes, 0);
    if (got > 0)
        on_bytes(client, bytes, (size_t)got);
    else if (got < 0 && errno == EAGAIN)
        return;
    else if (client->state == OPEN)
        forget(client); /* the server closed it: lost, but no failure of opening */
    else
        fail(client, got == 0 ? "closed while opening" : "reset while opening");
}

static void turn(int wait_ms)
{
    struct epoll_event events[EVENTS_AT_ONCE];
    int count = epoll_wait(crowd.epoll, events, EVENTS_AT_ONCE, wait_ms);
    for (int i = 0; i < count; i++)
        on_event(events[i].data.ptr, events[i].events);
}

static void open_all(size_t at_once)
{
    crowd.next = 0;
    while (crowd.open < crowd.count) {
        while (crowd.opening < at_once && crowd.next < crowd.count) {
            struct client *client = &crowd.clients[crowd.next++];
            if (client->state == CLOSED)
                start_client(client);
        }
        turn(1000);
        if (crowd.next == crowd.count && crowd.opening == 0)
            crowd.next = 0; /* some were lost meanwhile */
    }
}

static void close_all(void)
{
    for (size_t i = 0; i < crowd.count; i++)
        forget(&crowd.clients[i]);
}

/* --- commands --------------------------------------------------------------------------------- */

static bool run(const char *command)
{
    size_t number = 0;
    if (strncmp(command, "create", 6) == 0)
        create_sessions();
    else if (strncmp(command, "delete", 6) == 0)
        delete_sessions();
    else if (strncmp(command, "greet", 5) == 0)
        greet();
    else if (sscanf(command, "open %zu", &number) == 1)
        open_all(number);
    else if (strncmp(command, "close", 5) == 0)
        close_all();
    else if (sscanf(command, "lost %zu", &number) == 1)
        while (crowd.count - crowd.open < number)
            turn(1000);
    else
        return false;
    return true;
}

static void start(char **argv)
{
    crowd.server = (struct sockaddr_in){.sin_family = AF_INET,
                                        .sin_port = htons((uint16_t)atoi(argv[1])),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct in_addr source;
    if (inet_pton(AF_INET, argv[2], &source) != 1)
        errx(EXIT_FAILURE, "no address: %s", argv[2]);
    crowd.source = ntohl(source.s_addr);
    crowd.first = (unsigned)atoi(argv[3]);
    crowd.count = (size_t)atol(argv[4]);
    crowd.clients = calloc(crowd.count, sizeof *crowd.clients);
    crowd.epoll = epoll_create1(EPOLL_CLOEXEC);
    must(crowd.clients && crowd.epoll >= 0, "starting");
    for (size_t i = 0; i < crowd.count; i++)
        crowd.clients[i].fd = -1;
}

/* A file's path that exists is the backend's socket. */
static void choose_paths(const char *argument)
{
    if (access(argument, F_OK) == 0) {
        crowd.backend = argument;
        return;
    }
    for (size_t i = 0; i < crowd.count; i++)
        must(asprintf(&crowd.clients[i].path, "%s%zu", argument, crowd.first + i) > 0, "no memory");
}

int main(int argc, char **argv)
{
    char command[COMMAND_ROOM];
    if (argc != 6)
        errx(EXIT_FAILURE, "usage: bench-crowd PORT SOURCE FIRST COUNT SOCKET-OR-PATH");
    start(argv);
    choose_paths(argv[5]);
    setvbuf(stdout, NULL, _IOLBF, 0);
    while (fgets(command, sizeof command, stdin)) {
        size_t failures = crowd.failures;
        uint64_t start_us = clock_monotonic_us();
        if (!run(command))
            break;
        printf("{\"open\":%zu,\"failures\":%zu,\"ms\":%.1f}\n", crowd.open,
               crowd.failures - failures, (double)(clock_monotonic_us() - start_us) / 1000);
    }
    return EXIT_SUCCESS;
}
