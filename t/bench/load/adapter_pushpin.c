/* Pushpin, published to through the HTTP port of its control interface. */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/load/http_answer.h"
#include "bench/load/target.h"

enum { CHANNEL_ROOM = 16 };

static void put_path(const struct target *target, uint32_t client, struct buffer *out)
{
    if ((target->one_channel ? buffer_append_string(out, "/subscribe?id=all")
                             : buffer_printf(out, "/subscribe?id=c%u", client)) != 0)
        err(EXIT_FAILURE, "writing a request");
}

static void put_item(struct buffer *items, const char *channel, const struct message *message)
{
    static struct buffer pack;
    buffer_clear(&pack);
    message_put_pack(&pack, message);
    put_text(items, "{\"channel\":\"");
    put_text(items, channel);
    put_text(items, "\",\"formats\":{\"ws-message\":{\"content\":\"");
    for (size_t i = 0; i < buffer_len(&pack); i++) {
        if (buffer_bytes(&pack)[i] == '"')
            put_bytes(items, "\\", 1);
        put_bytes(items, buffer_bytes(&pack) + i, 1);
    }
    put_text(items, "\"}}}");
}

static void put_items(const struct buffer *items, struct buffer *out)
{
    static const char HEAD[] = "{\"items\":[", TAIL[] = "]}";
    put_post(out, "/publish/", "application/json",
             sizeof HEAD - 1 + buffer_len(items) + sizeof TAIL - 1);
    put_text(out, HEAD);
    put_bytes(out, buffer_bytes(items), buffer_len(items));
    put_text(out, TAIL);
}

static void put_broadcast(const struct target *target, const struct message *message,
                          struct buffer *out)
{
    static struct buffer items;
    (void)target;
    buffer_clear(&items);
    put_item(&items, "all", message);
    put_items(&items, out);
}

static void put_orders(const struct target *target, const struct order *orders, uint32_t count,
                       struct buffer *out)
{
    static struct buffer items;
    char channel[CHANNEL_ROOM];
    (void)target;
    buffer_clear(&items);
    for (uint32_t i = 0; i < count; i++) {
        snprintf(channel, sizeof channel, "c%u", orders[i].client);
        if (i > 0)
            put_text(&items, ",");
        put_item(&items, channel, &orders[i].message);
    }
    put_items(&items, out);
}

static bool is_success(const struct target *target, struct slice head, struct slice body,
                       uint32_t asked)
{
    (void)target;
    (void)body;
    (void)asked;
    return http_has_status(head, "200");
}

const struct adapter adapter_pushpin = {
    .name = "pushpin",
    .is_http = true,
    .closes = true,
    .put_path = put_path,
    .put_broadcast = put_broadcast,
    .in_bulk = true,
    .put_orders = put_orders,
    .is_success = is_success,
};
