/* Keeps discovery in step with the relay: looked for when the relay has its cluster ID, announced
 * once the whole server serves, started anew if a later relay has another ID, withdrawn at the
 * end. */
#ifndef MSGSERVER_MASTER_ANNOUNCER_H
#define MSGSERVER_MASTER_ANNOUNCER_H

#include <ev.h>

#include "codecs/settings.h"
#include "master/discovery/discovery.h"

/* All-zero but for the first four members is right at the start. */
struct announcer {
    struct ev_loop *loop;
    const struct settings *settings;
    const struct discovery_handlers *handlers;
    void *context;

    struct discovery *discovery; /* NULL before the first relay, and after announcer_stop() */
    char *cluster_id;
    bool serving;
};

/* A relay is ready under this ID. */
void announcer_relay_ready(struct announcer *announcer, struct slice cluster_id);
/* The server serves: other hosts may come. */
void announcer_serving(struct announcer *announcer);
/* Returns whether on_withdrawn() will follow. */
bool announcer_withdraw(struct announcer *announcer);
void announcer_stop(struct announcer *announcer);

#endif
