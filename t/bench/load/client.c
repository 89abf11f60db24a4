#include "bench/load/client.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "bench/load/http_answer.h"
#include "codecs/websocket.h"

enum { SCRATCH_BYTES = 256 << 10, HEAD_BYTES = 4096, CLIENTS_PER_SOURCE = 20000 };

uint32_t client_confirm_after;
void (*client_received)(const struct message *message);

/* --- messages --------------------------------------------------------------------------------- */

static void check(struct client *client, const struct message *message)
{
    enum sequence_verdict verdict = sequence_take(
        message->kind == MESSAGE_BROADCAST ? &client->broadcasts[message->lane] : &client->singles,
        message->number);
    if (verdict != SEQUENCE_IN_ORDER)
        errx(EXIT_FAILURE, "%s: client %u finds %s at message %llu", client->target->adapter->name,
             client->number, sequence_word(verdict), (unsigned long long)message->number);
}

static void take_pack(struct client *client, struct slice pack)
{
    uint64_t id;
    struct message message;
    while (message_read(&pack, &id, &message)) {
        check(client, &message);
        if (client->target->adapter->has_ids && id != client->last_id + 1)
            errx(EXIT_FAILURE, "client %u: ID %llu follows %llu", client->number,
                 (unsigned long long)id, (unsigned long long)client->last_id);
        client->last_id = id;
        client->unconfirmed++;
        client_received(&message);
    }
}

/* A masked text frame; a mask of zeros leaves the text as it is. */
static void confirm(struct client *client)
{
    enum { HEADER = 2 + 4, ID_ROOM = 24 };
    char frame[HEADER + ID_ROOM] = {(char)(0x80 | WEBSOCKET_TEXT)};
    int len = snprintf(frame + HEADER, ID_ROOM, "%llu", (unsigned long long)client->last_id);
    frame[1] = (char)(0x80 | len);
    write_all(client->watch.fd, frame, HEADER + (size_t)len);
    client->unconfirmed = 0;
}

/* --- WebSocket -------------------------------------------------------------------------------- */

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

/* Returns how many bytes of `in` were whole frames. */
static size_t take_frames(struct client *client, struct slice in)
{
    size_t taken = 0, len;
    struct slice payload;
    while ((len = frame_read(slice_of(in.data + taken, in.len - taken), &payload)) > 0) {
        take_pack(client, payload);
        taken += len;
    }
    return taken;
}

/* Most reads end with a whole frame, so that clients seldom hold memory. */
static void take_bytes(struct client *client, struct slice in)
{
    if (buffer_len(&client->rest) == 0) {
        size_t taken = take_frames(client, in);
        if (taken < in.len)
            put_bytes(&client->rest, in.data + taken, in.len - taken);
    } else {
        put_bytes(&client->rest, in.data, in.len);
        buffer_consume(&client->rest, take_frames(client, buffer_slice(&client->rest)));
    }
}

static void on_readable(struct watch *watch)
{
    static char scratch[SCRATCH_BYTES];
    struct client *client = (struct client *)watch;
    size_t got;
    do {
        got = read_some(watch->fd, scratch, sizeof scratch, MSG_DONTWAIT);
        take_bytes(client, slice_of(scratch, got));
    } while (got == sizeof scratch);
    if (client_confirm_after > 0 && client->unconfirmed >= client_confirm_after)
        confirm(client);
}

static void shake_hands(struct client *client)
{
    struct buffer request = {0};
    put_text(&request, "GET ");
    client->target->adapter->put_path(client->target, client->number, &request);
    put_text(&request, " HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                       "Sec-WebSocket-Version: 13\r\n"
                       "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n");
    write_all(client->watch.fd, buffer_bytes(&request), buffer_len(&request));
    buffer_free(&request);
    char head[HEAD_BYTES];
    size_t got = 0, len;
    while ((len = http_head_length(slice_of(head, got))) == 0)
        got += read_some(client->watch.fd, head + got, sizeof head - got, 0);
    if (!http_has_status(slice_of(head, got), "101"))
        errx(EXIT_FAILURE, "no WebSocket: %.*s", (int)got, head);
    take_bytes(client, slice_of(head + len, got - len));
}

void client_open(struct client *client, const struct target *target, uint32_t number)
{
    *client = (struct client){
        .watch = {connect_port(target->port, 1 + number / CLIENTS_PER_SOURCE), on_readable},
        .target = target,
        .number = number,
    };
    shake_hands(client);
}
