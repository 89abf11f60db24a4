/* The envelopes that come in. A peer is trusted no further than its envelopes make sense: each is
 * checked before anything is done, and counted as malformed or stale instead. */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/units.h"
#include "codecs/json_text.h"
#include "codecs/session_key.h"
#include "workers/relay/broadcast.h"
#include "workers/relay/delivery.h"
#include "workers/relay/peer_outlet.h"
#include "workers/relay/relay.h"
#include "workers/relay/requests.h"
#include "workers/relay/routing.h"
#include "workers/relay/routing_names.h"
#include "workers/relay/session_messages.h"

static void malformed(struct relay *relay, struct slice sender, const struct envelope *envelope,
                      const char *why)
{
    metric_add(&relay->metrics, METRIC_MALFORMED, 1);
    mesh_complain(relay->mesh, sender, envelope, why);
}

static void stale(struct relay *relay)
{
    metric_add(&relay->metrics, METRIC_STALE, 1);
}

/* The attachment of ours that the route names, if its mailbox is elsewhere. */
static struct attachment *named_attachment(struct relay *relay, const struct envelope *envelope)
{
    if (envelope->route_len != 1)
        return NULL;
    struct slice hop = envelope->route[0], id = relay_cluster_id(relay);
    uint64_t handle;
    if (hop.len <= id.len + 1 || memcmp(hop.data, id.data, id.len) != 0 ||
        hop.data[id.len] != ':' ||
        parse_u64(slice_of(hop.data + id.len + 1, hop.len - id.len - 1), &handle) != 0)
        return NULL;
    struct attachment *attachment = attachment_find(relay, handle);
    return attachment && attachment->away ? attachment : NULL;
}

static bool is_address_of(const struct attachment *attachment, struct slice address)
{
    const struct remote_client *client = attachment->away;
    return slice_equal(slice_of(client->address, client->address_len), address);
}

/* The same, when the envelope's first message is that attachment's address: handles can be guessed,
 * addresses cannot. */
static struct attachment *addressed_attachment(struct relay *relay, struct slice sender,
                                               const struct envelope *envelope)
{
    struct attachment *attachment = named_attachment(relay, envelope);
    if (!attachment) {
        stale(relay);
        return NULL;
    }
    if (!is_address_of(attachment, envelope->messages[0])) {
        malformed(relay, sender, envelope, "the address is not the attachment's");
        return NULL;
    }
    return attachment;
}

static struct session *session_here(struct relay *relay, struct slice address)
{
    struct session *session = session_find(&relay->registry, address);
    return session && !session_is_adopted(session) ? session : NULL;
}

/* Of a clock that began with a start of the system. */
static const uint64_t TIME_MAX_US = UINT64_MAX / 8;

struct connect {
    enum attachment_style style;
    bool from_msgserver; /* the fields below were given */
    bool resend;
    uint64_t after;
    uint64_t window;
    uint64_t since_us, age_us;
    uint64_t confirmed;
};

static bool read_connect(const struct envelope *envelope, struct connect *connect)
{
    int style = style_from_name(envelope->messages[1]);
    *connect = (struct connect){.style = (enum attachment_style)style};
    if (envelope->message_count >= 5) {
        connect->from_msgserver = true;
        connect->resend = slice_equals_string(envelope->messages[4], "1");
        if (parse_u64(envelope->messages[2], &connect->after) != 0 ||
            parse_u64(envelope->messages[3], &connect->window) != 0 || connect->window > INT32_MAX)
            return false;
        if (envelope->message_count >= 7 &&
            (parse_u64(envelope->messages[5], &connect->since_us) != 0 ||
             parse_u64(envelope->messages[6], &connect->age_us) != 0))
            return false;
        if (connect->since_us > TIME_MAX_US || connect->age_us > TIME_MAX_US)
            return false;
        if (envelope->message_count >= 8 &&
            parse_u64(envelope->messages[7], &connect->confirmed) != 0)
            return false;
    }
    return style >= 0 && envelope->return_route_len > 0;
}

