#include "bench/load/client.h"

#include <err.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/load/arrivals.h"
#include "bench/load/http_answer.h"

enum { SCRATCH_BYTES = 256 << 10, HEAD_BYTES = 4096 };

/* The kernel finds free ports slowly when half of those of an address are taken. */
enum { CLIENTS_PER_SOURCE = 8000 };

struct client_settings *client_settings;

static const struct transport_methods *methods_of(const struct client *client)
{
    static const struct transport_methods *const methods[] = {
        [TRANSPORT_WEBSOCKET] = &transport_websocket,
        [TRANSPORT_SSE] = &transport_sse,
        [TRANSPORT_LONG_POLLING] = &transport_long_polling,
    };
    return methods[client->target->transport];
}

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

void client_take_pack(struct client *client, struct slice pack)
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
        arrivals_add(&message);
    }
}

/* --- bytes ------------------------------------------------------------------------------------ */

/* Most reads end with something whole, so that clients seldom hold memory. */
void client_take_bytes(struct client *client, struct slice in)
{
    const struct transport_methods *methods = methods_of(client);
    if (buffer_len(&client->rest) == 0) {
        size_t taken = in.len > 0 ? methods->take(client, in) : 0;
        if (taken < in.len)
            put_bytes(&client->rest, in.data + taken, in.len - taken);
    } else {
        put_bytes(&client->rest, in.data, in.len);
        buffer_consume(&client->rest, methods->take(client, buffer_slice(&client->rest)));
    }
}

static void on_readable(struct watch *watch)
{
    static char scratch[SCRATCH_BYTES];
    struct client *client = (struct client *)watch;
    size_t got;
    do {
        got = read_some(watch->fd, scratch, sizeof scratch, MSG_DONTWAIT);
        client_take_bytes(client, slice_of(scratch, got));
    } while (got == sizeof scratch);
    uint32_t confirm_after = client_settings->confirm_after;
    if (methods_of(client)->confirm && confirm_after > 0 && client->unconfirmed >= confirm_after &&
        client->last_id > client_settings->keep) {
        methods_of(client)->confirm(client, client->last_id - client_settings->keep);
        client->unconfirmed = 0;
    }
}

/* --- requests --------------------------------------------------------------------------------- */

void client_request(struct client *client, const char *header_lines)
{
    static struct buffer request;
    buffer_clear(&request);
    put_text(&request, "GET ");
    client->target->adapter->put_path(client->target, client->number, &request);
    if (client->target->adapter->has_ids && client->last_id > 0 &&
        buffer_printf(&request, "&confirmIds=%llu", (unsigned long long)client->last_id) != 0)
        err(EXIT_FAILURE, "writing a request");
    put_text(&request, " HTTP/1.1\r\nHost: bench\r\n");
    put_text(&request, header_lines);
    put_text(&request, "\r\n");
    write_all(client->watch.fd, buffer_bytes(&request), buffer_len(&request));
}

void client_expect_head(struct client *client, const char *status)
{
    char head[HEAD_BYTES];
    size_t got = 0, len;
    while ((len = http_head_length(slice_of(head, got))) == 0)
        got += read_some(client->watch.fd, head + got, sizeof head - got, 0);
    if (!http_has_status(slice_of(head, got), status))
        errx(EXIT_FAILURE, "a client is answered: %.*s", (int)got, head);
    client_take_bytes(client, slice_of(head + len, got - len));
}

static void connect_and_begin(struct client *client)
{
    client->watch.fd = connect_port(client->target->port, 1 + client->number / CLIENTS_PER_SOURCE);
    methods_of(client)->begin(client);
}

void client_open(struct client *client, const struct target *target, uint32_t number)
{
    *client = (struct client){.watch = {-1, on_readable}, .target = target, .number = number};
    connect_and_begin(client);
}

void client_reopen(struct client *client)
{
    close(client->watch.fd);
    buffer_free(&client->rest);
    client->unconfirmed = 0;
    connect_and_begin(client);
}
