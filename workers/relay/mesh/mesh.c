#include "workers/relay/mesh/mesh.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/invariant.h"
#include "workers/relay/mesh/curve.h"
#include "workers/relay/mesh/handshake.h"
#include "workers/relay/mesh/routing.h"
#include "workers/relay/mesh/sockets.h"

enum { FRAME_BYTES_FLOOR = 64 << 20, UNANNOUNCED_LOG_MS = 1000 };

static const double SILENCE_LOOK_S = 10.0;

/* --- peers --------------------------------------------------------------------------- */

struct peer *mesh_find_peer(const struct mesh *mesh, struct slice id)
{
    struct peer *peer = mesh->heard_last;
    if (peer && slice_equal(peer_id(peer), id))
        return peer;
    peer = NULL;
    if (id.len > 0)
        HASH_FIND(hh, mesh->peers, id.data, id.len, peer);
    return peer;
}

struct peer *mesh_add_peer(struct mesh *mesh, struct slice id)
{
    struct peer *peer = peer_new(&mesh->shared, id);
    if (peer) {
        HASH_ADD_KEYPTR(hh, mesh->peers, peer->id, id.len, peer);
        if (peer->hh.tbl)
            return peer;
        peer_free(peer);
    }
    LOG_ERROR("peer-not-added", "peer=%s why=\"out of memory\"", LOG_TEXT(id));
    errno = ENOMEM;
    return NULL;
}

/* Whoever reaches the port can make peers known, so their number is bounded: the one that was
 * silent longest goes. */
static void make_room_for_unannounced(struct mesh *mesh)
{
    struct peer *oldest = NULL;
    size_t count = 0;
    for (struct peer *peer = mesh->peers; peer; peer = peer->hh.next) {
        if (peer->state != PEER_UNANNOUNCED)
            continue;
        count++;
        if (!oldest || peer->heard_ms < oldest->heard_ms)
            oldest = peer;
    }
    if (count >= MESH_UNANNOUNCED_MAX)
        peer_withdraw(oldest);
}

struct peer *mesh_meet_peer(struct mesh *mesh, struct slice id)
{
    struct peer *peer = mesh_find_peer(mesh, id);
    if (peer)
        return peer;
    make_room_for_unannounced(mesh);
    peer = mesh_add_peer(mesh, id);
    uint64_t suppressed;
    if (peer && log_limit_pass(&mesh->unannounced_log, UNANNOUNCED_LOG_MS, &suppressed))
        LOG_INFO("peer-unannounced", "peer=%s suppressed=%llu", peer->id,
                 (unsigned long long)suppressed);
    return peer;
}

static void on_silence(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct mesh *mesh = timer->data;
    uint64_t now_ms = clock_monotonic_ms();
    for (struct peer *peer = mesh->peers, *next; peer; peer = next) {
        next = peer->hh.next; /* GONE ones leave the table */
        if (peer->state == PEER_UNANNOUNCED &&
            now_ms >= peer->heard_ms + MESH_UNANNOUNCED_SILENT_MS)
            peer_withdraw(peer);
    }
}

void mesh_reap(struct mesh *mesh)
{
    ev_prepare_stop(mesh->loop, &mesh->reaper);
    while (mesh->gone) {
        struct peer *peer = mesh->gone;
        mesh->gone = peer->next_gone;
        peer_free(peer);
    }
}

static void on_reaper(struct ev_loop *loop, ev_prepare *prepare, int events)
{
    (void)loop;
    (void)events;
    mesh_reap(prepare->data);
}

static void on_round_end(struct ev_loop *loop, ev_prepare *prepare, int events)
{
    (void)loop;
    (void)events;
    struct mesh *mesh = prepare->data;
    for (struct peer *peer = mesh->peers, *next; peer; peer = next) {
        next = peer->hh.next;
        peer_flush(peer);
    }
}

/* --- what peers and the ROUTER report ------------------------------------------------ */

