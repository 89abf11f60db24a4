#include "workers/relay/mesh/introductions.h"

#include "workers/relay/mesh/handshake.h"

static struct slice type_slice(enum envelope_type type)
{
    return slice_from_string(envelope_type_name(type));
}

/* By the connection that something came on, whose end may be a stranger. */
static bool send_back(struct mesh *mesh, const struct envelope *envelope)
{
    struct multipart *multipart = multipart_from_envelope(envelope);
    bool sent = multipart &&
                multipart_send(multipart, router_socket_handle(mesh->router)) == MULTIPART_SENT;
    multipart_free(multipart);
    return sent;
}

/* A host of ours waits for it: it tells us from a MAGE host, which is not answered before it could
 * send to us, as it tries only once. */
static void answer(struct mesh *mesh, const struct sender *sender)
{
    struct slice json = buffer_slice(&mesh->handshake);
    struct envelope envelope = {.route = {sender->identity},
                                .route_len = 1,
                                .messages = &json,
                                .message_count = 1,
                                .flags = ENVELOPE_TRACK_ROUTE,
                                .type = ENVELOPE_HANDSHAKE,
                                .type_name = type_slice(ENVELOPE_HANDSHAKE)};
    envelope_track(&envelope, mesh_own_id(mesh));
    if (send_back(mesh, &envelope))
        mesh->counters.handshakes_sent++;
}

/* The sender knows our address under a name that is not ours, or is of another cluster. What it
 * sent is sent back as MAGE does, but no more than a handshake is long: it may be a stranger, who
 * does not read. */
static void refuse(struct mesh *mesh, const struct sender *sender, const struct envelope *handshake)
{
    bool sound = handshake->message_count > 0 && handshake->messages[0].len <= HANDSHAKE_MAX;
    const struct slice messages[] = {SLICE_LITERAL("Host unreachable"), handshake->type_name,
                                     sound ? handshake->messages[0] : SLICE_LITERAL("{}")};
    struct envelope back = {.route = {sender->identity},
                            .route_len = 1,
                            .messages = messages,
                            .message_count = 3,
                            .type = ENVELOPE_SEND_ERROR,
                            .type_name = type_slice(ENVELOPE_SEND_ERROR)};
    if (send_back(mesh, &back))
        mesh->counters.send_errors++;
}

/* Its own handshake coming back, clients of other clusters, and anyone who gives another's name
 * are ignored. */
static bool is_acceptable(struct mesh *mesh, const struct sender *sender,
                          const struct envelope *envelope, struct handshake *handshake)
{
    if (envelope->message_count != 1 ||
        handshake_read(envelope->messages[0], &mesh->service, handshake) != 0) {
        routing_drop_malformed(mesh, sender, envelope->type_name, "a handshake that is not one");
        return false;
    }
    if (!handshake->is_relay || !slice_equals_string(sender->id, handshake->cluster_id) ||
        slice_equal(sender->id, mesh_own_id(mesh))) {
        routing_drop_stranger(mesh, sender, envelope->type_name);
        return false;
    }
    return true;
}

void introductions_from_router(struct mesh *mesh, const struct sender *sender,
                               const struct envelope *envelope)
{
    struct handshake handshake;
    if (envelope->route_len > 0) {
        mesh->counters.unroutable++;
        refuse(mesh, sender, envelope);
        return;
    }
    if (!is_acceptable(mesh, sender, envelope, &handshake))
        return;
    if (handshake.is_foreign || mesh_is_foreign(mesh, sender->id)) {
        routing_drop_stranger(mesh, sender, envelope->type_name);
        refuse(mesh, sender, envelope);
        return;
    }
    struct peer *peer = mesh_meet_peer(mesh, sender->id);
    if (!peer)
        return;
    mesh->counters.handshakes_received++;
    peer_came(peer, &handshake, sender->identity);
    if (handshake.is_msgserver)
        answer(mesh, sender);
}

static bool is_refusal(const struct envelope *envelope)
{
    return envelope->type == ENVELOPE_SEND_ERROR && envelope->route_len == 0 &&
           envelope->message_count >= 2 &&
           slice_equal(envelope->messages[1], type_slice(ENVELOPE_HANDSHAKE));
}

bool introductions_from_peer(struct mesh *mesh, const struct sender *sender,
                             const struct envelope *envelope)
{
    struct handshake handshake;
    if (is_refusal(envelope)) {
        peer_misplaced(sender->peer);
        return true;
    }
    if (envelope->type != ENVELOPE_HANDSHAKE)
        return false;
    struct sender named = *sender;
    if (envelope->return_route_len > 0)
        named.id = envelope->return_route[0];
    if (!slice_equal(named.id, sender->id)) {
        routing_drop_stranger(mesh, sender, envelope->type_name);
    } else if (is_acceptable(mesh, sender, envelope, &handshake)) {
        mesh->counters.handshakes_received++;
        peer_answered(sender->peer, &handshake);
    }
    return true;
}
