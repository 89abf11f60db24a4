#include "client_harness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static int listen_on_loopback(unsigned short *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, len), 0);
    ck_assert_int_eq(listen(fd, 128), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

static void start(struct harness *harness, va_list pairs)
{
    struct settings settings;
    const char *key;
    *harness = (struct harness){.loop = ev_loop_new(0)};
    ck_assert_int_eq(settings_init(&settings), 0);
    while ((key = va_arg(pairs, const char *)))
        ck_assert_int_eq(setting_set(&settings, setting_row_find(key),
                                     slice_from_string(va_arg(pairs, const char *))),
                         0);
    harness->worker = client_worker_new(harness->loop, 7, &settings);
    ck_assert_ptr_nonnull(harness->worker);
    struct acceptor *acceptor = harness->worker->acceptor;
    int client = listen_on_loopback(&harness->client_port);
    int backend = listen_on_loopback(&harness->backend_port);
    ck_assert_int_eq(acceptor_add(acceptor, client, LISTENER_CLIENT, 1), 0);
    ck_assert_int_eq(acceptor_add(acceptor, backend, LISTENER_BACKEND, 1), 0);
}

void harness_link(struct harness *harness)
{
    int fd = fake_relay_open(&harness->relay, harness->loop);
    ck_assert_int_eq(relay_link_connect(harness->worker->relay, fd), 0);
}

void harness_start(struct harness *harness, ...)
{
    va_list pairs;
    va_start(pairs, harness);
    start(harness, pairs);
    va_end(pairs);
    harness_link(harness);
}

void harness_start_alone(struct harness *harness, ...)
{
    va_list pairs;
    va_start(pairs, harness);
    start(harness, pairs);
    va_end(pairs);
}

void harness_end(struct harness *harness)
{
    client_worker_free(harness->worker);
    if (harness->relay.channel)
        fake_relay_close(&harness->relay);
    ev_loop_destroy(harness->loop);
}

static bool *stopped_flag;

static void note_stopped(struct client_worker *worker)
{
    (void)worker;
    *stopped_flag = true;
}

void harness_stop_worker(struct harness *harness)
{
    stopped_flag = &harness->stopped;
    client_worker_stop(harness->worker, note_stopped);
}

static struct peer connect_to(struct harness *harness, unsigned short port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct peer peer = {.harness = harness,
                        .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    ck_assert_int_ge(peer.fd, 0);
    int connected = connect(peer.fd, (struct sockaddr *)&address, sizeof address);
    ck_assert(connected == 0 || errno == EINPROGRESS);
    return peer;
}

struct peer peer_connect(struct harness *harness)
{
    return connect_to(harness, harness->client_port);
}

struct peer peer_connect_backend(struct harness *harness)
{
    return connect_to(harness, harness->backend_port);
}

void peer_close(struct peer *peer)
{
    close(peer->fd);
    buffer_free(&peer->got);
    peer->fd = -1;
}

void peer_send(struct peer *peer, struct slice bytes)
{
    uint64_t limit = clock_monotonic_ms() + 10000;
    while (bytes.len > 0) {
        ssize_t sent = send(peer->fd, bytes.data, bytes.len, MSG_NOSIGNAL);
        ck_assert_msg(sent >= 0 || errno == EAGAIN, "send: %s", strerror(errno));
        if (sent > 0)
            bytes = slice_of(bytes.data + sent, bytes.len - (size_t)sent);
        else
            fake_relay_run_once(peer->harness->loop);
        ck_assert_msg(clock_monotonic_ms() < limit, "the worker reads no more");
    }
}

void peer_say(struct peer *peer, const char *text)
{
    peer_send(peer, slice_from_string(text));
}

void peer_pump(struct peer *peer)
{
    ssize_t got;
    do {
        char *room = buffer_reserve(&peer->got, 65536);
        ck_assert_ptr_nonnull(room);
        got = recv(peer->fd, room, 65536, 0);
        if (got > 0)
            buffer_added(&peer->got, (size_t)got);
        else if (got == 0 || errno != EAGAIN)
            peer->eof = true;
    } while (got > 0);
}

bool peer_got(struct peer *peer, const char *part)
{
    peer_pump(peer);
    struct slice got = buffer_slice(&peer->got);
    return got.len > 0 && memmem(got.data, got.len, part, strlen(part));
}

void peer_forget(struct peer *peer)
{
    buffer_free(&peer->got);
}

void peer_expect(struct peer *peer, const char *part)
{
    uint64_t limit = clock_monotonic_ms() + 10000;
    while (!peer_got(peer, part)) {
        ck_assert_msg(clock_monotonic_ms() < limit && !peer->eof, "wanted \"%s\", got \"%.*s\"%s",
                      part, (int)buffer_len(&peer->got), buffer_bytes(&peer->got),
                      peer->eof ? " and EOF" : "");
        fake_relay_run_once(peer->harness->loop);
    }
    peer_forget(peer);
}

void peer_expect_exactly(struct peer *peer, struct slice text)
{
    LOOP_UNTIL(peer->harness->loop,
               (peer_pump(peer), buffer_len(&peer->got) >= text.len || peer->eof));
    struct slice got = buffer_slice(&peer->got);
    ck_assert_msg(slice_equal(got, text), "wanted \"%.*s\", got \"%.*s\"", (int)text.len, text.data,
                  (int)got.len, got.data);
    peer_forget(peer);
}

void peer_expect_eof(struct peer *peer)
{
    LOOP_UNTIL(peer->harness->loop, (peer_pump(peer), peer->eof));
}

void peer_send_frame(struct peer *peer, int opcode, struct slice payload)
{
    static const char MASK[4] = {0x11, 0x22, 0x33, 0x44};
    struct buffer frame = {0};
    char head[4] = {(char)(0x80 | opcode), (char)(0x80 | payload.len)};
    size_t head_len = 2;
    if (payload.len > 125) {
        ck_assert_uint_le(payload.len, 65535);
        head[1] = (char)(0x80 | 126);
        head[2] = (char)(payload.len >> 8);
        head[3] = (char)payload.len;
        head_len = 4;
    }
    buffer_append(&frame, head, head_len);
    buffer_append(&frame, MASK, sizeof MASK);
    for (size_t i = 0; i < payload.len; i++) {
        char masked = (char)(payload.data[i] ^ MASK[i % 4]);
        buffer_append(&frame, &masked, 1);
    }
    peer_send(peer, buffer_slice(&frame));
    buffer_free(&frame);
}

struct peer websocket_open(struct harness *harness, const char *query)
{
    struct peer peer = peer_connect(harness);
    char request[512];
    snprintf(request, sizeof request,
             "GET /msgstream?%s HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
             "Connection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n"
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
             query);
    peer_say(&peer, request);
    LOOP_UNTIL(harness->loop, peer_got(&peer, "\r\n\r\n"));
    static const char ANSWER[] = "HTTP/1.1 101 Switching Protocols\r\n"
                                 "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                                 "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    struct slice got = buffer_slice(&peer.got);
    ck_assert_msg(slice_starts_with(got, ANSWER), "got \"%.*s\"", (int)got.len, got.data);
    buffer_consume(&peer.got, strlen(ANSWER));
    return peer;
}

void peer_expect_frame(struct peer *peer, int opcode, struct slice payload)
{
    size_t head_len = payload.len > 125 ? 4 : 2;
    LOOP_UNTIL(peer->harness->loop,
               (peer_pump(peer), buffer_len(&peer->got) >= head_len || peer->eof));
    const unsigned char *head = (const unsigned char *)buffer_bytes(&peer->got);
    ck_assert_ptr_nonnull(head);
    ck_assert_msg(head[0] == (0x80 | opcode), "a frame 0x%x", head[0]);
    size_t len = head[1];
    if (len == 126)
        len = (size_t)(head[2] << 8 | head[3]);
    LOOP_UNTIL(peer->harness->loop,
               (peer_pump(peer), buffer_len(&peer->got) >= head_len + len || peer->eof));
    struct slice got = slice_of(buffer_bytes(&peer->got) + head_len, len);
    ck_assert_msg(slice_equal(got, payload), "wanted \"%.*s\", got \"%.*s\"", (int)payload.len,
                  payload.data, (int)got.len, got.data);
    buffer_consume(&peer->got, head_len + len);
}

void peer_expect_close(struct peer *peer, unsigned code, const char *reason)
{
    char payload[128] = {(char)(code >> 8), (char)code};
    snprintf(payload + 2, sizeof payload - 2, "%s", reason);
    peer_expect_frame(peer, 8, slice_of(payload, 2 + strlen(reason)));
}
