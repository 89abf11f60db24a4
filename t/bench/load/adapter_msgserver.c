/* msgserver: sessions, messages and broadcasts through its backend API. */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/units.h"
#include "bench/load/http_answer.h"
#include "bench/load/target.h"
#include "bench/load/watch.h"

enum { ANSWER_ROOM = 8192 };

static const char ORDER_HEAD[] = "{\"to\":\"", MESSAGE_MIDDLE[] = "\",\"message\":",
                  BROADCAST_HEAD[] = "{\"message\":", TAIL[] = "}\n";

/* --- sessions --------------------------------------------------------------------------------- */

static struct slice key_in(struct slice answer)
{
    static const char MEMBER[] = "\"sessionKey\":\"";
    const char *key = memmem(answer.data, answer.len, MEMBER, sizeof MEMBER - 1), *end = NULL;
    if (key) {
        key += sizeof MEMBER - 1;
        end = memchr(key, '"', answer.len - (size_t)(key - answer.data));
    }
    if (!end)
        errx(EXIT_FAILURE, "no session: %.*s", (int)answer.len, answer.data);
    char *copy = strndup(key, (size_t)(end - key));
    if (!copy)
        err(EXIT_FAILURE, "making sessions");
    return slice_from_string(copy);
}

/* Sends the request, and returns the body of the answer; it is valid until the next call. */
static struct slice ask(int fd, const struct buffer *request)
{
    static char answer[ANSWER_ROOM];
    struct slice head, body;
    size_t got = 0;
    write_all(fd, buffer_bytes(request), buffer_len(request));
    do
        got += read_some(fd, answer + got, sizeof answer - got, 0);
    while (http_answer_read(slice_of(answer, got), &head, &body) == 0);
    return body;
}

static void prepare(struct target *target)
{
    int fd = target_connect_publisher(target);
    struct buffer request = {0};
    target->session_keys = calloc(target->clients, sizeof *target->session_keys);
    if (!target->session_keys)
        err(EXIT_FAILURE, "making sessions");
    for (uint32_t i = 0; i < target->clients; i++) {
        char actor[64];
        snprintf(actor, sizeof actor, "{\"actorId\":\"player-%u\",\"ttl\":\"1d\"}", i);
        put_post(&request, "/sessions", "application/json", strlen(actor));
        put_text(&request, actor);
        target->session_keys[i] = key_in(ask(fd, &request));
        buffer_clear(&request);
    }
    buffer_free(&request);
    close(fd);
}

static void clear(const struct target *target)
{
    int fd = target_connect_publisher(target);
    struct buffer request = {0};
    for (uint32_t i = 0; i < target->clients; i++) {
        put_text(&request, "DELETE /sessions/");
        put_bytes(&request, target->session_keys[i].data, target->session_keys[i].len);
        put_text(&request, " HTTP/1.1\r\nHost: bench\r\n\r\n");
        ask(fd, &request);
        buffer_clear(&request);
    }
    buffer_free(&request);
    close(fd);
}

static void put_path(const struct target *target, uint32_t client, struct buffer *out)
{
    static const char *const transports[] = {
        [TRANSPORT_WEBSOCKET] = "",
        [TRANSPORT_SSE] = "transport=sse&",
        [TRANSPORT_LONG_POLLING] = "transport=longpolling&",
    };
    put_text(out, "/msgstream?");
    put_text(out, transports[target->transport]);
    put_text(out, "sessionKey=");
    put_bytes(out, target->session_keys[client].data, target->session_keys[client].len);
}

/* --- messages --------------------------------------------------------------------------------- */

static void put_message(struct buffer *out, const struct message *message)
{
    char body[MESSAGE_BYTES];
    message_write(body, message);
    put_bytes(out, body, sizeof body);
    put_bytes(out, TAIL, sizeof TAIL - 1);
}

static void put_broadcast(const struct target *target, const struct message *message,
                          struct buffer *out)
{
    (void)target;
    put_post(out, "/broadcast", "application/json",
             sizeof BROADCAST_HEAD - 1 + MESSAGE_BYTES + sizeof TAIL - 1);
    put_bytes(out, BROADCAST_HEAD, sizeof BROADCAST_HEAD - 1);
    put_message(out, message);
}

static void put_orders(const struct target *target, const struct order *orders, uint32_t count,
                       struct buffer *out)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < count; i++)
        bytes += sizeof ORDER_HEAD + target->session_keys[orders[i].client].len +
                 sizeof MESSAGE_MIDDLE + MESSAGE_BYTES + sizeof TAIL - 3;
    put_post(out, "/messages", count > 1 ? "application/x-ndjson" : "application/json", bytes);
    for (uint32_t i = 0; i < count; i++) {
        struct slice key = target->session_keys[orders[i].client];
        put_bytes(out, ORDER_HEAD, sizeof ORDER_HEAD - 1);
        put_bytes(out, key.data, key.len);
        put_bytes(out, MESSAGE_MIDDLE, sizeof MESSAGE_MIDDLE - 1);
        put_message(out, &orders[i].message);
    }
}

static uint32_t count_queued(struct slice body)
{
    static const char QUEUED[] = "\"outcome\":\"queued\"";
    uint32_t count = 0;
    const char *found;
    while ((found = memmem(body.data, body.len, QUEUED, sizeof QUEUED - 1))) {
        size_t taken = (size_t)(found - body.data) + sizeof QUEUED - 1;
        body = slice_of(body.data + taken, body.len - taken);
        count++;
    }
    return count;
}

static bool is_success(const struct target *target, struct slice head, struct slice body,
                       uint32_t asked)
{
    if (!http_has_status(head, "200"))
        return false;
    if (asked > 0)
        return count_queued(body) == asked;
    char all[64];
    snprintf(all, sizeof all, "{\"queued\":%u,\"overLimit\":0,", target->clients);
    return slice_starts_with(body, all);
}

const struct adapter adapter_msgserver = {
    .name = "msgserver",
    .is_http = true,
    .has_ids = true,
    .prepare = prepare,
    .clear = clear,
    .put_path = put_path,
    .put_broadcast = put_broadcast,
    .in_bulk = true,
    .put_orders = put_orders,
    .is_success = is_success,
};
