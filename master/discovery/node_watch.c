#include "master/discovery/node_watch.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/invariant.h"
#include "base/log.h"
#include "base/table.h"
#include "master/discovery/zookeeper_session.h"

enum { NODE_WATCH_MAGIC = 0x4e4f4457, PATH_ROOM = 1024 };

struct watched_node {
    struct node_watch *watch;
    bool listed;  /* in the last list of children */
    bool current; /* the data that we have is that of the service, and is watched */
    bool reading;
    UT_hash_handle hh;
    char name[];
};

struct node_watch {
    unsigned magic;
    const char *parent;
    const char *own;
    struct peer_view *view;
    const struct node_watch_handlers *handlers;
    void *context;
    zhandle_t *handle; /* NULL while the service is away */
    bool listing;
    bool list_again; /* something changed while listing */
    unsigned reading;
    struct watched_node *nodes;
    bool complained;
};

static void read_node(struct node_watch *watch, struct watched_node *node);

static void remove_node(struct node_watch *watch, struct watched_node *node)
{
    peer_view_drop(watch->view, node->name);
    /* The analyzer takes the next element for the one freed before: uthash unlinked that. */
    HASH_DEL(watch->nodes, node); /* NOLINT(clang-analyzer-unix.Malloc) */
    free(node);
}

static struct watched_node *find_or_add(struct node_watch *watch, const char *name)
{
    struct watched_node *node;
    HASH_FIND_STR(watch->nodes, name, node);
    if (node)
        return node;
    size_t room = strlen(name) + 1;
    node = calloc(1, sizeof *node + room);
    if (!node)
        return NULL;
    node->watch = watch;
    memcpy(node->name, name, room);
    HASH_ADD_STR(watch->nodes, name, node);
    if (node->hh.tbl)
        return node;
    free(node);
    return NULL;
}

static void fail(struct node_watch *watch, const char *action, const char *why)
{
    if (!watch->complained)
        LOG_ERROR("peers-not-read", "node=%s action=%s why=\"%s\"", watch->parent, action, why);
    watch->complained = true;
    watch->handlers->on_failed(watch->context);
}

static void tell_when_complete(struct node_watch *watch)
{
    if (watch->reading == 0 && !watch->listing)
        watch->handlers->on_view(watch->context);
}

/* --- data ------------------------------------------------------------------------------------- */

/* A node that went and came back before it was listed again is read again: a host that restarts
 * with another version keeps its name. */
static void on_node_event(zhandle_t *handle, int type, int state, const char *path, void *context)
{
    (void)handle, (void)state;
    struct node_watch *watch = context;
    CHECK_MAGIC(watch, NODE_WATCH_MAGIC);
    if (type == ZOO_SESSION_EVENT)
        return;
    const char *name = strrchr(path, '/');
    struct watched_node *node = NULL;
    if (name)
        HASH_FIND_STR(watch->nodes, name + 1, node);
    if (!node)
        return;
    node->current = false;
    if (type == ZOO_CHANGED_EVENT)
        read_node(watch, node);
}

static void on_data(int result, const char *value, int len, const struct Stat *stat,
                    const void *context)
{
    (void)stat;
    struct watched_node *node = (struct watched_node *)context;
    struct node_watch *watch = node->watch;
    CHECK_MAGIC(watch, NODE_WATCH_MAGIC);
    node->reading = false;
    watch->reading--;
    if (!watch->handle || zookeeper_is_away(result))
        return;
    if (result == ZOK) {
        node->current = true;
        if (peer_view_put(watch->view, node->name,
                          value && len > 0 ? slice_of(value, (size_t)len) : SLICE_EMPTY) != 0)
            LOG_ERROR("peer-lost", "why=\"out of memory\"");
    } else if (result == ZNONODE) {
        node->listed = false;
    } else {
        node->current = true;
        LOG_ERROR("peer-ignored", "node=%s why=\"%s\"", LOG_TEXT(slice_from_string(node->name)),
                  zerror(result));
    }
    if (!node->listed)
        remove_node(watch, node);
    tell_when_complete(watch);
}