static void refuse_connect(struct relay *relay, const struct envelope *connect)
{
    struct slice messages[] = {connect->messages[0], slice_from_string(end_name(END_NO_SESSION))};
    struct envelope answer = {.type = ENVELOPE_HOST_GONE,
                              .type_name =
                                  slice_from_string(envelope_type_name(ENVELOPE_HOST_GONE)),
                              .route_len = connect->return_route_len,
                              .messages = messages};
    memcpy(answer.route, connect->return_route, sizeof answer.route);
    answer.message_count = mesh_peer(relay->mesh, answer.route[0]).is_msgserver ? 2 : 1;
    if (routing_send_envelope(relay, &answer) != 0)
        LOG_DEBUG("refusal-not-sent", "errno=%d", errno);
}

/* Another connect of the same attachment: it has room again, or something did not arrive. */
static void refresh(struct relay *relay, struct attachment *attachment,
                    const struct connect *connect)
{
    const struct mailbox *mailbox = &attachment->session->mailbox;
    char notice[MAILBOX_NOTICE_ROOM];
    uint64_t in_flight = 0, id = mailbox_first_waiting(mailbox);
    peer_outlet_refresh(attachment);
    if (connect->resend && connect->after < attachment->sent_up_to)
        attachment->sent_up_to = connect->after;
    if (id <= connect->after)
        id = connect->after + 1;
    for (; id <= attachment->sent_up_to && id <= mailbox->last_id; id++)
        in_flight += messages_cost(1, mailbox_body(mailbox, id, notice).len);
    attachment->in_flight = (uint32_t)in_flight;
    attachment->window = (uint32_t)connect->window;
    delivery_run(relay, attachment);
}

static void attach_peer_client(struct relay *relay, struct session *session,
                               const struct envelope *envelope, const struct connect *connect)
{
    struct peer_outlet *peer = peer_outlet_get(relay, envelope->return_route[0]);
    if (!peer)
        return;
    struct return_route *route =
        return_route_copy(envelope->return_route, envelope->return_route_len);
    struct attachment *attachment =
        route ? attachment_new(relay, &peer->outlet, connect->style, 0) : NULL;
    if (!attachment) {
        free(route);
        peer_outlet_left(relay, peer);
        return;
    }
    route->since_us = connect->since_us;
    attachment->route = route;
    attachment->window = (uint32_t)connect->window;
    attachment->sent_up_to = connect->after;
    attachment->since_us = connect->since_us > 0
                               ? mesh_peer_time(relay->mesh, envelope->return_route[0],
                                                connect->since_us, connect->age_us)
                               : clock_monotonic_us(); /* a MAGE host does not say */
    delivery_attach(relay, attachment, session, connect->confirmed);
}

static void on_connect(struct relay *relay, struct slice sender, const struct envelope *envelope)
{
    struct connect connect;
    if (!read_connect(envelope, &connect)) {
        malformed(relay, sender, envelope, "no style, no return route or a broken number");
        return;
    }
    struct session *session = session_here(relay, envelope->messages[0]);
    if (!session) {
        refuse_connect(relay, envelope);
        return;
    }
    struct attachment *old = session->attachment;
    bool same = old && old->style == STYLE_STREAM && connect.style == STYLE_STREAM &&
                connect.from_msgserver &&
                return_route_equal(old->route, envelope->return_route, envelope->return_route_len);
    if (connect.after > session->mailbox.last_id ||
        (same && !session_confirm(&relay->registry, session, connect.confirmed)))
        relay_end_session(relay, session, SESSION_BROKEN, END_HOST_GONE);
    else if (same)
        refresh(relay, old, &connect);
    else
        attach_peer_client(relay, session, envelope, &connect);
}

/* Ours names the attachment by its last hop. A MAGE host names only the address: it can only mean a
 * client that it has itself. */
static bool may_disconnect(const struct relay *relay, const struct attachment *attachment,
                           struct slice sender, const struct envelope *envelope)
{
    const struct return_route *route = attachment->route;
    if (!route)
        return false;
    if (envelope->message_count > 1)
        return slice_equal(route->hops[route->len - 1], envelope->messages[1]);
    return slice_equal(route->hops[0], sender) && !mesh_peer(relay->mesh, sender).is_msgserver;
}

