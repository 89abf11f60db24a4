/* Who may take part in an encrypted mesh: the keys of server.mmrp.curve.peersFile, which is read
 * again whenever it changes. Knows no sockets and no peers. */
#ifndef MSGSERVER_RELAY_MESH_MESH_KEYS_H
#define MSGSERVER_RELAY_MESH_MESH_KEYS_H

#include <ev.h>

#include "codecs/curve_key.h"

struct mesh_keys;

/* Reads the file at once. One that is broken is reported, and the keys before it stay in force; at
 * the start that is none. `on_change` comes from the loop after other keys are in force. Returns
 * NULL with errno ENOMEM. */
struct mesh_keys *mesh_keys_open(struct ev_loop *loop, const char *path,
                                 void (*on_change)(void *context), void *context);
/* NULL is accepted. */
void mesh_keys_close(struct mesh_keys *keys);

bool mesh_keys_allow(const struct mesh_keys *keys, struct slice key);

struct key_claim {
    struct slice key;         /* whose possession was proved; or that is to be proved to us */
    struct slice cluster_id;  /* the name under which it comes */
    struct slice announced;   /* the key that discovery gives for that name; empty: none */
    bool announced_elsewhere; /* discovery gives `key` for another name */
};
/* NULL when the key may speak for the cluster ID, else why not. A key that the file gives to a
 * cluster ID is good for that alone, and shuts all others out from it. */
const char *mesh_keys_refusal(const struct mesh_keys *keys, const struct key_claim *claim);

#endif
