/* What a home elsewhere sends to a client here: remote_home_on_pack() of remote_home.h. */
#include "workers/relay/delivery.h"
#include "workers/relay/redelivery.h"
#include "workers/relay/relay.h"
#include "workers/relay/remote_home_internal.h"
#include "workers/relay/remote_pack.h"

/* The rest of a pack is ignored, and asked for again when `state` is over. */
static void ignore_rest(struct relay *relay, struct remote_client *client,
                        enum attachment_state state)
{
    client->resend = true;
    if (state == ATTACHMENT_IDLE)
        remote_client_set_due(client, true);
    else
        attachment_set_state(relay, client->attachment, state);
}

static void take_stream_pack(struct relay *relay, struct remote_client *client,
                             const struct remote_pack *pack)
{
    struct attachment *attachment = client->attachment;
    if (pack->count == 0)
        return;
    if (client->next_id == 0)
        client->next_id = pack->first_id;
    if (client->resend) /* something before this pack is missing already */
        return;
    if (outlet_is_congested(attachment->outlet)) {
        ignore_rest(relay, client, ATTACHMENT_CONGESTED);
        return;
    }
    struct remote_run run;
    enum remote_pack_rest rest =
        remote_pack_choose(pack, client->next_id, remote_client_room(attachment),
                           attachment->in_flight < attachment->window, &run);
    if (run.count > 0) {
        if (remote_pack_put(relay, attachment, pack, &run) != 0) {
            ignore_rest(relay, client, ATTACHMENT_IDLE);
            return;
        }
        client->next_id += run.count;
        client->given_to = client->next_id - 1;
        uint32_t cost = (uint32_t)messages_cost(run.count, run.bytes);
        client->since_connect += cost;
        attachment->in_flight += cost;
        redelivery_note(relay, attachment);
    }
    if (rest == REMOTE_REST_FULL)
        ignore_rest(relay, client, ATTACHMENT_FULL);
    else if (rest == REMOTE_REST_GAP)
        ignore_rest(relay, client, ATTACHMENT_IDLE);
    else
        remote_client_renew_window(relay, client); /* little in flight may bring no credit */
}

static void take_poll_pack(struct relay *relay, struct remote_client *client,
                           const struct remote_pack *pack)
{
    struct attachment *attachment = client->attachment;
    struct remote_run run;
    if (pack->count == 0 && attachment->style != STYLE_SHORT_POLL)
        return;
    if (outlet_is_congested(attachment->outlet)) {
        attachment_set_state(relay, attachment, ATTACHMENT_CONGESTED);
        return;
    }
    remote_pack_choose(pack, pack->first_id, UINT32_MAX, true, &run);
    if (remote_pack_put(relay, attachment, pack, &run) == 0)
        attachment_close(relay, attachment);
    else
        remote_client_set_due(client, true);
}

void remote_home_on_pack(struct relay *relay, struct attachment *attachment,
                         const struct envelope *envelope)
{
    struct remote_client *client = attachment->away;
    struct remote_pack pack;
    if (remote_pack_read(envelope, client->home->is_msgserver, &pack) != 0) {
        metric_add(&relay->metrics, METRIC_MALFORMED, 1);
        return;
    }
    client->was_connected = true;
    if (attachment->style == STYLE_STREAM)
        take_stream_pack(relay, client, &pack);
    else
        take_poll_pack(relay, client, &pack);
}
