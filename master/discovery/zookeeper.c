/* The engine for clusters: MAGE's layout of nodes in ZooKeeper (discovery.md). This file joins the
 * session, our own node and the watch on the others', and makes their common parents. */
#include "master/discovery/engine.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "base/invariant.h"
#include "base/log.h"
#include "master/discovery/node_watch.h"
#include "master/discovery/own_node.h"
#include "master/discovery/zookeeper_session.h"

enum { ENGINE_MAGIC = 0x5a4b454e, OWN_PATH_ROOM = 512 };

/* The parents of all announcements, outermost first. */
static const char *const PARENTS[] = {"/mage", "/mage/mmrp", "/mage/mmrp/tcp"};
enum { PARENT_COUNT = sizeof PARENTS / sizeof *PARENTS };
#define PARENT PARENTS[PARENT_COUNT - 1]

/* After the service refused something for a reason that may pass. */
static const double RETRY_S = 5;

struct zookeeper_engine {
    unsigned magic;
    struct ev_loop *loop;
    const char *cluster_id;
    const struct engine_handlers *handlers;
    void *context;
    struct zookeeper_session *session;
    zhandle_t *handle; /* NULL while the service is away */
    struct peer_view *view;
    struct node_watch *watch;
    struct own_node *own; /* NULL before announce() */
    size_t parents_made;
    bool making_parents;
    bool complained;
    ev_timer retry;
};

static void list_and_announce(struct zookeeper_engine *engine)
{
    if (!engine->handle)
        return;
    node_watch_list(engine->watch);
    if (engine->own)
        own_node_try(engine->own, engine->handle);
}

static void retry_later(void *context)
{
    struct zookeeper_engine *engine = context;
    CHECK_MAGIC(engine, ENGINE_MAGIC);
    if (ev_is_active(&engine->retry))
        return;
    ev_timer_set(&engine->retry, RETRY_S, 0);
    ev_timer_start(engine->loop, &engine->retry);
}

static void on_retry(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)events;
    struct zookeeper_engine *engine = timer->data;
    CHECK_MAGIC(engine, ENGINE_MAGIC);
    list_and_announce(engine);
    zookeeper_session_flush(engine->session);
}

/* --- parents ---------------------------------------------------------------------------------- */

static void make_next_parent(struct zookeeper_engine *engine);

static void on_parent(int result, const char *path, const void *context)
{
    (void)path;
    struct zookeeper_engine *engine = (struct zookeeper_engine *)context;
    CHECK_MAGIC(engine, ENGINE_MAGIC);
    engine->making_parents = false;
    if (!engine->handle || zookeeper_is_away(result))
        return;
    if (result == ZOK || result == ZNODEEXISTS) {
        engine->parents_made++;
        engine->complained = false;
        make_next_parent(engine);
        return;
    }
    if (!engine->complained)
        LOG_ERROR("parent-not-made", "node=%s why=\"%s\"", PARENTS[engine->parents_made],
                  zerror(result));
    engine->complained = true;
    retry_later(engine);
}

static void make_next_parent(struct zookeeper_engine *engine)
{
    if (engine->parents_made == PARENT_COUNT) {
        list_and_announce(engine);
        return;
    }
    int result = zoo_acreate(engine->handle, PARENTS[engine->parents_made], "", 0,
                             &ZOO_OPEN_ACL_UNSAFE, ZOO_PERSISTENT, on_parent, engine);
    engine->making_parents = result == ZOK;
    if (result != ZOK)
        retry_later(engine);
}

static void make_parents(void *context)
{
    struct zookeeper_engine *engine = context;
    CHECK_MAGIC(engine, ENGINE_MAGIC);
    if (engine->making_parents || !engine->handle)
        return;
    engine->parents_made = 0;
    make_next_parent(engine);
}

/* --- what the parts report -------------------------------------------------------------------- */

static void on_up(void *context, zhandle_t *handle, bool fresh)
{
    struct zookeeper_engine *engine = context;
    CHECK_MAGIC(engine, ENGINE_MAGIC);
    engine->handle = handle;
    engine->making_parents = false;
    if (engine->own)
        own_node_try(engine->own, handle);
    node_watch_up(engine->watch, handle, fresh);
}

static void on_down(void *context)
{
    struct zookeeper_engine *engine = context;
    CHECK_MAGIC(engine, ENGINE_MAGIC);
    engine->handle = NULL;
    node_watch_down(engine->watch);
    if (engine->own)
        own_node_lost(engine->own);
}

