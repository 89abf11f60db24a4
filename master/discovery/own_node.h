/* Our own announcement in ZooKeeper: one ephemeral node, kept there whatever happens. */
#ifndef MSGSERVER_MASTER_DISCOVERY_OWN_NODE_H
#define MSGSERVER_MASTER_DISCOVERY_OWN_NODE_H

#include <stdbool.h>

#include "base/slice.h"
#include "master/discovery/zookeeper_client.h"

struct own_node;

struct own_node_handlers {
    /* The parent does not exist: make it, then own_node_try() again. */
    void (*on_no_parent)(void *context);
    /* The service refused; call own_node_try() again after a while. */
    void (*on_failed)(void *context);
    void (*on_withdrawn)(void *context);
};

/* `path` and `data` are copied. NULL with errno ENOMEM. */
struct own_node *own_node_new(const char *path, struct slice data,
                              const struct own_node_handlers *handlers, void *context);
/* No request may be in flight: the session is down or closed. NULL is accepted. */
void own_node_free(struct own_node *node);

/* Puts the node there when it is not. A node of that path from another session is removed first. */
void own_node_try(struct own_node *node, zhandle_t *handle);
/* The parent's children were listed, and the node was not among them: it is put there anew. */
void own_node_missing(struct own_node *node, zhandle_t *handle);
/* The connection is lost; nothing is known of the node. */
void own_node_lost(struct own_node *node);

/* Removes the node for good, then on_withdrawn(). `handle` is NULL while the service is away. */
void own_node_withdraw(struct own_node *node, zhandle_t *handle);

#endif
