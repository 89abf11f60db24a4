/* Requests for sessions whose home is another host, and the replies that come back. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/invariant.h"
#include "base/log.h"
#include "base/table.h"
#include "base/units.h"
#include "codecs/session_key.h"
#include "workers/relay/relay.h"
#include "workers/relay/requests.h"
#include "workers/relay/routing.h"
#include "workers/relay/worker_link.h"

/* The reply when the home cannot be asked: `outcome` for whatever it concerns. */
static uint16_t put_refusal(uint16_t operation, struct slice payload, enum outcome outcome,
                            struct buffer *reply)
{
    struct frame_send send;
    if (operation != FRAME_SEND) {
        struct frame_session session = {.outcome = (uint8_t)outcome};
        return put_session_fields(reply, &session) == 0 ? FRAME_SESSION : 0;
    }
    struct buffer results = {0};
    struct recipient_result result = {.outcome = (uint8_t)outcome};
    bool failed = get_send(payload, &send) != 0;
    struct frame_reader reader = reader_of(send.addresses);
    while (!failed && reader_left(&reader) > 0) {
        get_slice(&reader);
        failed = put_recipient_result(&results, &result) != 0;
    }
    struct frame_sent sent = {.results = buffer_slice(&results)};
    failed = failed || put_sent_fields(reply, &sent) != 0;
    buffer_free(&results);
    return failed ? 0 : FRAME_SENT;
}

/* A MAGE host takes messages and says nothing. */
static uint16_t send_to_mage(struct relay *relay, struct slice home, struct slice payload,
                             struct buffer *reply)
{
    struct frame_send send;
    struct buffer results = {0};
    bool failed = get_send(payload, &send) != 0;
    struct frame_reader reader = reader_of(send.addresses);
    while (!failed && reader_left(&reader) > 0) {
        struct recipient_result result = {.outcome = OUTCOME_FORWARDED,
                                          .flags = send_has_options(&send) ? RESULT_IGNORED : 0};
        if (routing_send_messages(relay, home, get_slice(&reader), send.bodies) != 0) {
            result.flags = 0;
            result.outcome = errno == EHOSTUNREACH ? OUTCOME_HOST_GONE : OUTCOME_OVER_LIMIT;
            metric_add(&relay->metrics, METRIC_REFUSED_HOST_GONE, 1);
        } else {
            metric_add(&relay->metrics, METRIC_FORWARDED, 1);
        }
        failed = put_recipient_result(&results, &result) != 0;
    }
    struct frame_sent sent = {.results = buffer_slice(&results)};
    failed = failed || put_sent_fields(reply, &sent) != 0;
    buffer_free(&results);
    return failed ? 0 : FRAME_SENT;
}

size_t requests_write_token(uint32_t incarnation, uint64_t request, char token[REQUEST_TOKEN_ROOM])
{
    const uint64_t sealed[] = {incarnation, request};
    return (size_t)snprintf(token, REQUEST_TOKEN_ROOM, "%" PRIu32 "-%" PRIu64 "-%016" PRIx64,
                            incarnation, request, table_hash(sealed, sizeof sealed));
}

/* Returns true when the home was asked and will answer. */
static bool ask_home(struct relay *relay, struct worker_link *link,
                     const struct frame_request *request)
{
    char token[REQUEST_TOKEN_ROOM];
    size_t len = requests_write_token(link->incarnation, request->request, token);
    if (routing_send_request(relay, request->home, slice_of(token, len), request->operation,
                             request->payload) != 0)
        return false;
    metric_add(&relay->metrics, METRIC_FORWARDED, 1);
    return true;
}

static uint16_t answer_for_home(struct relay *relay, struct worker_link *link,
                                const struct frame_request *request, struct buffer *reply,
                                bool *asked)
{
    struct mesh_peer_state peer = mesh_peer(relay->mesh, request->home);
    *asked = peer.up && peer.is_msgserver && ask_home(relay, link, request);
    if (*asked)
        return 0;
    if (peer.up && !peer.is_msgserver && request->operation == FRAME_SEND)
        return send_to_mage(relay, request->home, request->payload, reply);
    metric_add(&relay->metrics, METRIC_REFUSED_HOST_GONE, 1);
    return put_refusal(request->operation, request->payload, OUTCOME_HOST_GONE, reply);
}

void requests_handle(struct relay *relay, struct worker_link *link,
                     const struct frame_request *request)
{
    struct buffer reply = {0};
    uint16_t operation;
    bool asked = false;
    if (relay_is_home(relay, request->home))
        operation = requests_answer(relay, request->operation, request->payload, true, &reply);
    else
        operation = answer_for_home(relay, link, request, &reply, &asked);
    if (operation != 0)
        worker_link_put_reply(link, request->request, operation, buffer_slice(&reply));
    else if (!asked)
        LOG_ERROR("request-unanswered", "operation=%u slot=%u", request->operation, link->slot);
    buffer_free(&reply);
}