static void on_disconnect(struct relay *relay, struct slice sender, const struct envelope *envelope)
{
    struct session *session = session_here(relay, envelope->messages[0]);
    if (session && session->attachment &&
        may_disconnect(relay, session->attachment, sender, envelope))
        attachment_close(relay, session->attachment);
    else
        stale(relay);
}

static bool is_acceptable(const struct relay *relay, struct slice body)
{
    struct json_error error;
    return body.len <= relay->settings->limit_message_bytes && json_check_message(body, &error);
}

static void on_send(struct relay *relay, struct slice sender, const struct envelope *envelope)
{
    (void)sender;
    size_t count = envelope->message_count - 1;
    struct session *session = session_here(relay, envelope->messages[0]);
    if (!session) {
        metric_add(&relay->metrics, METRIC_REFUSED_NO_SESSION, count);
        return;
    }
    bool stored = false;
    for (size_t i = 1; i <= count; i++) {
        struct acceptance acceptance;
        if (!is_acceptable(relay, envelope->messages[i])) {
            metric_add(&relay->metrics, METRIC_REFUSED_INVALID, 1);
            continue;
        }
        struct blob *body = message_body_new(&relay->registry, envelope->messages[i]);
        if (!body) {
            metric_add(&relay->metrics, METRIC_REFUSED_HOST_FULL, 1);
            continue;
        }
        struct message_order order = {.bodies = &body, .count = 1};
        stored |= session_accept(&relay->registry, session, &order, &acceptance) == OUTCOME_QUEUED;
        budget_release_body(&relay->budget, body);
    }
    if (stored && session->attachment)
        delivery_run(relay, session->attachment);
}

static void on_broadcast(struct relay *relay, struct slice sender, const struct envelope *envelope)
{
    (void)sender;
    for (size_t i = 0; i < envelope->message_count; i++) {
        if (is_acceptable(relay, envelope->messages[i]))
            broadcast_here(relay, envelope->messages[i]);
        else
            metric_add(&relay->metrics, METRIC_REFUSED_INVALID, 1);
    }
}

/* Tens of thousands of IDs. What is larger, from anybody, is not read: it would take seconds. */
enum { CONFIRM_BYTES_MAX = 1 << 20 };

/* What is neither a number nor a string of one is no ID, and no mistake either. */
static bool take_id(struct slice id, uint64_t *highest)
{
    uint64_t number;
    bool quoted = json_kind_of(id) == JSON_KIND_STRING;
    bool whole = parse_u64(quoted ? slice_of(id.data + 1, id.len - 2) : id, &number) == 0;
    if (whole ? !quoted && number > INT64_MAX : quoted || errno == ERANGE)
        return false;
    if (whole && number > *highest)
        *highest = number;
    return true;
}

/* The same as read_confirm(), without a copy of it all: of text that has no escapes in it. */
static bool read_plain_confirm(struct relay *relay, struct slice text, struct session **session,
                               uint64_t *highest)
{
    struct slice name, value, id, ids = SLICE_EMPTY, address = SLICE_EMPTY;
    struct json_walk walk = json_walk_over(text);
    enum json_step step;
    bool sound = true;
    while (sound && (step = json_walk_name(&walk, &name)) != JSON_END) {
        sound = step == JSON_MEMBER && json_walk_value(&walk, &value, NULL);
        if (sound && slice_equals_string(name, "msgIds"))
            ids = value;
        else if (sound && slice_equals_string(name, "address"))
            address = value;
    }
    sound = sound && ids.len > 0 && address.len > 0 && json_kind_of(ids) == JSON_KIND_ARRAY &&
            json_kind_of(address) == JSON_KIND_STRING;
    while (sound && json_next_element(&ids, &id))
        sound = take_id(id, highest);
    if (sound)
        *session = session_here(relay, slice_of(address.data + 1, address.len - 2));
    return sound;
}

/* {"msgIds":["1","2"],"address":"sess/…"}: the highest ID, and the session; false when it is
 * something else. Numbers are taken for IDs too. */
