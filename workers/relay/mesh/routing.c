#include "workers/relay/mesh/routing.h"

#include <errno.h>
#include <stdlib.h>

#include "workers/relay/mesh/introductions.h"

/* `peer` may be NULL. */
#define MESH_COUNT(mesh, peer, name) ((mesh)->counters.name++, (peer) ? (peer)->counters.name++ : 0)

static struct slice type_slice(enum envelope_type type)
{
    return slice_from_string(envelope_type_name(type));
}

/* --- sending ------------------------------------------------------------------------- */

static bool is_large(const struct envelope *envelope)
{
    size_t bytes = 0;
    for (size_t i = 0; i < envelope->message_count; i++)
        bytes += envelope->messages[i].len;
    return bytes >= ENVELOPE_PACK_ALONE_BYTES;
}

static bool may_pack(const struct peer *peer, const struct envelope *envelope)
{
    return peer_takes_packs(peer) && !is_large(envelope);
}

int routing_send(struct mesh *mesh, const struct envelope *envelope)
{
    struct peer *peer = envelope->route_len > 0 ? mesh_find_peer(mesh, envelope->route[0]) : NULL;
    struct envelope tracked; /* a large structure: not copied for nothing */
    bool fits = true;
    if (envelope->flags & ENVELOPE_TRACK_ROUTE) {
        tracked = *envelope;
        fits = envelope_track(&tracked, mesh_own_id(mesh));
        envelope = &tracked;
    }
    if (!peer || !fits) {
        errno = EHOSTUNREACH;
        return -1;
    }
    if (may_pack(peer, envelope))
        return peer_pack(peer, envelope);
    struct multipart *multipart = multipart_from_envelope(envelope);
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

/* `*original` is made when it is needed first. */
static bool send_copy(struct peer *peer, struct envelope *envelope, struct multipart **original)
{
    envelope->route[0] = peer_id(peer);
    if (may_pack(peer, envelope))
        return peer_pack(peer, envelope) == 0;
    if (!*original)
        *original = multipart_from_envelope(envelope);
    if (!*original)
        return false;
    struct multipart *copy = multipart_readdressed(*original, peer_id(peer));
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
    bool tracked = envelope_track(envelope, mesh_own_id(mesh));
    for (struct peer *peer = mesh->peers; peer; peer = peer->hh.next) {
        if (peer == sender || is_on_return_route(envelope, peer) ||
            (peer->state != PEER_UP && !peer->announced))
            continue;
        if (tracked && peer->state == PEER_UP && send_copy(peer, envelope, &original))
            sent++;
        else
            (*failed)++;
    }
    multipart_free(original);
    return sent;
}

/* --- errors -------------------------------------------------------------------------- */

static void deliver(struct mesh *mesh, struct slice sender, const struct envelope *envelope)
{
    mesh->counters.received++;
    mesh->in_handlers++;
    mesh->handlers->on_envelope(mesh->context, sender, envelope);
    mesh->in_handlers--;
}

static struct complaint_limits *limits_for(struct mesh *mesh, struct peer *peer)
{
    return peer && peer->announced ? &peer->complaints : &mesh->complaints;
}

/* `peer`: whose envelope it is; NULL for one of ours. */
static void note_unroutable(struct mesh *mesh, struct peer *peer, const struct envelope *failed,
                            int error)
{
    uint64_t suppressed;
    MESH_COUNT(mesh, peer, unroutable);
    if (log_limit_pass(&limits_for(mesh, peer)->unroutable, COMPLAINT_INTERVAL_MS, &suppressed))
        LOG_INFO("envelope-unroutable", "from=%s type=%s to=%s why=\"%s\" suppressed=%llu",
                 peer ? peer->id : mesh->id, LOG_TEXT(failed->type_name),
                 LOG_TEXT(failed->route_len ? failed->route[0] : SLICE_EMPTY), strerror(error),
                 (unsigned long long)suppressed);
}

/* "W|<>|Host unreachable|msgServer.connect|addr|never|<>|\x00mmrp.sendError" (MMRP fact). */
static void send_error(struct mesh *mesh, struct peer *peer, const struct envelope *failed,
                       int error)
{
    note_unroutable(mesh, peer, failed, error);
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
        deliver(mesh, mesh_own_id(mesh), &back);
    else if (routing_send(mesh, &back) != 0)
        mesh->counters.unroutable++;
    free(messages);
}

static void put_hop_in_front(struct envelope *envelope, struct slice hop)
{
    if (envelope->route_len == ENVELOPE_ROUTE_MAX)
        return;
    memmove(envelope->route + 1, envelope->route, envelope->route_len++ * sizeof *envelope->route);
    envelope->route[0] = hop;
}

static void packed_undelivered(struct mesh *mesh, const struct peer *peer, struct slice pack)
{
    struct frame_list frames = {0};
    struct envelope envelope;
    while (envelope_pack_take(&pack, &frames) > 0) {
        if (envelope_parse(frames.frames, frames.count, &envelope) != ENVELOPE_OK)
            continue;
        put_hop_in_front(&envelope, peer_id(peer)); /* it was left out */
        send_error(mesh, NULL, &envelope, EHOSTUNREACH);
    }
    frame_list_free(&frames);
}

void routing_undelivered(struct mesh *mesh, const struct peer *peer, struct multipart *multipart)
{
    struct envelope envelope;
    if (multipart->packed > 0) {
        packed_undelivered(mesh, peer, multipart_pack_bytes(multipart));
        return;
    }
    multipart_view(multipart);
    if (envelope_parse(multipart->slices, multipart->count, &envelope) == ENVELOPE_OK)
        send_error(mesh, NULL, &envelope, EHOSTUNREACH);
}

void routing_drop_malformed(struct mesh *mesh, const struct sender *sender, struct slice type,
                            const char *why)
{
    uint64_t suppressed;
    MESH_COUNT(mesh, sender->peer, malformed);
    if (log_limit_pass(&limits_for(mesh, sender->peer)->malformed, COMPLAINT_INTERVAL_MS,
                       &suppressed))
        LOG_WARNING("envelope-malformed", "from=%s type=%s why=\"%s\" suppressed=%llu",
                    LOG_TEXT(sender->id), LOG_TEXT(type), why, (unsigned long long)suppressed);
}

void routing_drop_stranger(struct mesh *mesh, const struct sender *sender, struct slice type)
{
    uint64_t suppressed;
    MESH_COUNT(mesh, sender->peer, strangers);
    if (log_limit_pass(&limits_for(mesh, sender->peer)->stranger, COMPLAINT_INTERVAL_MS,
                       &suppressed))
        LOG_WARNING("envelope-from-stranger", "from=%s type=%s suppressed=%llu",
                    LOG_TEXT(sender->id), LOG_TEXT(type), (unsigned long long)suppressed);
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

static void broadcast(struct mesh *mesh, struct peer *peer, const struct envelope *envelope)
{
    struct slice hop = envelope->route[0];
    if (!slice_equals_string(hop, "*:c")) {
        struct envelope onward = *envelope;
        uint32_t failed = 0;
        onward.route[1] = SLICE_LITERAL("*:c");
        onward.route_len = 2;
        mesh->counters.forwarded += routing_send_to_all(mesh, &onward, peer, &failed);
        mesh->counters.unroutable += failed;
    }
    if (!slice_equals_string(hop, "*:r")) {
        struct envelope here = *envelope;
        here.route_len = 0;
        deliver(mesh, peer_id(peer), &here);
    }
}

static void route(struct mesh *mesh, struct peer *peer, const struct envelope *envelope)
{
    peer->counters.received++;
    if (envelope->route_len == 0 ||
        (envelope->route_len == 1 && is_own_client(mesh, envelope->route[0])))
        deliver(mesh, peer_id(peer), envelope);
    else if (is_broadcast(envelope->route[0]))
        broadcast(mesh, peer, envelope);
    else if (routing_send(mesh, envelope) == 0)
        mesh->counters.forwarded++;
    else
        send_error(mesh, peer, envelope, errno);
}

/* Returns false when it is no envelope. */
static bool parse_frames(struct mesh *mesh, const struct sender *sender, const struct slice *frames,
                         size_t count, struct envelope *envelope)
{
    enum envelope_error error = envelope_parse(frames, count, envelope);
    if (error != ENVELOPE_OK)
        routing_drop_malformed(mesh, sender, SLICE_EMPTY, envelope_error_text(error));
    return error == ENVELOPE_OK;
}

static bool parse(struct mesh *mesh, const struct sender *sender, const struct multipart *in,
                  size_t skip, struct envelope *envelope)
{
    if (!in->overlong)
        return parse_frames(mesh, sender, in->slices + skip, in->count - skip, envelope);
    routing_drop_malformed(mesh, sender, SLICE_EMPTY,
                           envelope_error_text(ENVELOPE_TOO_MANY_FRAMES));
    return false;
}

/* Anybody who reaches the port can send a handshake. Who is known by that alone may concern himself
 * with sessions whose address he knows, but with nothing else: neither here nor further on, where
 * he would pass for us. A host of another game or version has no business here at all. */
static bool may_send(const struct peer *peer, enum envelope_type type)
{
    bool is_for_peers_alone = type == ENVELOPE_BROADCAST || type == ENVELOPE_REQUEST;
    return !peer->foreign && !(peer->state == PEER_UNANNOUNCED && is_for_peers_alone);
}

/* A host of ours that discovery is about to announce is told; it says hostGone to its backend. */
static void refuse(struct mesh *mesh, const struct sender *sender, const struct envelope *envelope)
{
    routing_drop_stranger(mesh, sender, envelope->type_name);
    if (envelope->type == ENVELOPE_REQUEST)
        send_error(mesh, sender->peer, envelope, EHOSTUNREACH);
}

static void handle(struct mesh *mesh, const struct sender *sender, struct envelope *envelope)
{
    if (!envelope_track(envelope, sender->id))
        routing_drop_malformed(mesh, sender, envelope->type_name, "the return route is full");
    else if (!may_send(sender->peer, envelope->type))
        refuse(mesh, sender, envelope);
    else
        route(mesh, sender->peer, envelope);
}

static void handle_packed(struct mesh *mesh, const struct sender *sender)
{
    struct envelope envelope;
    if (!parse_frames(mesh, sender, mesh->unpacked.frames, mesh->unpacked.count, &envelope))
        return;
    envelope_consume_identity(&envelope, mesh_own_id(mesh));
    if (envelope.type == ENVELOPE_HANDSHAKE || envelope.type == ENVELOPE_PACK)
        routing_drop_malformed(mesh, sender, envelope.type_name, "not for a pack");
    else
        handle(mesh, sender, &envelope);
}

/* Packs are for one hop, and of a bounded size. What comes before a mistake is handled, as if it
 * had come by itself. */
static void unpack(struct mesh *mesh, const struct sender *sender, const struct envelope *envelope)
{
    struct slice pack = envelope->message_count == 1 ? envelope->messages[0] : SLICE_EMPTY;
    if (envelope->route_len > 0 || pack.len == 0 || pack.len > ENVELOPE_PACK_BYTES_MAX) {
        routing_drop_malformed(mesh, sender, envelope->type_name, "a pack that is none");
        return;
    }
    int taken = 0;
    for (size_t i = 0; i < ENVELOPE_PACK_COUNT_MAX; i++) {
        taken = envelope_pack_take(&pack, &mesh->unpacked);
        if (taken <= 0)
            break;
        handle_packed(mesh, sender);
    }
    if (taken < 0 && errno == ENOMEM)
        LOG_ERROR("mesh-read-failed", "why=\"out of memory\"");
    else if (taken != 0 && pack.len > 0)
        routing_drop_malformed(mesh, sender, envelope->type_name,
                               taken < 0 ? "a broken pack" : "too many envelopes in a pack");
}

void routing_from_router(struct mesh *mesh, struct multipart *in)
{
    struct envelope envelope;
    struct sender sender = {.identity = in->slices[0], .id = peer_id_of_identity(in->slices[0])};
    sender.peer = mesh_find_peer(mesh, sender.id);
    if (!parse(mesh, &sender, in, 1, &envelope))
        return;
    if (envelope.route_len == 0) {
        routing_drop_malformed(mesh, &sender, envelope.type_name, "no route");
        return;
    }
    envelope_consume_identity(&envelope, mesh_own_id(mesh));
    if (envelope.type == ENVELOPE_HANDSHAKE) {
        introductions_from_router(mesh, &sender, &envelope);
        return;
    }
    if (!sender.peer) {
        routing_drop_stranger(mesh, &sender, envelope.type_name);
        return;
    }
    mesh->heard_last = sender.peer;
    peer_heard(sender.peer);
    if (envelope.type == ENVELOPE_PACK)
        unpack(mesh, &sender, &envelope);
    else
        handle(mesh, &sender, &envelope);
}

/* An honest peer put its identity on the return route already: what is kept under the first hop,
 * and shown to operators, is the peer's in any case. */
void routing_from_peer(struct mesh *mesh, struct peer *peer, struct multipart *in)
{
    struct envelope envelope;
    struct sender sender = {.identity = peer_id(peer), .id = peer_id(peer), .peer = peer};
    if (!parse(mesh, &sender, in, 0, &envelope))
        return;
    envelope_consume_identity(&envelope, mesh_own_id(mesh));
    if (introductions_from_peer(mesh, &sender, &envelope))
        return;
    peer_heard(peer);
    if (envelope.type == ENVELOPE_PACK)
        unpack(mesh, &sender, &envelope);
    else
        handle(mesh, &sender, &envelope);
}

void mesh_complain(struct mesh *mesh, struct slice sender, const struct envelope *envelope,
                   const char *why)
{
    const struct sender blamed = {
        .identity = sender, .id = sender, .peer = mesh_find_peer(mesh, sender)};
    routing_drop_malformed(mesh, &blamed, envelope->type_name, why);
}
