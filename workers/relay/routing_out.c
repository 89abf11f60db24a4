/* The envelopes that leave. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/invariant.h"
#include "base/log.h"
#include "base/units.h"
#include "workers/relay/delivery.h"
#include "workers/relay/relay.h"
#include "workers/relay/routing.h"
#include "workers/relay/routing_names.h"

static struct envelope envelope_to(struct slice home, enum envelope_type type)
{
    struct envelope envelope = {.type = type, .route = {home}, .route_len = 1};
    envelope.type_name = slice_from_string(envelope_type_name(type));
    return envelope;
}

static struct envelope envelope_back(const struct return_route *route, enum envelope_type type)
{
    struct envelope envelope = envelope_to(SLICE_EMPTY, type);
    INVARIANT(route->len <= ENVELOPE_ROUTE_MAX, "a return route is too long");
    memcpy(envelope.route, route->hops, route->len * sizeof *route->hops);
    envelope.route_len = route->len;
    return envelope;
}

/* A MAGE host is sent what MAGE sends, and nothing more. */
static bool is_ours(const struct relay *relay, struct slice host)
{
    return mesh_peer(relay->mesh, host).is_msgserver;
}

static struct slice hop_of(const struct relay *relay, const struct attachment *attachment,
                           char text[HOP_ROOM])
{
    struct slice id = relay_cluster_id(relay);
    int len = snprintf(text, HOP_ROOM, "%.*s:%" PRIu64, (int)id.len, id.data, attachment->handle);
    INVARIANT(len > 0 && len < HOP_ROOM, "a cluster ID is too long");
    return slice_of(text, (size_t)len);
}

/* Room for a list of messages and for the texts of IDs in it, kept from envelope to envelope. */
static struct slice *scratch_messages(struct relay *relay, size_t count, size_t text_bytes,
                                      char **text)
{
    buffer_clear(&relay->scratch);
    char *room = buffer_reserve(&relay->scratch, count * sizeof(struct slice) + text_bytes);
    if (!room)
        return NULL;
    *text = room + count * sizeof(struct slice);
    return (struct slice *)(void *)room;
}

/* What an envelope tells of is stored before it leaves: the mesh holds it while a batch is open. Of
 * a peer that is not up, only sending tells whether it can be reached. */
int routing_send_envelope(struct relay *relay, const struct envelope *envelope)
{
    if (!mesh_peer(relay->mesh, envelope->route[0]).up)
        relay_commit(relay);
    return mesh_send(relay->mesh, envelope);
}

int routing_send_pack(struct relay *relay, const struct attachment *attachment, uint64_t first,
                      uint64_t last)
{
    const struct session *session = attachment->session;
    size_t count = 1 + 2 * (size_t)(last - first + 1);
    char *text, notice[MAILBOX_NOTICE_ROOM];
    struct slice *messages = scratch_messages(relay, count, count * U64_DIGITS_MAX, &text);
    if (!messages)
        return -1;
    struct slice *at = messages;
    *at++ = session_address(session);
    for (uint64_t id = first; id <= last; id++) {
        size_t digits = write_u64(text, id);
        *at++ = slice_of(text, digits);
        *at++ = mailbox_body(&session->mailbox, id, notice); /* of one ID at most */
        text += digits;
    }
    struct envelope envelope = envelope_back(attachment->route, ENVELOPE_MESSAGEPACK);
    envelope.messages = messages;
    envelope.message_count = count;
    return routing_send_envelope(relay, &envelope);
}

void routing_send_end(struct relay *relay, const struct attachment *attachment,
                      struct slice address, enum end_reason reason)
{
    bool ours = is_ours(relay, attachment->route->hops[0]);
    if (!end_reason_unset(reason) && !ours)
        return;
    struct slice messages[] = {address, slice_from_string(end_name(reason))};
    struct envelope envelope = envelope_back(attachment->route, ENVELOPE_HOST_GONE);
    envelope.messages = messages;
    envelope.message_count = ours ? 2 : 1;
    /* When the peer cannot be told, its client finds out at its next connect. */
    if (routing_send_envelope(relay, &envelope) != 0)
        LOG_DEBUG("end-not-told", "reason=%s errno=%d", end_name(reason), errno);
}

int routing_send_connect(struct relay *relay, struct slice home,
                         const struct attachment *attachment, struct slice address,
                         const struct connect_order *order)
{
    char hop[HOP_ROOM], after[24], window[16], since[24], age[24], confirmed[24];
    snprintf(after, sizeof after, "%" PRIu64, order->after);
    snprintf(window, sizeof window, "%" PRIu32, order->window);
    snprintf(since, sizeof since, "%" PRIu64, order->since_us);
    snprintf(age, sizeof age, "%" PRIu64, order->age_us);
    snprintf(confirmed, sizeof confirmed, "%" PRIu64, order->confirmed);
    struct slice messages[] = {
        address,
        slice_from_string(style_name((enum attachment_style)attachment->style)),
        slice_from_string(after),
        slice_from_string(window),
        slice_from_string(order->resend ? "1" : "0"),
        slice_from_string(since),
        slice_from_string(age),
        slice_from_string(confirmed),
    };
    struct envelope envelope = envelope_to(home, ENVELOPE_CONNECT);
    envelope.flags = ENVELOPE_TRACK_ROUTE;
    envelope.return_route[0] = hop_of(relay, attachment, hop);
    envelope.return_route_len = 1;
    envelope.messages = messages;
    envelope.message_count = is_ours(relay, home) ? sizeof messages / sizeof *messages : 2;
    return routing_send_envelope(relay, &envelope);
}