/* Operators look for those who come and go. */
static void log_change(const struct peer *peer, enum peer_state before)
{
    bool up = peer->state == PEER_UP, was_up = before == PEER_UP;
    const char *event = up ? "peer-up" : "peer-down";
    if (up == was_up)
        event = up ? "peer-anew" : "peer-forgotten";
    log_event(up == was_up ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO, event, "peer=%s uri=%s kind=%s",
              peer->id, peer->uri, peer->is_msgserver ? "msgserver" : "mage");
}

static void on_peer_change(void *context, struct peer *peer, enum peer_state before)
{
    struct mesh *mesh = context;
    bool up = peer->state == PEER_UP;
    if (peer->state == PEER_GONE) {
        HASH_DEL(mesh->peers, peer);
        if (mesh->heard_last == peer)
            mesh->heard_last = NULL;
        peer->next_gone = mesh->gone;
        mesh->gone = peer;
        ev_prepare_start(mesh->loop, &mesh->reaper);
    }
    /* One that never was up may have sent envelopes by its own connection. */
    if (!up && before != PEER_UP && peer->state != PEER_GONE)
        return;
    log_change(peer, before);
    mesh->in_handlers++;
    mesh->handlers->on_peer(mesh->context, peer_id(peer), up, peer->is_msgserver);
    mesh->in_handlers--;
}

static void on_peer_writable(void *context, struct peer *peer)
{
    struct mesh *mesh = context;
    mesh->in_handlers++;
    mesh->handlers->on_writable(mesh->context, peer_id(peer));
    mesh->in_handlers--;
}

static void on_peer_received(void *context, struct peer *peer, struct multipart *in)
{
    routing_from_peer(context, peer, in);
}

static void on_peer_undelivered(void *context, const struct peer *peer, struct multipart *multipart)
{
    routing_undelivered(context, peer, multipart);
}

/* Before the loop blocks, and not at once: more may follow in this round. */
static void on_peer_packed(void *context)
{
    struct mesh *mesh = context;
    ev_feed_event(mesh->loop, &mesh->round_end, EV_PREPARE);
}

static void on_router_received(void *context, struct multipart *in, struct slice user_id)
{
    struct slice sender = slice_of(zmq_msg_data(&in->frames[0]), zmq_msg_size(&in->frames[0]));
    if (curve_vouches(context, sender, user_id))
        routing_from_router(context, in);
}

/* --- opening and closing ------------------------------------------------------------- */

/* A frame holds one message body, or one request between hosts of ours, whose recipients take up to
 * twice the room they had in the backend's JSON. The floor lets hosts differ in their limits. */
static int64_t frame_bytes_max(const struct settings *settings)
{
    uint64_t wanted =
        2 * settings->limit_backend_body_bytes + settings->limit_message_bytes + (64 << 10);
    return wanted > FRAME_BYTES_FLOOR ? (int64_t)wanted : FRAME_BYTES_FLOOR;
}

static int open_sockets(struct mesh *mesh, const struct settings *settings, uint16_t bound_port,
                        char *why, size_t why_room)
{
    char port[16];
    snprintf(port, sizeof port, "%s", settings->mmrp_port);
    if (bound_port > 0 && strcmp(settings->mmrp_port, "*") == 0)
        snprintf(port, sizeof port, "%u", bound_port);
    snprintf(mesh->bind_host, sizeof mesh->bind_host, "%s", settings->mmrp_host);
    sockets_prepare();
    if (curve_open(mesh, settings, why, why_room) != 0)
        return -1;
    const struct router_options options = {.host = mesh->bind_host,
                                           .port = port,
                                           .frame_bytes_max = frame_bytes_max(settings),
                                           .own = mesh->keys ? &mesh->curve : NULL,
                                           .failed_handshakes = &mesh->counters.failed_handshakes};
    mesh->router =
        router_socket_open(mesh->loop, &options, on_router_received, mesh, why, why_room);
    if (!mesh->router)
        return -1;
    mesh->port = router_socket_port(mesh->router);
    return 0;
}