static bool read_confirm(struct relay *relay, struct slice text, struct session **session,
                         uint64_t *highest)
{
    *highest = 0;
    if (text.len > 0 && text.len <= CONFIRM_BYTES_MAX && !memchr(text.data, '\\', text.len))
        return read_plain_confirm(relay, text, session, highest);
    json_t *confirm =
        text.len <= CONFIRM_BYTES_MAX ? json_loadb(text.data, text.len, 0, NULL) : NULL;
    json_t *id;
    json_t *ids = json_object_get(confirm, "msgIds"),
           *address = json_object_get(confirm, "address");
    bool sound = json_is_array(ids) && json_is_string(address);
    size_t i;
    json_array_foreach(ids, i, id)
    {
        uint64_t number = json_is_integer(id) && json_integer_value(id) > 0
                              ? (uint64_t)json_integer_value(id)
                              : 0;
        if (json_is_string(id) &&
            parse_u64(slice_of(json_string_value(id), json_string_length(id)), &number) != 0)
            sound = false;
        if (number > *highest)
            *highest = number;
    }
    if (sound)
        *session =
            session_here(relay, slice_of(json_string_value(address), json_string_length(address)));
    json_decref(confirm);
    return sound;
}

static void on_confirm(struct relay *relay, struct slice sender, const struct envelope *envelope)
{
    struct session *session;
    uint64_t highest;
    if (!read_confirm(relay, envelope->messages[0], &session, &highest))
        malformed(relay, sender, envelope, "not a confirmation");
    else if (session)
        delivery_confirm(relay, session, highest);
    else
        stale(relay);
}

/* A host of ours that goes on sending to an attachment that is over was not told, or it has
 * forgotten. A MAGE host would take it for the end of any newer one. */
static void refuse_pack(struct relay *relay, struct slice sender, const struct envelope *pack)
{
    if (pack->route_len == 1 && mesh_peer(relay->mesh, sender).is_msgserver &&
        routing_send_stale_disconnect(relay, sender, pack->route[0], pack->messages[0]) != 0)
        LOG_DEBUG("disconnect-not-sent", "errno=%d", errno);
}

static void on_messagepack(struct relay *relay, struct slice sender,
                           const struct envelope *envelope)
{
    struct attachment *attachment = addressed_attachment(relay, sender, envelope);
    if (attachment)
        remote_home_on_pack(relay, attachment, envelope);
    else
        refuse_pack(relay, sender, envelope);
}

static void on_host_gone(struct relay *relay, struct slice sender, const struct envelope *envelope)
{
    struct attachment *attachment = addressed_attachment(relay, sender, envelope);
    if (attachment)
        remote_home_on_end(relay, attachment,
                           envelope->message_count > 1 ? end_from_name(envelope->messages[1])
                                                       : END_HOST_GONE);
}

struct operation {
    uint16_t type;
    uint8_t version;
    struct slice payload;
};

/* token | operation | version and payload | of a request: the newest replies that are understood */
static bool read_operation(const struct slice *messages, struct operation *operation)
{
    uint64_t number;
    struct slice versioned = messages[2];
    if (parse_u64(messages[1], &number) != 0 || number > UINT16_MAX || versioned.len < 1)
        return false;
    *operation = (struct operation){.type = (uint16_t)number,
                                    .version = (uint8_t)versioned.data[0],
                                    .payload = slice_of(versioned.data + 1, versioned.len - 1)};
    return true;
}

/* error | type | the messages of what came back */
static void on_send_error(struct relay *relay, struct slice sender, const struct envelope *envelope)
{
    (void)sender;
    struct attachment *attachment = named_attachment(relay, envelope);
    struct slice type = envelope->messages[1];
    struct operation operation;
    if (attachment && slice_equals_string(type, envelope_type_name(ENVELOPE_CONNECT)) &&
        envelope->message_count > 2 && is_address_of(attachment, envelope->messages[2]))
        remote_home_on_error(relay, attachment);
    else if (envelope->message_count >= 5 &&
             slice_equals_string(type, envelope_type_name(ENVELOPE_REQUEST)) &&
             read_operation(&envelope->messages[2], &operation))
        requests_on_undelivered(relay, envelope->messages[2], operation.type, operation.payload);
    else
        LOG_DEBUG("send-error", "error=%s type=%s", LOG_TEXT(envelope->messages[0]),
                  LOG_TEXT(type));
}

