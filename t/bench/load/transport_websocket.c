#include <err.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/load/client.h"
#include "codecs/websocket.h"

static void begin(struct client *client)
{
    client_request(client,
                   "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                   "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n");
    client_expect_head(client, "101");
}

/* The server's frames are not masked. Returns the length of the whole frame, 0 when it is not all
 * there. */
static size_t frame_read(struct slice in, struct slice *payload)
{
    const unsigned char *bytes = (const unsigned char *)in.data;
    if (in.len < 2)
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

static size_t take(struct client *client, struct slice in)
{
    size_t taken = 0, len;
    struct slice payload;
    while ((len = frame_read(slice_of(in.data + taken, in.len - taken), &payload)) > 0) {
        client_take_pack(client, payload);
        taken += len;
    }
    return taken;
}

/* A masked text frame; a mask of zeros leaves the text as it is. */
static void confirm(struct client *client, uint64_t id)
{
    enum { HEADER = 2 + 4, ID_ROOM = 24 };
    char frame[HEADER + ID_ROOM] = {(char)(0x80 | WEBSOCKET_TEXT)};
    int len = snprintf(frame + HEADER, ID_ROOM, "%llu", (unsigned long long)id);
    frame[1] = (char)(0x80 | len);
    write_all(client->watch.fd, frame, HEADER + (size_t)len);
}

const struct transport_methods transport_websocket = {
    .begin = begin, .take = take, .confirm = confirm};
