/* Nchan as t/bench/peers/nchan.js configures it. */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/load/http_answer.h"
#include "bench/load/target.h"

enum { PATH_ROOM = 32 };

static void put_path(const struct target *target, uint32_t client, struct buffer *out)
{
    if ((target->one_channel ? buffer_append_string(out, "/subscribe?id=all")
                             : buffer_printf(out, "/subscribe?id=c%u", client)) != 0)
        err(EXIT_FAILURE, "writing a request");
}

static void put_publication(const char *path, const struct message *message, struct buffer *out)
{
    static struct buffer pack;
    buffer_clear(&pack);
    message_put_pack(&pack, message);
    put_post(out, path, "application/json", buffer_len(&pack));
    put_bytes(out, buffer_bytes(&pack), buffer_len(&pack));
}

static void put_broadcast(const struct target *target, const struct message *message,
                          struct buffer *out)
{
    (void)target;
    put_publication("/publish?id=all", message, out);
}

static void put_orders(const struct target *target, const struct order *orders, uint32_t count,
                       struct buffer *out)
{
    (void)target;
    (void)count;
    char path[PATH_ROOM];
    snprintf(path, sizeof path, "/publish?id=c%u", orders->client);
    put_publication(path, &orders->message, out);
}

/* 202 stands for a channel where nobody listens. */
static bool is_success(const struct target *target, struct slice head, struct slice body,
                       uint32_t asked)
{
    (void)target;
    (void)body;
    (void)asked;
    return http_has_status(head, "201");
}

const struct adapter adapter_nchan = {
    .name = "nchan",
    .is_http = true,
    .put_path = put_path,
    .put_broadcast = put_broadcast,
    .put_orders = put_orders,
    .is_success = is_success,
};
