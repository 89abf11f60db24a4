#include "workers/relay/receipts_requests.h"

#include "workers/relay/relay.h"
#include "workers/relay/session_messages.h"

/* Where a message of a live session is, as far as the mailbox knows. */
static enum message_state state_in_mailbox(const struct mailbox *mailbox, uint64_t id)
{
    if (id == 0 || id > mailbox->last_id)
        return MESSAGE_UNKNOWN;
    if (id >= mailbox_first_entry(mailbox))
        return mailbox_entry(mailbox, id)->body ? MESSAGE_PENDING : MESSAGE_DROPPED;
    if (id >= mailbox_first_waiting(mailbox))
        return MESSAGE_DROPPED;
    return mailbox->dropped == mailbox->replaced ? MESSAGE_CONFIRMED : MESSAGE_SETTLED;
}

/* SETTLED_REPLACED is not the end of an ID: another message has it. And the session may be a new
 * one under the key of an old one (`session` is NULL when there is none). */
static bool find_receipt(const struct relay *relay, const struct session *session,
                         struct slice address, uint64_t id, struct receipt *receipt)
{
    return receipts_find(&relay->registry.receipts, address, id, receipt) &&
           receipt->settlement != SETTLED_REPLACED &&
           (!session || receipt->at_ms >= session->created_ms);
}

int answer_read_message(struct relay *relay, struct slice payload, struct buffer *reply)
{
    struct frame_read_message read;
    struct receipt receipt;
    if (get_read_message(payload, &read) != 0)
        return -1;
    struct session *session = session_find(&relay->registry, read.address);
    struct frame_message_state message = {.outcome = OUTCOME_NO_SESSION,
                                          .settlement = SETTLEMENT_COUNT};
    if (session && !session_is_adopted(session)) {
        session_drop_due(&relay->registry, session);
        message.outcome = OUTCOME_QUEUED;
        message.state = (uint8_t)state_in_mailbox(&session->mailbox, read.id);
        message.sent = message.state != MESSAGE_UNKNOWN && read.id <= session->mailbox.sent_up_to;
    }
    bool waits = message.outcome == OUTCOME_QUEUED && message.state == MESSAGE_PENDING;
    if (!waits && find_receipt(relay, session, read.address, read.id, &receipt)) {
        message.outcome = OUTCOME_QUEUED;
        message.state =
            receipt.settlement == SETTLED_CONFIRMED ? MESSAGE_CONFIRMED : MESSAGE_DROPPED;
        message.settlement = receipt.settlement;
        message.sent = receipt.sent;
        message.at_ms = receipt.at_ms;
    }
    return put_message_state_fields(reply, &message);
}

int answer_read_receipts(struct relay *relay, struct slice payload, struct buffer *reply)
{
    const struct receipts *receipts = &relay->registry.receipts;
    struct frame_read_receipts read;
    struct buffer run = {0};
    if (get_read_receipts(payload, &read) != 0)
        return -1;
    struct frame_receipts answer = {.epoch = receipts->epoch, .home = relay_cluster_id(relay)};
    bool known = read.epoch == receipts->epoch && read.after < receipts->next;
    answer.restarted = read.epoch != 0 && !known;
    uint64_t after = known ? read.after : 0;
    int failed = receipts_read(receipts, after, read.limit, &answer.first, &run);
    if (known)
        answer.lost = answer.first - after - 1;
    answer.receipts = buffer_slice(&run);
    if (failed == 0)
        failed = put_receipts_fields(reply, &answer);
    buffer_free(&run);
    return failed;
}