/* What this host does not know, a younger one may ask for: it is told so. */
static uint16_t answer_operation(struct relay *relay, const struct operation *operation,
                                 struct buffer *reply)
{
    const struct frame_rule *rule = request_rule(operation->type);
    if (operation->version == REQUEST_VERSION && (operation->type == 0 || rule))
        return requests_answer(relay, operation->type, operation->payload, false, reply);
    struct frame_not_understood answer = {.version = REQUEST_VERSION};
    return put_not_understood_fields(reply, &answer) == 0 ? FRAME_NOT_UNDERSTOOD : 0;
}

static uint8_t understood_version(const struct envelope *request)
{
    uint64_t version;
    if (request->message_count < 4 || parse_u64(request->messages[3], &version) != 0 ||
        version < REPLY_VERSION_FIRST)
        return REPLY_VERSION_FIRST;
    return version < REPLY_VERSION ? (uint8_t)version : REPLY_VERSION;
}

static void on_request(struct relay *relay, struct slice sender, const struct envelope *envelope)
{
    struct operation operation;
    struct buffer reply = {0};
    uint16_t replied = 0;
    if (envelope->return_route_len > 0 && read_operation(envelope->messages, &operation))
        replied = answer_operation(relay, &operation, &reply);
    if (replied == 0) {
        malformed(relay, sender, envelope, "not a request");
    } else {
        uint8_t version = understood_version(envelope);
        struct envelope answer = {.type = ENVELOPE_REPLY,
                                  .type_name =
                                      slice_from_string(envelope_type_name(ENVELOPE_REPLY)),
                                  .route_len = envelope->return_route_len};
        memcpy(answer.route, envelope->return_route, sizeof answer.route);
        /* When it cannot be sent, the asking worker's time limit speaks. */
        if (routing_send_operation(relay, &answer, envelope->messages[0], replied, version,
                                   reply_to_version(replied, buffer_slice(&reply), version)) != 0)
            LOG_DEBUG("reply-not-sent", "operation=%u", replied);
    }
    buffer_free(&reply);
}

static void on_reply(struct relay *relay, struct slice sender, const struct envelope *envelope)
{
    struct operation operation;
    struct buffer payload = {0};
    if (!read_operation(envelope->messages, &operation) ||
        operation.version < REPLY_VERSION_FIRST || operation.version > REPLY_VERSION ||
        reply_from_version(&payload, operation.type, operation.payload, operation.version) != 0 ||
        !requests_on_reply(relay, envelope->messages[0], operation.type, buffer_slice(&payload)))
        malformed(relay, sender, envelope, "not a reply");
    buffer_free(&payload);
}

static const struct {
    void (*handle)(struct relay *, struct slice sender, const struct envelope *);
    size_t messages_min;
} HANDLERS[ENVELOPE_TYPE_COUNT] = {
    [ENVELOPE_CONNECT] = {on_connect, 2},     [ENVELOPE_DISCONNECT] = {on_disconnect, 1},
    [ENVELOPE_SEND] = {on_send, 1},           [ENVELOPE_BROADCAST] = {on_broadcast, 1},
    [ENVELOPE_CONFIRM] = {on_confirm, 1},     [ENVELOPE_MESSAGEPACK] = {on_messagepack, 1},
    [ENVELOPE_HOST_GONE] = {on_host_gone, 1}, [ENVELOPE_SEND_ERROR] = {on_send_error, 2},
    [ENVELOPE_REQUEST] = {on_request, 3},     [ENVELOPE_REPLY] = {on_reply, 3},
};

void routing_on_envelope(struct relay *relay, struct slice sender, const struct envelope *envelope)
{
    if (!HANDLERS[envelope->type].handle)
        malformed(relay, sender, envelope, "unknown type");
    else if (envelope->message_count < HANDLERS[envelope->type].messages_min)
        malformed(relay, sender, envelope, "messages are missing");
    else
        HANDLERS[envelope->type].handle(relay, sender, envelope);
}