/* Cuts the text before the next hyphen off; false when there is none, or it is no number. */
static bool take_number(struct slice *text, uint64_t *number)
{
    const char *hyphen = text->len > 0 ? memchr(text->data, '-', text->len) : NULL;
    if (!hyphen)
        return false;
    size_t len = (size_t)(hyphen - text->data);
    struct slice digits = slice_of(text->data, len);
    *text = slice_of(hyphen + 1, text->len - len - 1);
    return parse_u64(digits, number) == 0;
}

/* False also when the token is none of this process's. */
static bool read_token(struct slice token, uint64_t *incarnation, uint64_t *request)
{
    char own[REQUEST_TOKEN_ROOM];
    struct slice rest = token;
    if (!take_number(&rest, incarnation) || *incarnation > UINT32_MAX ||
        !take_number(&rest, request))
        return false;
    return slice_equal(token,
                       slice_of(own, requests_write_token((uint32_t)*incarnation, *request, own)));
}

static bool receipts_are_sound(struct slice run)
{
    struct receipt receipt;
    struct frame_reader reader = reader_of(run);
    while (reader_left(&reader) > 0)
        if (get_receipt_record(get_slice(&reader), &receipt) != 0)
            return false;
    return reader_finish(&reader) == 0;
}

static bool is_host_or_none(struct slice id)
{
    return id.len == 0 || (id.len <= CLUSTER_ID_MAX && cluster_id_is_valid(id));
}

/* All of it is shown to backends and operators. */
static bool session_is_sound(const struct frame_session *session)
{
    return session->outcome < OUTCOME_COUNT && session->attached_style <= STYLE_SHORT_POLL &&
           (session->address.len == 0 || address_is_valid(session->address)) &&
           is_host_or_none(session->home) && is_host_or_none(session->attached_at);
}

static bool is_reply(uint16_t operation, struct slice payload)
{
    union {
        struct frame_session session;
        struct frame_sent sent;
        struct frame_broadcast_sent broadcast_sent;
        struct frame_status status;
        struct frame_message_state message;
        struct frame_receipts receipts;
        struct frame_not_understood not_understood;
    } fields;
    struct recipient_result result;
    switch (operation) {
    case FRAME_SESSION:
        return get_session(payload, &fields.session) == 0 && session_is_sound(&fields.session);
    case FRAME_SENT: {
        if (get_sent(payload, &fields.sent) != 0)
            return false;
        struct frame_reader reader = reader_of(fields.sent.results);
        while (get_recipient_result(&reader, &result))
            ;
        return reader_finish(&reader) == 0;
    }
    case FRAME_BROADCAST_SENT:
        return get_broadcast_sent(payload, &fields.broadcast_sent) == 0;
    case FRAME_STATUS:
        return get_status(payload, &fields.status) == 0;
    case FRAME_MESSAGE_STATE:
        return get_message_state(payload, &fields.message) == 0 &&
               fields.message.outcome < OUTCOME_COUNT && fields.message.state < MESSAGE_STATES &&
               fields.message.settlement <= SETTLEMENT_COUNT;
    case FRAME_RECEIPTS:
        return get_receipts(payload, &fields.receipts) == 0 &&
               receipts_are_sound(fields.receipts.receipts);
    case FRAME_NOT_UNDERSTOOD:
        return get_not_understood(payload, &fields.not_understood) == 0;
    default:
        return false;
    }
}

bool requests_on_reply(struct relay *relay, struct slice token, uint16_t operation,
                       struct slice payload)
{
    uint64_t incarnation, request;
    if (!read_token(token, &incarnation, &request) || !is_reply(operation, payload))
        return false;
    struct worker_link *link = worker_link_find(relay, (uint32_t)incarnation);
    if (link)
        worker_link_put_reply(link, request, operation, payload);
    else
        metric_add(&relay->metrics, METRIC_STALE, 1);
    return true;
}

void requests_on_undelivered(struct relay *relay, struct slice token, uint16_t operation,
                             struct slice payload)
{
    uint64_t incarnation, request;
    struct buffer reply = {0};
    if (!read_token(token, &incarnation, &request)) /* anybody's: no work for it */
        return;
    struct worker_link *link = worker_link_find(relay, (uint32_t)incarnation);
    uint16_t refusal = link ? put_refusal(operation, payload, OUTCOME_HOST_GONE, &reply) : 0;
    if (refusal != 0)
        worker_link_put_reply(link, request, refusal, buffer_slice(&reply));
    buffer_free(&reply);
}
