#include "master/discovery/own_node.h"

#include <stdlib.h>
#include <string.h>

#include "base/invariant.h"
#include "base/log.h"
#include "master/discovery/zookeeper_session.h"

enum { OWN_NODE_MAGIC = 0x4f574e4e };

enum own_state {
    OWN_UNKNOWN,  /* nothing is known, nothing is asked */
    OWN_CHECKING, /* whose is the node, if there is one? */
    OWN_DELETING, /* one of another session */
    OWN_CREATING,
    OWN_THERE,
    OWN_WITHDRAWN
};
static const char *const STATE_NAMES[] = {"unknown",  "checking", "deleting",
                                          "creating", "there",    "withdrawn"};

struct own_node {
    unsigned magic;
    enum own_state state;
    zhandle_t *handle; /* that of the requests in flight */
    char *path;
    char *data;
    int data_len;
    const struct own_node_handlers *handlers;
    void *context;
    bool complained;
};

static void check(struct own_node *node);
static void create(struct own_node *node);

/* The only place where the state changes. A withdrawn node stays withdrawn. */
static void enter(struct own_node *node, enum own_state state)
{
    if (node->state == OWN_WITHDRAWN)
        return;
    LOG_DEBUG("own-node", "from=%s to=%s", STATE_NAMES[node->state], STATE_NAMES[state]);
    node->state = state;
}

static void fail(struct own_node *node, const char *action, int result)
{
    enter(node, OWN_UNKNOWN);
    if (zookeeper_is_away(result))
        return; /* own_node_try() comes when it is back */
    if (!node->complained)
        LOG_ERROR("not-announced", "node=%s action=%s why=\"%s\"",
                  LOG_TEXT(slice_from_string(node->path)), action, zerror(result));
    node->complained = true;
    node->handlers->on_failed(node->context);
}

/* A completion whose state was left meanwhile (lost, withdrawn) changes nothing. */
static bool is_current(const struct own_node *node, enum own_state state)
{
    CHECK_MAGIC(node, OWN_NODE_MAGIC);
    return node->state == state;
}

static void on_created(int result, const char *path, const void *context)
{
    (void)path;
    struct own_node *node = (struct own_node *)context;
    if (!is_current(node, OWN_CREATING))
        return;
    if (result == ZOK) {
        enter(node, OWN_THERE);
        node->complained = false;
        LOG_NOTICE("announced", "node=%s", LOG_TEXT(slice_from_string(node->path)));
    } else if (result == ZNODEEXISTS) {
        check(node);
    } else if (result == ZNONODE) {
        enter(node, OWN_UNKNOWN);
        node->handlers->on_no_parent(node->context);
    } else {
        fail(node, "create", result);
    }
}

static void create(struct own_node *node)
{
    enter(node, OWN_CREATING);
    int result = zoo_acreate(node->handle, node->path, node->data, node->data_len,
                             &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL, on_created, node);
    if (result != ZOK)
        fail(node, "create", result);
}

static void on_deleted(int result, const void *context)
{
    struct own_node *node = (struct own_node *)context;
    if (!is_current(node, OWN_DELETING))
        return;
    if (result == ZOK || result == ZNONODE)
        create(node);
    else
        fail(node, "delete", result);
}

static void on_checked(int result, const struct Stat *stat, const void *context)
{
    struct own_node *node = (struct own_node *)context;
    if (!is_current(node, OWN_CHECKING))
        return;
    if (result == ZNONODE) {
        create(node);
    } else if (result != ZOK) {
        fail(node, "read", result);
    } else if (stat->ephemeralOwner == zoo_client_id(node->handle)->client_id) {
        enter(node, OWN_THERE);
    } else {
        LOG_INFO("old-announcement-removed", "node=%s", LOG_TEXT(slice_from_string(node->path)));
        enter(node, OWN_DELETING);
        result = zoo_adelete(node->handle, node->path, -1, on_deleted, node);
        if (result != ZOK)
            fail(node, "delete", result);
    }
}

static void check(struct own_node *node)
{
    enter(node, OWN_CHECKING);
    int result = zoo_aexists(node->handle, node->path, 0, on_checked, node);
    if (result != ZOK)
        fail(node, "read", result);
}

/* --- for others ------------------------------------------------------------------------------- */

struct own_node *own_node_new(const char *path, struct slice data,
                              const struct own_node_handlers *handlers, void *context)
{
    struct own_node *node = calloc(1, sizeof *node);
    if (!node)
        return NULL;
    node->magic = OWN_NODE_MAGIC;
    node->handlers = handlers;
    node->context = context;
    node->path = strdup(path);
    node->data = strndup(data.data, data.len);
    node->data_len = (int)data.len;
    if (!node->path || !node->data) {
        own_node_free(node);
        return NULL;
    }
    return node;
}

void own_node_free(struct own_node *node)
{
    if (!node)
        return;
    CHECK_MAGIC(node, OWN_NODE_MAGIC);
    free(node->path);
    free(node->data);
    node->magic = 0;
    free(node);
}

void own_node_try(struct own_node *node, zhandle_t *handle)
{
    CHECK_MAGIC(node, OWN_NODE_MAGIC);
    if (node->state != OWN_UNKNOWN)
        return;
    node->handle = handle;
    check(node);
}

void own_node_missing(struct own_node *node, zhandle_t *handle)
{
    CHECK_MAGIC(node, OWN_NODE_MAGIC);
    if (node->state == OWN_THERE)
        enter(node, OWN_UNKNOWN);
    own_node_try(node, handle);
}

void own_node_lost(struct own_node *node)
{
    CHECK_MAGIC(node, OWN_NODE_MAGIC);
    enter(node, OWN_UNKNOWN);
}

static void on_withdrawn(int result, const void *context)
{
    struct own_node *node = (struct own_node *)context;
    CHECK_MAGIC(node, OWN_NODE_MAGIC);
    if (result == ZCLOSING)
        return; /* nobody waits for the answer any more */
    LOG_INFO("withdrawn", "node=%s result=\"%s\"", LOG_TEXT(slice_from_string(node->path)),
             zerror(result));
    node->handlers->on_withdrawn(node->context);
}

void own_node_withdraw(struct own_node *node, zhandle_t *handle)
{
    CHECK_MAGIC(node, OWN_NODE_MAGIC);
    bool may_be_there = node->state == OWN_CREATING || node->state == OWN_THERE;
    enter(node, OWN_WITHDRAWN);
    /* Requests are answered in order: a creation in flight is done before this. */
    if (!may_be_there || !handle || zoo_adelete(handle, node->path, -1, on_withdrawn, node) != ZOK)
        node->handlers->on_withdrawn(node->context);
}
