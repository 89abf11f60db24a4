/* The announcements that an engine sees, by node name, and the peers that they make. No
 * descriptor, no loop. */
#ifndef MSGSERVER_MASTER_DISCOVERY_PEER_VIEW_H
#define MSGSERVER_MASTER_DISCOVERY_PEER_VIEW_H

#include "master/discovery/announcement.h"

struct peer_view;

/* `settings` gives the rule by which peers are taken, and stays valid; `cluster_id` is ours, which
 * is left out, and is copied. NULL with errno ENOMEM. */
struct peer_view *peer_view_new(const struct settings *settings, struct slice cluster_id);
void peer_view_free(struct peer_view *view);

/* A node appeared, or has other data now. A broken one is logged, once for each fault. Returns 0,
 * or -1 with errno ENOMEM. */
int peer_view_put(struct peer_view *view, const char *name, struct slice json);
/* A node is gone; an unknown name is accepted. */
void peer_view_drop(struct peer_view *view, const char *name);

/* Appends all peers as the PEERS frame's run of (cluster ID, URI, key), ordered by cluster ID. Of
 * equal URIs and of equal cluster IDs the newest announcement wins. Hosts of another game or
 * version follow, without URI and key. What a PEERS frame cannot hold is left out, with an error in
 * the log. Returns 0, or -1 with errno ENOMEM. */
int peer_view_run(const struct peer_view *view, struct buffer *run);

#endif
