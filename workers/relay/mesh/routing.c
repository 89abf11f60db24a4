#include "workers/relay/mesh/routing.h"

#include <errno.h>
#include <stdlib.h>

#include "workers/relay/mesh/handshake.h"

enum { LOG_INTERVAL_MS = 60000 };

static struct slice type_slice(enum envelope_type type)
{
    return slice_from_string(envelope_type_name(type));
}

/* --- sending ------------------------------------------------------------------------- */

int routing_send(struct mesh *mesh, const struct envelope *envelope)
{
    struct peer *peer = envelope->route_len > 0 ? mesh_find_peer(mesh, envelope->route[0]) : NULL;
    struct envelope tracked = *envelope;
    if (!peer || !envelope_track(&tracked, mesh_own_id(mesh))) {
        errno = EHOSTUNREACH;
        return -1;
    }
    struct multipart *multipart = multipart_from_envelope(&tracked);
    if (!multipart)
        return -1;
    if (peer_send(peer, multipart) == 0)
        return 0;
    int saved_errno = errno;
    multipart_free(multipart);
    errno = saved_errno;
    return -1;
}

static bool is_on_return_route(const struct envelope *envelope, const struct peer *peer)
{
    for (size_t i = 0; i < envelope->return_route_len; i++)
        if (slice_equal(envelope->return_route[i], peer_id(peer)))
            return true;
    return false;
}

static bool send_copy(struct peer *peer, const struct multipart *original)
{
    struct multipart *copy = multipart_readdressed(original, peer_id(peer));
    if (copy && peer_send(peer, copy) == 0)
        return true;
    multipart_free(copy);
    return false;
}

uint32_t routing_send_to_all(struct mesh *mesh, struct envelope *envelope,
                             const struct peer *sender, uint32_t *failed)
{
    struct multipart *original = NULL;
    uint32_t sent = 0;
    envelope->route[0] = mesh_own_id(mesh); /* a place holder: each copy gets its peer there */
    if (envelope_track(envelope, mesh_own_id(mesh)))
        original = multipart_from_envelope(envelope);
    for (struct peer *peer = mesh->peers; peer; peer = peer->hh.next) {
        if (peer == sender || is_on_return_route(envelope, peer) ||
            (peer->state != PEER_UP && !peer->announced))
            continue;
        if (original && peer->state == PEER_UP && send_copy(peer, original))
            sent++;
        else
            (*failed)++;
    }
    multipart_free(original);
    return sent;
}

/* --- errors -------------------------------------------------------------------------- */

static void deliver(struct mesh *mesh, const struct envelope *envelope)
{
    mesh->counters.received++;
    mesh->in_handlers++;
    mesh->handlers->on_envelope(mesh->context, envelope);
    mesh->in_handlers--;
}

/* "W|<>|Host unreachable|msgServer.connect|addr|never|<>|\x00mmrp.sendError" (MMRP fact). */
static void send_error(struct mesh *mesh, const struct envelope *failed, int error)
{
    mesh->counters.unroutable++;
    uint64_t suppressed;
    if (log_limit_pass(&mesh->unroutable_log, LOG_INTERVAL_MS, &suppressed))
        LOG_INFO("envelope-unroutable", "type=%s to=%s why=\"%s\" suppressed=%llu",
                 LOG_TEXT(failed->type_name),
                 LOG_TEXT(failed->route_len ? failed->route[0] : SLICE_EMPTY), strerror(error),
                 (unsigned long long)suppressed);
    if (failed->return_route_len == 0 || failed->type == ENVELOPE_SEND_ERROR)
        return;
    size_t count = failed->message_count + 2;
    struct slice *messages = malloc(count * sizeof *messages);
    if (!messages)
        return;
    /* libzmq's wording on a Linux host, which MAGE sends. */
    messages[0] = slice_from_string(error == EAGAIN ? "Resource temporarily unavailable"
                                                    : "Host unreachable");
    messages[1] = failed->type_name;
    if (failed->message_count > 0)
        memcpy(messages + 2, failed->messages, failed->message_count * sizeof *messages);
    struct envelope back = {.messages = messages,
                            .message_count = count,
                            .route_len = failed->return_route_len,
                            .type = ENVELOPE_SEND_ERROR,
                            .type_name = type_slice(ENVELOPE_SEND_ERROR)};
    memcpy(back.route, failed->return_route, sizeof back.route);
    envelope_consume_identity(&back, mesh_own_id(mesh));
    mesh->counters.send_errors++;
    if (back.route_len <= 1 && (back.route_len == 0 || !mesh_find_peer(mesh, back.route[0])))
        deliver(mesh, &back);
    else if (routing_send(mesh, &back) != 0)
        mesh->counters.unroutable++;
    free(messages);
}

void routing_undelivered(struct mesh *mesh, struct multipart *multipart)
{
    struct envelope envelope;
    if (multipart_view(multipart) == 0 &&
        envelope_parse(multipart->slices, multipart->count, &envelope) == ENVELOPE_OK)
        send_error(mesh, &envelope, EHOSTUNREACH);
}

