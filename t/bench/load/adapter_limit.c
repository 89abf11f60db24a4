/* The raw server of t/bench/limit: records of target, length and payload, and no answers. */
#include <err.h>
#include <stdlib.h>

#include "bench/limit/record.h"
#include "bench/load/target.h"

static void put_path(const struct target *target, uint32_t client, struct buffer *out)
{
    (void)target;
    if (buffer_printf(out, "/%u", client) != 0)
        err(EXIT_FAILURE, "writing a request");
}

static void put_record(uint32_t to, const struct message *message, struct buffer *out)
{
    struct record record = {.to = to};
    size_t at = buffer_len(out);
    put_bytes(out, &record, sizeof record);
    message_put_pack(out, message);
    record.len = (uint32_t)(buffer_len(out) - at - sizeof record);
    memcpy(buffer_bytes(out) + at, &record, sizeof record);
}

static void put_broadcast(const struct target *target, const struct message *message,
                          struct buffer *out)
{
    (void)target;
    put_record(RECORD_TO_ALL, message, out);
}

static void put_orders(const struct target *target, const struct order *orders, uint32_t count,
                       struct buffer *out)
{
    (void)target;
    for (uint32_t i = 0; i < count; i++)
        put_record(orders[i].client, &orders[i].message, out);
}

const struct adapter adapter_limit = {
    .name = "limit",
    .put_path = put_path,
    .put_broadcast = put_broadcast,
    .in_bulk = true,
    .put_orders = put_orders,
};
