#include "workers/relay/relay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/invariant.h"
#include "base/log.h"
#include "io/child_contract.h"
#include "workers/relay/delivery.h"
#include "workers/relay/peer_outlet.h"
#include "workers/relay/recovery.h"
#include "workers/relay/routing.h"
#include "workers/relay/session_messages.h"
#include "workers/relay/worker_link.h"

enum { RELAY_MAGIC = 0x72656c61 };

struct slice relay_cluster_id(const struct relay *relay)
{
    return mesh_cluster_id(relay->mesh);
}

bool relay_is_home(const struct relay *relay, struct slice home)
{
    return home.len == 0 || slice_equal(home, relay_cluster_id(relay));
}

void relay_end_session(struct relay *relay, struct session *session, enum session_end_cause cause,
                       enum end_reason reason)
{
    struct attachment *attachment = session->attachment;
    if (session_is_adopted(session)) {
        struct remote_client *client = remote_home_find(relay, session_address(session));
        attachment = client ? client->attachment : NULL;
    }
    if (attachment) {
        remote_home_disconnect(relay, attachment);
        attachment_end(relay, attachment, reason);
    }
    session_end(&relay->registry, session, cause);
}

static void on_expired(void *context, struct session *session)
{
    struct relay *relay = context;
    /* Only of an adopted session the registry does not know that a client is attached. */
    if (session_is_adopted(session) && remote_home_find(relay, session_address(session)))
        session_release(&relay->registry, session, clock_monotonic_ms());
    else
        relay_end_session(relay, session, SESSION_EXPIRED, END_EXPIRED);
}

void relay_commit(struct relay *relay)
{
    if (!relay->uncommitted)
        return;
    /* Also in the midst of a broadcast, for an envelope that is not held. */
    broadcast_store(&relay->registry);
    relay->uncommitted = false;
    if (recovery_put_totals(relay) == 0 &&
        relay->store->engine->end_batch(relay->store, buffer_slice(&relay->totals)) == 0) {
        mesh_release(relay->mesh);
        return;
    }
    /* Answers that promise more than is stored wait in the channels: they must not leave. */
    LOG_ERROR("store-failed", "operation=end-batch errno=%d", errno);
    _Exit(EXIT_OS);
}

/* Runs after all that happened in a loop round, and before data channels send what it wrote. */
static void on_round_end(struct ev_loop *loop, ev_prepare *watcher, int events)
{
    (void)loop;
    (void)events;
    relay_commit(watcher->data);
}

static void on_stored(void *context)
{
    struct relay *relay = context;
    memory_trim_note(&relay->memory_trim);
    if (!relay->uncommitted) {
        relay->uncommitted = true;
        mesh_hold(relay->mesh);
        ev_feed_event(relay->loop, &relay->round_end, EV_PREPARE);
    }
    if (relay->store->batch_is_large)
        relay_commit(relay);
}

static void on_tick(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct relay *relay = timer->data;
    CHECK_MAGIC(relay, RELAY_MAGIC);
    uint64_t now_ms = clock_monotonic_ms();
    registry_tick(&relay->registry, now_ms);
    messages_tick(&relay->registry);
    remote_home_tick(relay, now_ms);
    peer_outlet_tick(relay, now_ms);
    /* Sessions live from the store's last sign of life when it is recovered. */
    if (now_ms >= relay->alive_due_ms) {
        relay->alive_due_ms = now_ms + RECOVERY_ALIVE_MS;
        on_stored(relay);
    }
}

static void on_envelope(void *context, struct slice sender, const struct envelope *envelope)
{
    routing_on_envelope(context, sender, envelope);
}

static void on_peer(void *context, struct slice cluster_id, bool up, bool is_msgserver)
{
    struct relay *relay = context;
    (void)is_msgserver;
    if (!up)
        peer_outlet_lost(relay, cluster_id);
    remote_home_on_peer(relay, cluster_id, up);
}