static const struct zookeeper_session_handlers SESSION_HANDLERS = {on_up, on_down};

static void on_listed(void *context, bool own_listed)
{
    const struct zookeeper_engine *engine = context;
    CHECK_MAGIC(engine, ENGINE_MAGIC);
    if (!own_listed && engine->own)
        own_node_missing(engine->own, engine->handle);
}

static void on_view(void *context)
{
    const struct zookeeper_engine *engine = context;
    CHECK_MAGIC(engine, ENGINE_MAGIC);
    struct buffer run = {0};
    if (peer_view_run(engine->view, &run) == 0)
        engine->handlers->on_peers(engine->context, buffer_slice(&run));
    else
        LOG_ERROR("peers-lost", "why=\"out of memory\"");
    buffer_free(&run);
}

static const struct node_watch_handlers WATCH_HANDLERS = {make_parents, retry_later, on_listed,
                                                          on_view};

static void on_withdrawn(void *context)
{
    const struct zookeeper_engine *engine = context;
    CHECK_MAGIC(engine, ENGINE_MAGIC);
    engine->handlers->on_withdrawn(engine->context);
}

static const struct own_node_handlers OWN_HANDLERS = {make_parents, retry_later, on_withdrawn};

/* --- the engine ------------------------------------------------------------------------------- */

static void zookeeper_stop(void *state)
{
    struct zookeeper_engine *engine = state;
    CHECK_MAGIC(engine, ENGINE_MAGIC);
    ev_timer_stop(engine->loop, &engine->retry);
    engine->handle = NULL;
    if (engine->watch)
        node_watch_down(engine->watch);
    if (engine->session)
        zookeeper_session_close(engine->session);
    own_node_free(engine->own);
    node_watch_free(engine->watch);
    peer_view_free(engine->view);
    engine->magic = 0;
    free(engine);
}

static void *zookeeper_start(struct ev_loop *loop, const struct settings *settings,
                             const char *cluster_id, const struct engine_handlers *handlers,
                             void *context)
{
    struct zookeeper_engine *engine = calloc(1, sizeof *engine);
    if (!engine)
        return NULL;
    INVARIANT(settings->zookeeper_hosts, "a checked configuration has no ZooKeeper hosts");
    engine->magic = ENGINE_MAGIC;
    engine->loop = loop;
    engine->cluster_id = cluster_id;
    engine->handlers = handlers;
    engine->context = context;
    ev_timer_init(&engine->retry, on_retry, 0, 0);
    engine->retry.data = engine;
    engine->view = peer_view_new(settings, slice_from_string(cluster_id));
    if (engine->view)
        engine->watch = node_watch_new(PARENT, cluster_id, engine->view, &WATCH_HANDLERS, engine);
    if (engine->watch)
        engine->session =
            zookeeper_session_open(loop, settings->zookeeper_hosts,
                                   settings->zookeeper_session_timeout, &SESSION_HANDLERS, engine);
    if (!engine->session) {
        zookeeper_stop(engine);
        return NULL;
    }
    return engine;
}

static int zookeeper_announce(void *state, struct slice announcement)
{
    struct zookeeper_engine *engine = state;
    CHECK_MAGIC(engine, ENGINE_MAGIC);
    INVARIANT(!engine->own, "announced twice");
    char path[OWN_PATH_ROOM];
    snprintf(path, sizeof path, "%s/%s", PARENT, engine->cluster_id);
    engine->own = own_node_new(path, announcement, &OWN_HANDLERS, engine);
    if (!engine->own)
        return -1;
    if (engine->handle) {
        own_node_try(engine->own, engine->handle);
        zookeeper_session_flush(engine->session);
    }
    return 0;
}

static void zookeeper_withdraw(void *state)
{
    struct zookeeper_engine *engine = state;
    CHECK_MAGIC(engine, ENGINE_MAGIC);
    if (!engine->own) {
        engine->handlers->on_withdrawn(engine->context);
        return;
    }
    own_node_withdraw(engine->own, engine->handle);
    if (engine->handle)
        zookeeper_session_flush(engine->session);
}

const struct discovery_engine DISCOVERY_ZOOKEEPER = {
    "zookeeper", zookeeper_start, zookeeper_announce, zookeeper_withdraw, zookeeper_stop};
