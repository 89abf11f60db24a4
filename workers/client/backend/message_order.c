#include "workers/client/backend/message_order.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "codecs/json_text.h"

static int refuse(struct order_error *error, enum api_error code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int refuse(struct order_error *error, enum api_error code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    error->error = code;
    return -1;
}

void message_order_free(struct message_order *order)
{
    buffer_free(&order->bodies);
}

static int add_body(struct message_order *order, struct slice body, uint64_t max_body,
                    struct order_error *error)
{
    struct json_error wrong;
    body = json_trim(body);
    if (body.len > max_body)
        return refuse(error, API_MESSAGE_TOO_LARGE,
                      "Message %" PRIu32 " has %zu bytes; server.limits.messageBytes allows "
                      "%" PRIu64 ".",
                      order->body_count + 1, body.len, max_body);
    if (!json_check_message(body, &wrong))
        return refuse(error, API_BAD_MESSAGE,
                      "Message %" PRIu32 " is no array of events like [[\"name\",{\"any\":"
                      "\"data\"}]]: %s at its byte %zu.",
                      order->body_count + 1, wrong.what, wrong.offset);
    if (put_slice(&order->bodies, body) != 0)
        return refuse(error, API_NO_MEMORY, "Out of memory; nothing was done.");
    order->body_count++;
    return 0;
}

static int add_bodies(struct message_order *order, struct slice array, uint64_t max_body,
                      struct order_error *error)
{
    struct slice body;
    if (json_kind_of(array) != JSON_KIND_ARRAY)
        return refuse(error, API_BAD_REQUEST,
                      "\"messages\" must be an array of messages, each an array of events.");
    while (json_next_element(&array, &body))
        if (add_body(order, body, max_body, error) != 0)
            return -1;
    return 0;
}

static int read_member(struct message_order *order, struct slice name, struct slice value,
                       bool with_to, uint64_t max_body, struct order_error *error)
{
    bool one = slice_equals_string(name, "message");
    if (one || slice_equals_string(name, "messages")) {
        if (order->body_count > 0)
            return refuse(error, API_BAD_REQUEST,
                          "Give \"message\" or \"messages\", once, not both.");
        return one ? add_body(order, value, max_body, error)
                   : add_bodies(order, value, max_body, error);
    }
    if (with_to && slice_equals_string(name, "to")) {
        if (order->to.data)
            return refuse(error, API_BAD_REQUEST, "\"to\" is there twice.");
        order->to = json_trim(value);
        return 0;
    }
    return refuse(error, API_BAD_REQUEST,
                  "Unknown member \"%.*s\"; accepted are %s\"message\" and "
                  "\"messages\".",
                  name.len < 64 ? (int)name.len : 64, name.data, with_to ? "\"to\", " : "");
}

static int read_members(struct message_order *order, struct slice text, bool with_to,
                        uint64_t max_body, struct order_error *error)
{
    struct slice name, value, rest;
    struct json_error wrong;
    if (!json_check(text, &wrong))
        return refuse(error, API_BAD_JSON, "Not JSON: %s at byte %zu.", wrong.what, wrong.offset);
    text = rest = json_trim(text);
    if (json_kind_of(text) != JSON_KIND_OBJECT)
        return refuse(error, API_BAD_REQUEST, "Send a JSON object with %s\"message\".",
                      with_to ? "\"to\" and " : "");
    while (json_next_member(&rest, &name, &value))
        if (read_member(order, name, value, with_to, max_body, error) != 0)
            return -1;
    if (with_to && !order->to.data)
        return refuse(error, API_BAD_REQUEST,
                      "\"to\" is missing: a session key, or an array of them.");
    if (order->body_count == 0)
        return refuse(error, API_BAD_REQUEST, "\"message\" or \"messages\" is missing or empty.");
    return 0;
}

int message_order_read(struct message_order *order, struct slice text, bool with_to,
                       uint64_t max_body, struct order_error *error)
{
    *order = (struct message_order){0};
    if (read_members(order, text, with_to, max_body, error) == 0)
        return 0;
    message_order_free(order);
    return -1;
}