static void drop_malformed(struct mesh *mesh, struct slice sender, const char *why)
{
    mesh->counters.malformed++;
    uint64_t suppressed;
    if (log_limit_pass(&mesh->malformed_log, LOG_INTERVAL_MS, &suppressed))
        LOG_WARNING("envelope-malformed", "from=%s why=\"%s\" suppressed=%llu", LOG_TEXT(sender),
                    why, (unsigned long long)suppressed);
}

/* One line a minute for all of them, not one each: a stranger chooses its identity, and could fill
 * a table of identities as well as the log. */
static void drop_stranger(struct mesh *mesh, struct slice sender, const struct envelope *envelope)
{
    mesh->counters.strangers++;
    uint64_t suppressed;
    if (log_limit_pass(&mesh->stranger_log, LOG_INTERVAL_MS, &suppressed))
        LOG_WARNING("envelope-from-stranger", "from=%s type=%s suppressed=%llu", LOG_TEXT(sender),
                    LOG_TEXT(envelope->type_name), (unsigned long long)suppressed);
}

/* --- handshakes ---------------------------------------------------------------------- */

/* A host of ours that discovery has not announced to us yet, so that we have no DEALER to it: our
 * handshake goes the other way, and it need not wait for ours. (A MAGE host is not told before it
 * could send to us: it tries only once.) */
static void answer_handshake(struct mesh *mesh, const struct peer *peer)
{
    struct slice json = buffer_slice(&mesh->handshake);
    struct envelope envelope = {.route = {peer_id(peer)},
                                .route_len = 1,
                                .messages = &json,
                                .message_count = 1,
                                .flags = ENVELOPE_TRACK_ROUTE,
                                .type = ENVELOPE_HANDSHAKE,
                                .type_name = type_slice(ENVELOPE_HANDSHAKE)};
    envelope_track(&envelope, mesh_own_id(mesh));
    struct multipart *multipart = multipart_from_envelope(&envelope);
    if (multipart &&
        multipart_send(multipart, router_socket_handle(mesh->router)) == MULTIPART_SENT)
        mesh->counters.handshakes_sent++;
    multipart_free(multipart);
}

/* `sender`: as its connection or its return route says. Its own handshake coming back, clients of
 * other clusters, and anyone who gives another's name are ignored. */
static void take_handshake(struct mesh *mesh, struct slice sender, const struct envelope *envelope,
                           bool by_router)
{
    struct handshake handshake;
    if (envelope->message_count != 1 || handshake_read(envelope->messages[0], &handshake) != 0) {
        drop_malformed(mesh, sender, "a handshake that is not one");
        return;
    }
    if (!handshake.is_relay || !slice_equals_string(sender, handshake.cluster_id) ||
        slice_equal(sender, mesh_own_id(mesh))) {
        drop_stranger(mesh, sender, envelope);
        return;
    }
    struct peer *peer = mesh_meet_peer(mesh, sender);
    if (!peer)
        return;
    mesh->counters.handshakes_received++;
    peer_handshaken(peer, handshake.is_msgserver, by_router);
    if (by_router && handshake.is_msgserver && peer->state != PEER_UP)
        answer_handshake(mesh, peer);
}

/* A handshake for another than us: the sender knows our address under a name that is not ours. It
 * is told so by the connection it came on, stranger or not. */
static void refuse_handshake(struct mesh *mesh, struct slice sender,
                             const struct envelope *envelope)
{
    mesh->counters.unroutable++;
    const struct slice messages[] = {SLICE_LITERAL("Host unreachable"), envelope->type_name,
                                     envelope->message_count ? envelope->messages[0]
                                                             : SLICE_LITERAL("{}")};
    struct envelope back = {.route = {sender},
                            .route_len = 1,
                            .messages = messages,
                            .message_count = 3,
                            .type = ENVELOPE_SEND_ERROR,
                            .type_name = type_slice(ENVELOPE_SEND_ERROR)};
    struct multipart *multipart = multipart_from_envelope(&back);
    if (multipart &&
        multipart_send(multipart, router_socket_handle(mesh->router)) == MULTIPART_SENT)
        mesh->counters.send_errors++;
    multipart_free(multipart);
}

/* --- arriving ------------------------------------------------------------------------ */

/* Both routes name "<our ID>:<handle>" for an attachment of ours. */
static bool is_own_client(const struct mesh *mesh, struct slice hop)
{
    size_t len = strlen(mesh->id);
    return hop.len > len + 1 && slice_starts_with(hop, mesh->id) && hop.data[len] == ':';
}

/* "*": relays and clients; "*:r": peer relays, each told "*:c"; "*:c": own clients (MMRP fact). */
static bool is_broadcast(struct slice hop)
{
    return slice_equals_string(hop, "*") || slice_equals_string(hop, "*:r") ||
           slice_equals_string(hop, "*:c");
}

