#include "master/discovery/discovery.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/blob.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/invariant.h"
#include "base/log.h"
#include "master/discovery/announcement.h"
#include "master/discovery/cluster_id.h"
#include "master/discovery/engine.h"

enum { DISCOVERY_MAGIC = 0x44495343 };

/* An interface without an address (yet) is asked for it again after this time. */
static const double ADDRESS_RETRY_S = 5;

enum { ENGINE_COUNT = 2 };
static const struct discovery_engine *const ENGINES[ENGINE_COUNT] = {&DISCOVERY_SINGLE,
                                                                     &DISCOVERY_ZOOKEEPER};

struct discovery {
    unsigned magic;
    struct ev_loop *loop;
    const struct settings *settings;
    const struct discovery_handlers *handlers;
    void *context;
    const struct discovery_engine *engine;
    void *engine_state;
    char *cluster_id;
    uint64_t started_ms;
    struct blob *peers; /* the last view, NULL before the first */
    bool announced;     /* the engine has our announcement */
    bool complained;
    ev_timer announce_again;
    bool withdrawing;
    ev_timer withdrawn;
};

static const struct discovery_engine *engine_named(const char *name)
{
    for (size_t i = 0; i < ENGINE_COUNT; i++)
        if (strcmp(ENGINES[i]->name, name) == 0)
            return ENGINES[i];
    INVARIANT(false, "a checked setting names no discovery engine");
    return NULL;
}

static void engine_peers(void *context, struct slice run)
{
    struct discovery *discovery = context;
    CHECK_MAGIC(discovery, DISCOVERY_MAGIC);
    if (slice_equal(run, discovery_peers(discovery)))
        return;
    struct blob *peers = blob_new(run);
    if (!peers) {
        LOG_ERROR("peers-lost", "why=\"out of memory\"");
        return;
    }
    if (discovery->peers)
        blob_release(discovery->peers);
    discovery->peers = peers;
    discovery->handlers->on_peers(discovery->context, blob_slice(peers));
}

/* Also when the engine answers inside withdraw(): our caller hears of it from the loop. */
static void engine_withdrawn(void *context)
{
    struct discovery *discovery = context;
    CHECK_MAGIC(discovery, DISCOVERY_MAGIC);
    if (!discovery->withdrawing)
        return;
    ev_timer_stop(discovery->loop, &discovery->withdrawn);
    ev_timer_set(&discovery->withdrawn, 0, 0);
    ev_timer_start(discovery->loop, &discovery->withdrawn);
}

static const struct engine_handlers ENGINE_HANDLERS = {engine_peers, engine_withdrawn};

static int write_announcement(const struct discovery *discovery, struct buffer *json, char *why,
                              size_t why_room)
{
    struct string_list ips;
    if (announced_addresses(discovery->settings, &ips, why, why_room) != 0)
        return -1;
    struct announcement announcement = {&ips,
                                        discovery->settings->service_name,
                                        discovery->settings->service_version,
                                        discovery->cluster_id,
                                        discovery->started_ms,
                                        discovery->settings->mesh_public_key};
    int result = announcement_encode(&announcement, json);
    if (result != 0)
        snprintf(why, why_room, "the announcement cannot be written: %s", strerror(errno));
    addresses_free(&ips);
    return result;
}

static void try_to_announce(struct discovery *discovery)
{
    char why[256] = "out of memory";
    struct buffer json = {0};
    if (write_announcement(discovery, &json, why, sizeof why) == 0 &&
        discovery->engine->announce(discovery->engine_state, buffer_slice(&json)) == 0) {
        discovery->announced = true;
    } else {
        if (!discovery->complained)
            LOG_ERROR("not-announced", "why=%s", LOG_TEXT(slice_from_string(why)));
        discovery->complained = true;
        ev_timer_set(&discovery->announce_again, ADDRESS_RETRY_S, 0);
        ev_timer_start(discovery->loop, &discovery->announce_again);
    }
    buffer_free(&json);
}

static void on_announce_again(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)events;
    try_to_announce(timer->data);
}

static void on_withdrawn(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)events;
    struct discovery *discovery = timer->data;
    discovery->withdrawing = false;
    discovery->handlers->on_withdrawn(discovery->context);
}

struct discovery *discovery_start(struct ev_loop *loop, const struct settings *settings,
                                  struct slice cluster_id,
                                  const struct discovery_handlers *handlers, void *context)
{
    if (cluster_id.len == 0 || !memchr(cluster_id.data, ':', cluster_id.len)) {
        errno = EINVAL;
        return NULL;
    }
    struct discovery *discovery = calloc(1, sizeof *discovery);
    if (!discovery)
        return NULL;
    discovery->magic = DISCOVERY_MAGIC;
    discovery->loop = loop;
    discovery->settings = settings;
    discovery->handlers = handlers;
    discovery->context = context;
    discovery->started_ms = clock_wall_ms();
    ev_timer_init(&discovery->announce_again, on_announce_again, 0, 0);
    ev_timer_init(&discovery->withdrawn, on_withdrawn, 0, 0);
    discovery->announce_again.data = discovery->withdrawn.data = discovery;
    discovery->engine = engine_named(settings->discovery_engine);
    discovery->cluster_id = strndup(cluster_id.data, cluster_id.len);
    if (discovery->cluster_id)
        discovery->engine_state = discovery->engine->start(loop, settings, discovery->cluster_id,
                                                           &ENGINE_HANDLERS, discovery);
    if (!discovery->engine_state) {
        free(discovery->cluster_id);
        free(discovery);
        return NULL;
    }
    return discovery;
}

void discovery_announce(struct discovery *discovery)
{
    CHECK_MAGIC(discovery, DISCOVERY_MAGIC);
    if (!discovery->announced && !ev_is_active(&discovery->announce_again))
        try_to_announce(discovery);
}

void discovery_withdraw(struct discovery *discovery)
{
    CHECK_MAGIC(discovery, DISCOVERY_MAGIC);
    INVARIANT(!discovery->withdrawing, "an announcement is withdrawn twice");
    discovery->withdrawing = true;
    ev_timer_stop(discovery->loop, &discovery->announce_again);
    ev_timer_set(&discovery->withdrawn, DISCOVERY_WITHDRAW_LIMIT_MS / 1000.0, 0);
    ev_timer_start(discovery->loop, &discovery->withdrawn);
    discovery->engine->withdraw(discovery->engine_state);
}

struct slice discovery_peers(const struct discovery *discovery)
{
    CHECK_MAGIC(discovery, DISCOVERY_MAGIC);
    return discovery->peers ? blob_slice(discovery->peers) : SLICE_LITERAL("");
}

void discovery_stop(struct discovery *discovery)
{
    if (!discovery)
        return;
    CHECK_MAGIC(discovery, DISCOVERY_MAGIC);
    ev_timer_stop(discovery->loop, &discovery->announce_again);
    ev_timer_stop(discovery->loop, &discovery->withdrawn);
    discovery->engine->stop(discovery->engine_state);
    if (discovery->peers)
        blob_release(discovery->peers);
    free(discovery->cluster_id);
    discovery->magic = 0;
    free(discovery);
}
