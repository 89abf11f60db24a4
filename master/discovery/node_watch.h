/* The announcements of all hosts in ZooKeeper: the children of one node and their data, watched,
 * and put into a peer view. While the service is away the view stays as it is; after it, the view
 * is compared with what is there then. */
#ifndef MSGSERVER_MASTER_DISCOVERY_NODE_WATCH_H
#define MSGSERVER_MASTER_DISCOVERY_NODE_WATCH_H

#include <stdbool.h>

#include "master/discovery/peer_view.h"
#include "master/discovery/zookeeper_client.h"

struct node_watch;

struct node_watch_handlers {
    /* The parent does not exist: make it, then node_watch_list() again. */
    void (*on_no_parent)(void *context);
    /* The service refused; call node_watch_list() again after a while. */
    void (*on_failed)(void *context);
    /* The children were listed; is the one named `own` among them? */
    void (*on_listed)(void *context, bool own_listed);
    /* The view is complete: every listed node was read. */
    void (*on_view)(void *context);
};

/* `parent` and `own` (a name) and `view` stay valid. NULL with errno ENOMEM. */
struct node_watch *node_watch_new(const char *parent, const char *own, struct peer_view *view,
                                  const struct node_watch_handlers *handlers, void *context);
/* No request may be in flight: the session is down or closed. NULL is accepted. */
void node_watch_free(struct node_watch *watch);

/* `fresh`: the watches of before are gone with their session, so all data is read again. */
void node_watch_up(struct node_watch *watch, zhandle_t *handle, bool fresh);
void node_watch_down(struct node_watch *watch);
/* Lists the children now. Nothing happens while the service is away. */
void node_watch_list(struct node_watch *watch);

#endif