static int name_ourselves(struct mesh *mesh, const struct settings *settings, char *why,
                          size_t why_room)
{
    int len =
        settings->mmrp_cluster_id
            ? snprintf(mesh->id, sizeof mesh->id, "%s", settings->mmrp_cluster_id)
            : snprintf(mesh->id, sizeof mesh->id, "%s:%u", settings->cluster_host, mesh->port);
    if (len < 0 || (size_t)len >= sizeof mesh->id ||
        !cluster_id_is_valid(slice_from_string(mesh->id))) {
        snprintf(why, why_room, "\"%s\" is not a cluster ID", mesh->id);
        return -1;
    }
    mesh->service.game = strdup(settings->service_name);
    mesh->service.version = strdup(settings->service_version);
    if (!mesh->service.game || !mesh->service.version ||
        handshake_write(slice_from_string(mesh->id), &mesh->service, &mesh->handshake) != 0) {
        snprintf(why, why_room, "out of memory");
        return -1;
    }
    return 0;
}

struct mesh *mesh_open(struct ev_loop *loop, const struct settings *settings, uint16_t bound_port,
                       const struct mesh_handlers *handlers, void *context, char *why,
                       size_t why_room)
{
    struct mesh *mesh = calloc(1, sizeof *mesh);
    if (!mesh) {
        snprintf(why, why_room, "out of memory");
        return NULL;
    }
    mesh->magic = MESH_MAGIC;
    mesh->loop = loop;
    mesh->handlers = handlers;
    mesh->context = context;
    ev_prepare_init(&mesh->reaper, on_reaper);
    ev_prepare_init(&mesh->round_end, on_round_end);
    ev_set_priority(&mesh->round_end, EV_MINPRI);
    ev_timer_init(&mesh->silence, on_silence, SILENCE_LOOK_S, SILENCE_LOOK_S);
    mesh->reaper.data = mesh->round_end.data = mesh->silence.data = mesh;
    if ((settings->mmrp_port && open_sockets(mesh, settings, bound_port, why, why_room) != 0) ||
        name_ourselves(mesh, settings, why, why_room) != 0) {
        mesh_close(mesh);
        return NULL;
    }
    if (mesh->router)
        ev_timer_start(loop, &mesh->silence);
    mesh->shared = (struct peer_context){
        .loop = loop,
        .own_id = slice_from_string(mesh->id),
        .handshake = buffer_slice(&mesh->handshake),
        .frame_bytes_max = frame_bytes_max(settings),
        .router = mesh->router && !mesh->keys ? router_socket_handle(mesh->router) : NULL,
        .own = mesh->keys ? &mesh->curve : NULL,
        .keys = mesh->keys,
        .counters = &mesh->counters,
        .on_received = on_peer_received,
        .on_change = on_peer_change,
        .on_undelivered = on_peer_undelivered,
        .on_packed = on_peer_packed,
        .on_writable = on_peer_writable,
        .mesh = mesh};
    return mesh;
}

void mesh_close(struct mesh *mesh)
{
    if (!mesh)
        return;
    INVARIANT(mesh->magic == MESH_MAGIC && mesh->in_handlers == 0,
              "mesh_close() inside a handler of the mesh");
    ev_clear_pending(mesh->loop, &mesh->round_end);
    ev_timer_stop(mesh->loop, &mesh->silence);
    mesh_reap(mesh);
    mesh->heard_last = NULL;
    for (struct peer *peer = mesh->peers, *next; peer; peer = next) {
        next = peer->hh.next;
        HASH_DEL(mesh->peers, peer);
        peer_send_last(peer);
        peer_free(peer);
    }
    mesh_forget_foreigners(mesh);
    router_socket_close(mesh->router);
    curve_close(mesh);
    buffer_free(&mesh->handshake);
    buffer_free(&mesh->shared.spare);
    frame_list_free(&mesh->unpacked);
    free((char *)mesh->service.game);
    free((char *)mesh->service.version);
    mesh->magic = 0;
    free(mesh);
}

