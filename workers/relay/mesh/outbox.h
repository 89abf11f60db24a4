/* Envelopes that a peer's socket would not take yet, or that are to leave together: a queue bounded
 * in bytes and in number. */
#ifndef MSGSERVER_RELAY_MESH_OUTBOX_H
#define MSGSERVER_RELAY_MESH_OUTBOX_H

#include "workers/relay/mesh/multipart.h"

enum { OUTBOX_BYTES_MAX = 16 << 20, OUTBOX_COUNT_MAX = 10000 };

/* All-zero is a valid empty outbox. */
struct outbox {
    struct multipart *first; /* utlist */
    size_t count;            /* envelopes */
    size_t bytes;
};

/* Takes `multipart`, as the last. An empty outbox takes one of any size. Returns false when there
 * is no room; `multipart` stays the caller's then. */
bool outbox_add(struct outbox *outbox, struct multipart *multipart);
/* The same for an envelope to a host of ours, without its first hop: in the pack at the end, or in
 * a new one that takes the memory of `spare`. Returns 0, or -1 with errno EAGAIN (no room) or
 * ENOMEM. */
int outbox_pack(struct outbox *outbox, const struct envelope *envelope, struct buffer *spare);
/* The last is a pack that takes no more. */
bool outbox_has_full_pack(const struct outbox *outbox);
/* The oldest is the caller's now; NULL when empty. */
struct multipart *outbox_take(struct outbox *outbox);
/* Half empty, so that a sender that was refused may go on. */
bool outbox_has_room_again(const struct outbox *outbox);

#endif