static void on_writable(void *context, struct slice cluster_id)
{
    peer_outlet_writable(context, cluster_id);
    remote_home_on_writable(context, cluster_id);
}

static const struct mesh_handlers MESH_HANDLERS = {
    .on_envelope = on_envelope,
    .on_peer = on_peer,
    .on_writable = on_writable,
};

static void free_room(void *context)
{
    struct relay *relay = context;
    for (struct worker_link *link = relay->links; link; link = link->next)
        data_channel_free_room(link->channel);
    buffer_free(&relay->scratch);
}

static void start_watchers(struct relay *relay)
{
    ev_timer_init(&relay->tick, on_tick, SESSION_TICK_MS / 1000.0, SESSION_TICK_MS / 1000.0);
    /* Fed by hand, one priority above the end of a data channel's round. */
    ev_prepare_init(&relay->round_end, on_round_end);
    ev_set_priority(&relay->round_end, EV_MINPRI + 1);
    relay->tick.data = relay->round_end.data = relay;
    ev_timer_start(relay->loop, &relay->tick);
    memory_trim_init(&relay->memory_trim, relay->loop, free_room, relay);
    delivery_start(relay);
}

struct relay *relay_new(struct ev_loop *loop, const struct settings *settings, uint16_t mmrp_port,
                        char *why, size_t why_room)
{
    const struct store_engine *engine = store_engine_find(settings->store_engine);
    struct relay *relay = calloc(1, sizeof *relay);
    if (!relay || !engine) {
        snprintf(why, why_room, engine ? "there is no memory" : "the store engine is not known");
        free(relay);
        return NULL;
    }
    relay->magic = RELAY_MAGIC;
    relay->attachments.slab.object_size = sizeof(struct attachment);
    relay->loop = loop;
    relay->settings = settings;
    relay->budget.limit = settings->limit_host_bytes;
    relay->store = engine->open(settings, why, why_room);
    if (!relay->store) {
        free(relay);
        return NULL;
    }
    registry_init(&relay->registry, settings, relay->store, &relay->budget, &relay->metrics,
                  clock_monotonic_ms());
    relay->registry.on_expired = on_expired;
    relay->registry.on_stored = on_stored;
    relay->registry.context = relay;
    start_watchers(relay);
    relay->mesh = mesh_open(loop, settings, mmrp_port, &MESH_HANDLERS, relay, why, why_room);
    if (!relay->mesh || recovery_run(relay, why, why_room) != 0) {
        relay_free(relay);
        return NULL;
    }
    relay->recovered = true;
    on_stored(relay);
    relay_commit(relay);
    return relay;
}

void relay_free(struct relay *relay)
{
    if (!relay)
        return;
    CHECK_MAGIC(relay, RELAY_MAGIC);
    while (relay->links)
        worker_link_free(relay->links);
    for (struct peer_outlet *peer = relay->peers, *next; peer; peer = next) {
        next = peer->hh.next;
        peer_outlet_lost(relay, slice_of(peer->id, peer->id_len));
    }
    relay->closing = relay->uncommitted = relay->recovered;
    relay_commit(relay);
    registry_free(&relay->registry);
    if (relay->mesh)
        mesh_close(relay->mesh);
    delivery_stop(relay);
    ev_timer_stop(relay->loop, &relay->tick);
    memory_trim_stop(&relay->memory_trim);
    ev_clear_pending(relay->loop, &relay->round_end);
    relay->store->engine->close(relay->store);
    buffer_free(&relay->scratch);
    buffer_free(&relay->totals);
    relay->magic = 0;
    free(relay);
}

int relay_link_worker(struct relay *relay, uint32_t slot, uint32_t incarnation, int fd)
{
    struct worker_link *old = worker_link_find(relay, incarnation);
    if (old)
        worker_link_free(old);
    if (!worker_link_new(relay, slot, incarnation, fd))
        return -1;
    LOG_INFO("worker-linked", "slot=%u incarnation=%u", slot, incarnation);
    return 0;
}
