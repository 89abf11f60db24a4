#include "workers/client/backend/message_order.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include <jansson.h>

#include "base/units.h"
#include "codecs/json_text.h"

enum { OPTION_TEXT_MAX = 128 };

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
    buffer_free(&order->replace_key);
    buffer_free(&order->idempotency_key);
    buffer_free(&order->receipt);
}

static int add_body(struct message_order *order, struct slice body, bool is_message,
                    uint64_t max_body, struct order_error *error)
{
    struct json_error wrong;
    if (body.len > max_body)
        return refuse(error, API_MESSAGE_TOO_LARGE,
                      "Message %" PRIu32 " has %zu bytes; server.limits.messageBytes allows "
                      "%" PRIu64 ".",
                      order->body_count + 1, body.len, max_body);
    if (!is_message && !json_check_message(body, &wrong))
        return refuse(error, API_BAD_MESSAGE,
                      "Message %" PRIu32 " is no array of events like [[\"name\",{\"any\":"
                      "\"data\"}]]: %s (at its byte %zu).",
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
        if (add_body(order, json_trim(body), false, max_body, error) != 0)
            return -1;
    return 0;
}

static bool is_printable(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.data[i] < 0x20 || text.data[i] == 0x7f)
            return false;
    return true;
}

/* The text of a JSON string, into an empty buffer. */
static int read_text(const char *name, struct slice value, struct buffer *out,
                     struct order_error *error)
{
    if (out->data)
        return refuse(error, API_BAD_REQUEST, "\"%s\" is there twice.", name);
    json_t *string = json_loadb(value.data, value.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    struct slice text = slice_of(json_string_value(string), json_string_length(string));
    bool sound = text.len > 0 && text.len <= OPTION_TEXT_MAX && is_printable(text);
    int failed = sound ? buffer_append_slice(out, text) : 0;
    json_decref(string);
    if (!sound)
        return refuse(error, API_BAD_REQUEST,
                      "\"%s\" must be a string of 1 to %d bytes without control characters.", name,
                      OPTION_TEXT_MAX);
    return failed ? refuse(error, API_NO_MEMORY, "Out of memory; nothing was done.") : 0;
}

/* Seconds as a number, or text with a unit. */
static int read_ttl(struct slice value, uint64_t *ttl_ms, struct order_error *error)
{
    struct slice text = json_trim(value);
    if (*ttl_ms > 0)
        return refuse(error, API_BAD_REQUEST, "\"ttl\" is there twice.");
    if (json_kind_of(text) == JSON_KIND_STRING)
        text = slice_of(text.data + 1, text.len - 2);
    if (parse_duration(text, 1000, ttl_ms) == 0 && *ttl_ms > 0 && *ttl_ms <= SEND_TTL_MAX_MS)
        return 0;
    return refuse(error, API_BAD_REQUEST,
                  "\"ttl\" must be above 0 and at most 365 days: 30, or \"500ms\", or \"10m\".");
}

/* The members that only a message to sessions has. Returns 1 when `name` is none of them. */
static int read_option(struct message_order *order, struct slice name, struct slice value,
                       struct order_error *error)
{
    if (slice_equals_string(name, "ttl"))
        return read_ttl(value, &order->ttl_ms, error);
    if (slice_equals_string(name, "replaceKey"))
        return read_text("replaceKey", value, &order->replace_key, error);
    if (slice_equals_string(name, "idempotencyKey"))
        return read_text("idempotencyKey", value, &order->idempotency_key, error);
    if (slice_equals_string(name, "receipt"))
        return read_text("receipt", value, &order->receipt, error);
    if (!slice_equals_string(name, "to"))
        return 1;
    if (order->to.data)
        return refuse(error, API_BAD_REQUEST, "\"to\" is there twice.");
    order->to = json_trim(value);
    return 0;
}

static bool is_one_message(struct slice name)
{
    return slice_equals_string(name, "message");
}

/* `is_message`: `value` is known to be one. */
static int read_member(struct message_order *order, struct slice name, struct slice value,
                       bool is_message, bool with_to, uint64_t max_body, struct order_error *error)
{
    bool one = is_one_message(name);
    if (one || slice_equals_string(name, "messages")) {
        if (order->body_count > 0)
            return refuse(error, API_BAD_REQUEST,
                          "Give \"message\" or \"messages\", once, not both.");
        return one ? add_body(order, value, is_message, max_body, error)
                   : add_bodies(order, value, max_body, error);
    }
    int taken = with_to ? read_option(order, name, value, error) : 1;
    if (taken <= 0)
        return taken;
    return refuse(error, API_BAD_REQUEST, "Unknown member \"%.*s\"; accepted are %s\"messages\".",
                  name.len < 64 ? (int)name.len : 64, name.data,
                  with_to ? "\"to\", \"ttl\", \"replaceKey\", \"idempotencyKey\", \"receipt\", "
                            "\"message\" and "
                          : "\"message\" and ");
}

static int refuse_shape(bool with_to, struct order_error *error)
{
    return refuse(error, API_BAD_REQUEST, "Send a JSON object with %s\"message\".",
                  with_to ? "\"to\" and " : "");
}

static int read_members(struct message_order *order, struct slice text, bool with_to,
                        uint64_t max_body, struct order_error *error)
{
    struct json_walk walk = json_walk_over(text);
    struct slice name, value;
    enum json_step step;
    while ((step = json_walk_name(&walk, &name)) == JSON_MEMBER) {
        bool is_message = false;
        if (!json_walk_value(&walk, &value, is_one_message(name) ? &is_message : NULL))
            return refuse_shape(with_to, error);
        if (read_member(order, name, value, is_message, with_to, max_body, error) != 0)
            return -1;
    }
    return step == JSON_END ? 0 : refuse_shape(with_to, error);
}

static int check_members(const struct message_order *order, bool with_to, struct order_error *error)
{
    if (with_to && !order->to.data)
        return refuse(error, API_BAD_REQUEST,
                      "\"to\" is missing: a session key, or an array of them.");
    if (order->body_count == 0)
        return refuse(error, API_BAD_REQUEST, "\"message\" or \"messages\" is missing or empty.");
    if (buffer_len(&order->replace_key) > 0 && order->body_count != 1)
        return refuse(error, API_BAD_REQUEST,
                      "\"replaceKey\" takes one message: send the others by themselves.");
    return 0;
}

int message_order_read(struct message_order *order, struct slice text, bool with_to,
                       uint64_t max_body, struct order_error *error)
{
    struct json_error wrong;
    *order = (struct message_order){0};
    int result = read_members(order, text, with_to, max_body, error);
    /* What is no JSON is said to be that, whatever was found first. */
    if (result != 0 && !json_check(text, &wrong))
        refuse(error, API_BAD_JSON, "Not JSON: %s at byte %zu.", wrong.what, wrong.offset);
    else if (result == 0)
        result = check_members(order, with_to, error);
    if (result != 0)
        message_order_free(order);
    return result;
}
