#include "bench/load/publisher.h"

#include <err.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/load/http_answer.h"

enum { READ_BYTES = 64 << 10 };

static void disconnect(struct publisher *publisher)
{
    if (publisher->watch.fd >= 0)
        close(publisher->watch.fd);
    publisher->watch.fd = -1;
}

static void on_readable(struct watch *watch)
{
    struct publisher *publisher = (struct publisher *)watch;
    size_t got;
    do {
        char *to = buffer_reserve(&publisher->in, READ_BYTES);
        if (!to)
            err(EXIT_FAILURE, "reading");
        got = read_some(watch->fd, to, READ_BYTES, MSG_DONTWAIT);
        buffer_added(&publisher->in, got);
    } while (got == READ_BYTES);
    struct slice head, body;
    size_t len = http_answer_read(buffer_slice(&publisher->in), &head, &body);
    if (len == 0)
        return;
    if (!publisher->is_busy ||
        !publisher->target->adapter->is_success(publisher->target, head, body, publisher->asked))
        errx(EXIT_FAILURE, "%s refuses: %.*s", publisher->target->adapter->name,
             (int)(head.len + body.len), head.data);
    buffer_consume(&publisher->in, len);
    publisher->is_busy = false;
    if (publisher->target->adapter->closes)
        disconnect(publisher);
}

static void connect_it(struct publisher *publisher)
{
    publisher->watch.fd = target_connect_publisher(publisher->target);
    if (publisher->target->adapter->is_http)
        watch_start(publisher->epoll, &publisher->watch);
}

void publisher_open(struct publisher *publisher, const struct target *target, int epoll)
{
    *publisher = (struct publisher){.watch = {-1, on_readable}, .target = target, .epoll = epoll};
    if (!target->adapter->closes)
        connect_it(publisher);
}

void publisher_close(struct publisher *publisher)
{
    disconnect(publisher);
    buffer_free(&publisher->in);
    buffer_free(&publisher->out);
}

void publisher_broadcast(struct publisher *publisher, const struct message *message)
{
    publisher->target->adapter->put_broadcast(publisher->target, message, &publisher->out);
    publisher->is_busy = publisher->target->adapter->is_http;
    publisher->asked = 0;
}

void publisher_order(struct publisher *publisher, const struct order *orders, uint32_t count)
{
    publisher->target->adapter->put_orders(publisher->target, orders, count, &publisher->out);
    publisher->is_busy = publisher->target->adapter->is_http;
    publisher->asked = count;
}

void publisher_flush(struct publisher *publisher)
{
    if (buffer_len(&publisher->out) == 0)
        return;
    if (publisher->watch.fd < 0)
        connect_it(publisher);
    write_all(publisher->watch.fd, buffer_bytes(&publisher->out), buffer_len(&publisher->out));
    buffer_clear(&publisher->out);
}
