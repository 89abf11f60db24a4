#include "bench/backend.h"

#include <err.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/units.h"
#include "bench/message.h"

enum { READ_BYTES = 64 << 10 };

static const char ORDER_HEAD[] = "{\"to\":\"",
                  ORDER_MIDDLE[] = "\",\"message\":", ORDER_TAIL[] = "}\n";

static void put(struct buffer *out, const char *text, size_t len)
{
    if (buffer_append(out, text, len) != 0)
        err(EXIT_FAILURE, "writing a request");
}

static void put_order(struct buffer *out, struct slice session_key, uint64_t due_us)
{
    char body[MESSAGE_BYTES];
    message_write(body, due_us);
    put(out, ORDER_HEAD, sizeof ORDER_HEAD - 1);
    put(out, session_key.data, session_key.len);
    put(out, ORDER_MIDDLE, sizeof ORDER_MIDDLE - 1);
    put(out, body, sizeof body);
    put(out, ORDER_TAIL, sizeof ORDER_TAIL - 1);
}

void backend_post(struct backend *backend, const struct slice *session_keys, uint32_t count,
                  uint64_t due_us)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < count; i++)
        bytes += sizeof ORDER_HEAD + session_keys[i].len + sizeof ORDER_MIDDLE + MESSAGE_BYTES +
                 sizeof ORDER_TAIL - 3;
    struct buffer *out = &backend->out;
    buffer_truncate(out, 0);
    if (buffer_printf(out,
                      "POST /messages HTTP/1.1\r\nHost: bench\r\nContent-Type: %s\r\n"
                      "Content-Length: %zu\r\n\r\n",
                      count > 1 ? "application/x-ndjson" : "application/json", bytes) != 0)
        err(EXIT_FAILURE, "writing a request");
    for (uint32_t i = 0; i < count; i++)
        put_order(out, session_keys[i], due_us);
    write_all(backend->watch.fd, buffer_bytes(out), buffer_len(out));
    backend->asked = count;
}

static size_t content_length(struct slice head)
{
    static const char FIELD[] = "\r\nContent-Length: ";
    const char *at = memmem(head.data, head.len, FIELD, sizeof FIELD - 1);
    uint64_t length = 0;
    if (at) {
        at += sizeof FIELD - 1;
        const char *end = memchr(at, '\r', head.len - (size_t)(at - head.data));
        if (!end || parse_u64(slice_of(at, (size_t)(end - at)), &length) != 0)
            at = NULL;
    }
    if (!at)
        errx(EXIT_FAILURE, "an answer without a length: %.*s", (int)head.len, head.data);
    return length;
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

static void on_readable(struct watch *watch)
{
    static const char END[] = "\r\n\r\n";
    struct backend *backend = (struct backend *)watch;
    read_some(watch->fd, &backend->in, READ_BYTES, MSG_DONTWAIT);
    struct slice in = buffer_slice(&backend->in);
    const char *end = in.data ? memmem(in.data, in.len, END, sizeof END - 1) : NULL;
    if (!end)
        return;
    struct slice head = slice_of(in.data, (size_t)(end - in.data) + sizeof END - 1);
    size_t length = content_length(head);
    if (in.len < head.len + length)
        return;
    if (count_queued(slice_of(in.data + head.len, length)) != backend->asked)
        errx(EXIT_FAILURE, "not all was queued: %.*s", (int)in.len, in.data);
    buffer_consume(&backend->in, head.len + length);
    backend->asked = 0;
}

void backend_open(struct backend *backend, const char *socket_path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(socket_path);
    if (len >= sizeof address.sun_path)
        errx(EXIT_FAILURE, "the path %s is too long", socket_path);
    memcpy(address.sun_path, socket_path, len);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) != 0)
        err(EXIT_FAILURE, "connecting to %s", socket_path);
    *backend = (struct backend){.watch = {fd, on_readable}};
}

void backend_close(struct backend *backend)
{
    close(backend->watch.fd);
    buffer_free(&backend->in);
    buffer_free(&backend->out);
}