struct slice mesh_cluster_id(const struct mesh *mesh)
{
    return slice_from_string(mesh->id);
}

uint16_t mesh_port(const struct mesh *mesh)
{
    return mesh->port;
}

/* --- the rest of the facade ---------------------------------------------------------- */

struct mesh_peer_state mesh_peer(const struct mesh *mesh, struct slice cluster_id)
{
    const struct peer *peer = mesh_find_peer(mesh, cluster_id);
    return peer ? (struct mesh_peer_state){true, peer->state == PEER_UP, peer->is_msgserver}
                : (struct mesh_peer_state){false, false, false};
}

uint64_t mesh_peer_time(struct mesh *mesh, struct slice cluster_id, uint64_t then_us,
                        uint64_t age_us)
{
    struct peer *peer = mesh_find_peer(mesh, cluster_id);
    struct peer_clock unknown = {0}, *clock = peer ? &peer->clock : &unknown;
    return peer_clock_to_ours(clock, clock_monotonic_us(), then_us, age_us);
}

int mesh_send(struct mesh *mesh, const struct envelope *envelope)
{
    CHECK_MAGIC(mesh, MESH_MAGIC);
    return routing_send(mesh, envelope);
}

uint32_t mesh_broadcast(struct mesh *mesh, struct slice body, uint32_t *failed)
{
    CHECK_MAGIC(mesh, MESH_MAGIC);
    struct envelope envelope = {.route = {SLICE_EMPTY, SLICE_LITERAL("*:c")},
                                .route_len = 2,
                                .messages = &body,
                                .message_count = 1,
                                .flags = ENVELOPE_TRACK_ROUTE,
                                .type = ENVELOPE_BROADCAST,
                                .type_name =
                                    slice_from_string(envelope_type_name(ENVELOPE_BROADCAST))};
    *failed = 0;
    return routing_send_to_all(mesh, &envelope, NULL, failed);
}

void mesh_hold(struct mesh *mesh)
{
    mesh->shared.holding = true;
}

/* Not at once, as handlers may run then. */
void mesh_release(struct mesh *mesh)
{
    mesh->shared.holding = false;
    if (mesh->peers)
        ev_feed_event(mesh->loop, &mesh->round_end, EV_PREPARE);
}

struct mesh_counters mesh_counters(const struct mesh *mesh)
{
    struct mesh_counters counters = mesh->counters;
    for (const struct peer *peer = mesh->peers; peer; peer = peer->hh.next) {
        counters.peers++;
        counters.peers_up += peer->state == PEER_UP;
        counters.outbox_bytes += peer->outbox.bytes;
    }
    return counters;
}

void mesh_each_peer(const struct mesh *mesh,
                    void (*each)(void *context, const struct mesh_peer_report *report),
                    void *context)
{
    uint64_t now_ms = clock_monotonic_ms();
    for (const struct peer *peer = mesh->peers; peer; peer = peer->hh.next) {
        struct mesh_peer_report report = {.id = peer_id(peer),
                                          .uri = slice_from_string(peer->uri),
                                          .software = slice_from_string(peer->software),
                                          .state = peer_state_name(peer->state),
                                          .is_msgserver = peer->is_msgserver,
                                          .state_ms = now_ms - peer->state_since_ms,
                                          .heard_ms = now_ms - peer->heard_ms,
                                          .rtt_us = peer_monitor_rtt_us(&peer->monitor, peer->uri),
                                          .outbox_count = peer->outbox.count,
                                          .outbox_bytes = peer->outbox.bytes,
                                          .counters = peer->counters};
        each(context, &report);
    }
}
