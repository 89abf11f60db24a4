#include "bench/stream.h"

#include <arpa/inet.h>
#include <err.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "bench/message.h"
#include "codecs/websocket.h"

enum { READ_BYTES = 16 << 10 };

void (*stream_received)(uint64_t due_us);

/* A masked text frame; a mask of zeros leaves the text as it is. */
static void confirm(const struct stream *stream)
{
    enum { HEADER = 2 + 4, ID_ROOM = 24 };
    char frame[HEADER + ID_ROOM] = {(char)(0x80 | WEBSOCKET_TEXT)};
    int len = snprintf(frame + HEADER, ID_ROOM, "%llu", (unsigned long long)stream->last_id);
    frame[1] = (char)(0x80 | len);
    write_all(stream->watch.fd, frame, HEADER + (size_t)len);
}

static void take_pack(struct stream *stream, struct slice pack)
{
    uint64_t id, due_us;
    while (message_read(&pack, &id, &due_us)) {
        if (id != stream->last_id + 1)
            errx(EXIT_FAILURE, "ID %llu follows %llu", (unsigned long long)id,
                 (unsigned long long)stream->last_id);
        stream->last_id = id;
        stream_received(due_us);
    }
}

/* The server's frames are not masked. Returns the length of the whole frame, 0 when it is not all
 * there. */
static size_t frame_read(struct slice in, struct slice *payload)
{
    const unsigned char *bytes = (const unsigned char *)in.data;
    if (!bytes || in.len < 2)
        return 0;
    if (bytes[0] != (0x80 | WEBSOCKET_TEXT))
        errx(EXIT_FAILURE, "a WebSocket frame of type 0x%x", bytes[0]);
    size_t length_bytes = bytes[1] == 127 ? 8 : bytes[1] == 126 ? 2 : 0;
    size_t header = 2 + length_bytes, len = length_bytes > 0 ? 0 : bytes[1];
    if (in.len < header)
        return 0;
    for (size_t i = 0; i < length_bytes; i++)
        len = len << 8 | bytes[2 + i];
    if (in.len < header + len)
        return 0;
    *payload = slice_of(in.data + header, len);
    return header + len;
}

static void on_readable(struct watch *watch)
{
    struct stream *stream = (struct stream *)watch;
    uint64_t before = stream->last_id;
    read_some(watch->fd, &stream->in, READ_BYTES, MSG_DONTWAIT);
    struct slice payload;
    size_t len;
    while ((len = frame_read(buffer_slice(&stream->in), &payload)) > 0) {
        take_pack(stream, payload);
        buffer_consume(&stream->in, len);
    }
    if (stream->last_id > before)
        confirm(stream);
}

static void shake_hands(struct stream *stream, struct slice session_key)
{
    static const char END[] = "\r\n\r\n";
    char request[1024];
    int len = snprintf(request, sizeof request,
                       "GET /msgstream?sessionKey=%.*s HTTP/1.1\r\nHost: bench\r\n"
                       "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                       "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
                       (int)session_key.len, session_key.data);
    if (len < 0 || (size_t)len >= sizeof request)
        errx(EXIT_FAILURE, "a session key is too long");
    write_all(stream->watch.fd, request, (size_t)len);
    const char *end;
    do {
        read_some(stream->watch.fd, &stream->in, READ_BYTES, 0);
        end = memmem(buffer_bytes(&stream->in), buffer_len(&stream->in), END, sizeof END - 1);
    } while (!end);
    if (!slice_starts_with(buffer_slice(&stream->in), "HTTP/1.1 101 "))
        errx(EXIT_FAILURE, "no WebSocket: %.*s", (int)buffer_len(&stream->in),
             buffer_bytes(&stream->in));
    buffer_consume(&stream->in, (size_t)(end - buffer_bytes(&stream->in)) + sizeof END - 1);
}

void stream_open(struct stream *stream, uint16_t port, struct slice session_key)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0)
        err(EXIT_FAILURE, "connecting to port %u", port);
    *stream = (struct stream){.watch = {fd, on_readable}};
    shake_hands(stream, session_key);
}