static void read_node(struct node_watch *watch, struct watched_node *node)
{
    char path[PATH_ROOM];
    if (node->reading || !watch->handle)
        return;
    int len = snprintf(path, sizeof path, "%s/%s", watch->parent, node->name);
    if (len >= (int)sizeof path) {
        node->current = true; /* nothing to read: its name is too long to be a cluster ID */
        return;
    }
    int result = zoo_awget(watch->handle, path, on_node_event, watch, on_data, node);
    if (result != ZOK) {
        fail(watch, "read", zerror(result));
        return;
    }
    node->reading = true;
    watch->reading++;
}

/* --- children --------------------------------------------------------------------------------- */

static void on_children_event(zhandle_t *handle, int type, int state, const char *path,
                              void *context)
{
    (void)handle, (void)state, (void)path;
    struct node_watch *watch = context;
    CHECK_MAGIC(watch, NODE_WATCH_MAGIC);
    if (type != ZOO_SESSION_EVENT)
        node_watch_list(watch);
}

/* Marks the children, lets those go that are no more, and reads those whose data we lack. */
static bool take_list(struct node_watch *watch, const struct String_vector *names)
{
    struct watched_node *node, *next;
    bool own_listed = false;
    HASH_ITER(hh, watch->nodes, node, next) {
        node->listed = false;
    }
    for (int i = 0; i < names->count; i++) {
        node = find_or_add(watch, names->data[i]);
        if (!node)
            LOG_ERROR("peer-lost", "why=\"out of memory\"");
        else
            node->listed = true;
        own_listed = own_listed || strcmp(names->data[i], watch->own) == 0;
    }
    HASH_ITER(hh, watch->nodes, node, next) {
        if (node->listed && !node->current)
            read_node(watch, node);
        else if (!node->listed && !node->reading)
            remove_node(watch, node);
    }
    return own_listed;
}

static void on_children(int result, const struct String_vector *names, const void *context)
{
    struct node_watch *watch = (struct node_watch *)context;
    CHECK_MAGIC(watch, NODE_WATCH_MAGIC);
    watch->listing = false;
    if (!watch->handle || zookeeper_is_away(result))
        return; /* node_watch_up() lists again */
    if (result == ZOK) {
        watch->complained = false;
        bool own_listed = take_list(watch, names);
        watch->handlers->on_listed(watch->context, own_listed);
        if (watch->list_again)
            node_watch_list(watch);
        tell_when_complete(watch);
    } else if (result == ZNONODE) {
        watch->handlers->on_no_parent(watch->context);
    } else {
        fail(watch, "list", zerror(result));
    }
}

void node_watch_list(struct node_watch *watch)
{
    CHECK_MAGIC(watch, NODE_WATCH_MAGIC);
    if (!watch->handle)
        return;
    watch->list_again = watch->listing;
    if (watch->listing)
        return;
    int result = zoo_awget_children(watch->handle, watch->parent, on_children_event, watch,
                                    on_children, watch);
    if (result == ZOK)
        watch->listing = true;
    else
        fail(watch, "list", zerror(result));
}

/* --- for others ------------------------------------------------------------------------------- */

struct node_watch *node_watch_new(const char *parent, const char *own, struct peer_view *view,
                                  const struct node_watch_handlers *handlers, void *context)
{
    struct node_watch *watch = calloc(1, sizeof *watch);
    if (!watch)
        return NULL;
    watch->magic = NODE_WATCH_MAGIC;
    watch->parent = parent;
    watch->own = own;
    watch->view = view;
    watch->handlers = handlers;
    watch->context = context;
    return watch;
}

void node_watch_free(struct node_watch *watch)
{
    struct watched_node *node, *next;
    if (!watch)
        return;
    CHECK_MAGIC(watch, NODE_WATCH_MAGIC);
    HASH_ITER(hh, watch->nodes, node, next) {
        remove_node(watch, node);
    }
    watch->magic = 0;
    free(watch);
}

void node_watch_up(struct node_watch *watch, zhandle_t *handle, bool fresh)
{
    struct watched_node *node, *next;
    CHECK_MAGIC(watch, NODE_WATCH_MAGIC);
    watch->handle = handle;
    watch->list_again = false;
    HASH_ITER(hh, watch->nodes, node, next) {
        if (fresh)
            node->current = false;
    }
    node_watch_list(watch);
}

void node_watch_down(struct node_watch *watch)
{
    CHECK_MAGIC(watch, NODE_WATCH_MAGIC);
    watch->handle = NULL;
}