static void broadcast(struct mesh *mesh, const struct peer *sender, const struct envelope *envelope)
{
    struct slice hop = envelope->route[0];
    if (!slice_equals_string(hop, "*:c")) {
        struct envelope onward = *envelope;
        uint32_t failed = 0;
        onward.route[1] = SLICE_LITERAL("*:c");
        onward.route_len = 2;
        mesh->counters.forwarded += routing_send_to_all(mesh, &onward, sender, &failed);
        mesh->counters.unroutable += failed;
    }
    if (!slice_equals_string(hop, "*:r")) {
        struct envelope here = *envelope;
        here.route_len = 0;
        deliver(mesh, &here);
    }
}

static void route(struct mesh *mesh, const struct peer *sender, const struct envelope *envelope)
{
    if (envelope->route_len == 0 ||
        (envelope->route_len == 1 && is_own_client(mesh, envelope->route[0])))
        deliver(mesh, envelope);
    else if (is_broadcast(envelope->route[0]))
        broadcast(mesh, sender, envelope);
    else if (routing_send(mesh, envelope) == 0)
        mesh->counters.forwarded++;
    else
        send_error(mesh, envelope, errno);
}

/* Returns false when it is no envelope. */
static bool parse(struct mesh *mesh, struct slice sender, const struct multipart *in, size_t skip,
                  struct envelope *envelope)
{
    enum envelope_error error = ENVELOPE_TOO_MANY_FRAMES;
    if (!in->overlong)
        error = envelope_parse(in->slices + skip, in->count - skip, envelope);
    if (error != ENVELOPE_OK)
        drop_malformed(mesh, sender, envelope_error_text(error));
    return error == ENVELOPE_OK;
}

/* Anybody who reaches the port can send a handshake. Who is known by that alone may concern himself
 * with sessions whose address he knows, but with nothing else: neither here nor further on, where
 * he would pass for us. */
static bool is_for_peers_alone(enum envelope_type type)
{
    return type == ENVELOPE_BROADCAST || type == ENVELOPE_REQUEST;
}

/* A host of ours that discovery is about to announce is told; it says hostGone to its backend. */
static void refuse_unannounced(struct mesh *mesh, struct slice sender,
                               const struct envelope *envelope)
{
    drop_stranger(mesh, sender, envelope);
    if (envelope->type == ENVELOPE_REQUEST)
        send_error(mesh, envelope, EHOSTUNREACH);
}

void routing_from_router(struct mesh *mesh, struct multipart *in)
{
    struct envelope envelope;
    if (multipart_view(in) != 0) {
        LOG_ERROR("mesh-read-failed", "why=\"out of memory\"");
        return;
    }
    struct slice sender = in->slices[0];
    if (!parse(mesh, sender, in, 1, &envelope))
        return;
    if (envelope.route_len == 0) {
        drop_malformed(mesh, sender, "no route");
        return;
    }
    envelope_consume_identity(&envelope, mesh_own_id(mesh));
    if (envelope.type == ENVELOPE_HANDSHAKE) {
        if (envelope.route_len == 0)
            take_handshake(mesh, sender, &envelope, true);
        else
            refuse_handshake(mesh, sender, &envelope);
        return;
    }
    struct peer *peer = mesh_find_peer(mesh, sender);
    if (!peer) {
        drop_stranger(mesh, sender, &envelope);
        return;
    }
    peer_heard(peer);
    if (!envelope_track(&envelope, sender))
        drop_malformed(mesh, sender, "the return route is full");
    else if (peer->state == PEER_UNANNOUNCED && is_for_peers_alone(envelope.type))
        refuse_unannounced(mesh, sender, &envelope);
    else
        route(mesh, peer, &envelope);
}

static bool is_refused_handshake(const struct envelope *envelope)
{
    return envelope->type == ENVELOPE_SEND_ERROR && envelope->route_len == 0 &&
           envelope->message_count >= 2 &&
           slice_equal(envelope->messages[1], type_slice(ENVELOPE_HANDSHAKE));
}

/* The peer's ROUTER put its identity on the return route already. */
void routing_from_peer(struct mesh *mesh, struct peer *peer, struct multipart *in)
{
    struct envelope envelope;
    if (multipart_view(in) != 0) {
        LOG_ERROR("mesh-read-failed", "why=\"out of memory\"");
        return;
    }
    if (!parse(mesh, peer_id(peer), in, 0, &envelope))
        return;
    envelope_consume_identity(&envelope, mesh_own_id(mesh));
    if (is_refused_handshake(&envelope)) {
        peer_misplaced(peer);
        return;
    }
    if (envelope.type == ENVELOPE_HANDSHAKE) {
        struct slice sender =
            envelope.return_route_len > 0 ? envelope.return_route[0] : peer_id(peer);
        if (slice_equal(sender, peer_id(peer)))
            take_handshake(mesh, sender, &envelope, false);
        else
            drop_stranger(mesh, sender, &envelope);
        return;
    }
    peer_heard(peer);
    route(mesh, peer, &envelope);
}
