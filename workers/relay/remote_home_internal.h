/* What remote_home.c and remote_delivery.c share. */
#ifndef MSGSERVER_RELAY_REMOTE_HOME_INTERNAL_H
#define MSGSERVER_RELAY_REMOTE_HOME_INTERNAL_H

#include "workers/relay/remote_home.h"

struct remote_home {
    struct remote_client *clients; /* the one whose last connect is longest ago first */
    uint64_t away_since_ms;        /* 0: it is up */
    size_t due;                    /* clients with connect_due */
    size_t unproven;               /* clients whose session nobody vouches for: see may_connect() */
    bool is_msgserver;
    bool was_announced; /* also some time after it was lost */
    bool reconnect_due; /* all its clients, at a tick */
    uint64_t reconnected_ms;
    uint16_t id_len;
    UT_hash_handle hh;
    char id[]; /* cluster ID */
};

/* Whether a connect is to be sent at the next tick, or when the peer takes it. */
void remote_client_set_due(struct remote_client *client, bool due);
/* Bytes that the client may be given now; at least 1. */
uint32_t remote_client_room(const struct attachment *attachment);
/* Two hosts of ours: the home stops when the window that it was granted is used up, so it is told
 * when there is room again. */
void remote_client_renew_window(struct relay *relay, struct remote_client *client);

#endif
