/* The data channel to one client worker, and what its frames do. */
#ifndef MSGSERVER_RELAY_WORKER_LINK_H
#define MSGSERVER_RELAY_WORKER_LINK_H

#include "io/data_channel.h"
#include "workers/relay/attachment.h"

struct worker_link {
    struct outlet outlet; /* first */
    unsigned magic;
    uint32_t slot;
    uint32_t incarnation; /* the upper half of its handles */
    struct relay *relay;
    struct data_channel *channel;
    struct buffer recipients; /* of the broadcast that is being put together */
    struct worker_link *prev, *next;
};

static inline struct worker_link *worker_link_of(struct outlet *outlet)
{
    return (struct worker_link *)outlet;
}

/* Takes the descriptor. NULL with errno ENOMEM and the descriptor still open. */
struct worker_link *worker_link_new(struct relay *relay, uint32_t slot, uint32_t incarnation,
                                    int fd);
/* Its clients are gone with it: every attachment ends. */
void worker_link_free(struct worker_link *link);
/* NULL when that worker is not linked (any more). */
struct worker_link *worker_link_find(const struct relay *relay, uint32_t incarnation);

void worker_link_put_end(struct worker_link *link, uint64_t handle, enum end_reason reason);
void worker_link_put_reply(struct worker_link *link, uint64_t request, uint16_t operation,
                           struct slice payload);

#endif