int routing_send_disconnect(struct relay *relay, struct slice home,
                            const struct attachment *attachment, struct slice address)
{
    char hop[HOP_ROOM];
    return routing_send_stale_disconnect(relay, home, hop_of(relay, attachment, hop), address);
}

int routing_send_stale_disconnect(struct relay *relay, struct slice home, struct slice hop,
                                  struct slice address)
{
    struct slice messages[] = {address, hop};
    struct envelope envelope = envelope_to(home, ENVELOPE_DISCONNECT);
    envelope.messages = messages;
    envelope.message_count = is_ours(relay, home) ? 2 : 1;
    return routing_send_envelope(relay, &envelope);
}

/* Addresses have no control characters, so two characters need escaping (RFC 8259 §7). */
static int append_json_string(struct buffer *out, struct slice text)
{
    int failed = buffer_append_string(out, "\"");
    for (size_t i = 0; i < text.len && failed == 0; i++) {
        if (text.data[i] == '"' || text.data[i] == '\\')
            failed = buffer_append_string(out, "\\");
        failed |= buffer_append(out, &text.data[i], 1);
    }
    return failed | buffer_append_string(out, "\"");
}

int routing_send_confirm(struct relay *relay, struct slice home, struct slice address,
                         struct slice ids)
{
    struct buffer *json = &relay->scratch;
    struct frame_reader reader = reader_of(ids);
    buffer_clear(json);
    int failed = buffer_append_string(json, "{\"msgIds\":[");
    for (const char *comma = ""; reader_left(&reader) > 0 && failed == 0; comma = ",")
        failed = buffer_append_string(json, comma) | buffer_append(json, "\"", 1) |
                 buffer_append_u64(json, get_u64(&reader)) | buffer_append(json, "\"", 1);
    if (failed != 0 || buffer_append_string(json, "],\"address\":") != 0 ||
        append_json_string(json, address) != 0 || buffer_append_string(json, "}") != 0) {
        errno = ENOMEM;
        return -1;
    }
    struct slice message = buffer_slice(json);
    struct envelope envelope = envelope_to(home, ENVELOPE_CONFIRM);
    envelope.messages = &message;
    envelope.message_count = 1;
    return routing_send_envelope(relay, &envelope);
}

int routing_send_messages(struct relay *relay, struct slice home, struct slice address,
                          struct slice bodies)
{
    struct frame_reader reader = reader_of(bodies);
    size_t count = 1;
    for (; reader_left(&reader) > 0; count++)
        get_slice(&reader);
    char *text;
    struct slice *messages = scratch_messages(relay, count, 0, &text);
    if (!messages)
        return -1;
    messages[0] = address;
    reader = reader_of(bodies);
    for (size_t i = 1; i < count; i++)
        messages[i] = get_slice(&reader);
    struct envelope envelope = envelope_to(home, ENVELOPE_SEND);
    /* Tracked, so that a host on the way can say that it did not arrive. */
    envelope.flags = ENVELOPE_TRACK_ROUTE;
    envelope.messages = messages;
    envelope.message_count = count;
    return routing_send_envelope(relay, &envelope);
}

int routing_send_request(struct relay *relay, struct slice home, struct slice token,
                         uint16_t operation, struct slice payload)
{
    struct envelope envelope = envelope_to(home, ENVELOPE_REQUEST);
    envelope.flags = ENVELOPE_TRACK_ROUTE;
    return routing_send_operation(relay, &envelope, token, operation, REQUEST_VERSION, payload);
}

int routing_send_operation(struct relay *relay, struct envelope *envelope, struct slice token,
                           uint16_t operation, uint8_t version, struct slice payload)
{
    char number[8], understood[8];
    snprintf(number, sizeof number, "%u", operation);
    snprintf(understood, sizeof understood, "%d", REPLY_VERSION);
    buffer_clear(&relay->scratch);
    if (put_u8(&relay->scratch, version) != 0 || buffer_append_slice(&relay->scratch, payload) != 0)
        return -1;
    struct slice messages[] = {token, slice_from_string(number), buffer_slice(&relay->scratch),
                               slice_from_string(understood)};
    envelope->messages = messages;
    envelope->message_count = envelope->type == ENVELOPE_REQUEST ? 4 : 3;
    int result = routing_send_envelope(relay, envelope);
    envelope->messages = NULL;
    if (buffer_len(&relay->scratch) > SCRATCH_KEPT)
        buffer_free(&relay->scratch);
    return result;
}
