/* Envelopes that a peer's socket would not take yet: a queue bounded in bytes and in number. */
#ifndef MSGSERVER_RELAY_MESH_OUTBOX_H
#define MSGSERVER_RELAY_MESH_OUTBOX_H

#include "workers/relay/mesh/multipart.h"

enum { OUTBOX_BYTES_MAX = 16 << 20, OUTBOX_COUNT_MAX = 10000 };

/* All-zero is a valid empty outbox. */
struct outbox {
    struct multipart *first; /* utlist */
    size_t count;
    size_t bytes;
};

/* Takes `multipart`, as the last. An empty outbox takes one of any size. Returns false when there
 * is no room; `multipart` stays the caller's then. */
bool outbox_add(struct outbox *outbox, struct multipart *multipart);
/* The oldest is the caller's now; NULL when empty. */
struct multipart *outbox_take(struct outbox *outbox);
/* Half empty, so that a sender that was refused may go on. */
bool outbox_has_room_again(const struct outbox *outbox);

#endif
