/* Immutable bytes shared by counting references: one copy of a message body per host, however many
 * mailboxes hold it. Not for use across threads. */
#ifndef MSGSERVER_BASE_BLOB_H
#define MSGSERVER_BASE_BLOB_H

#include <stdint.h>

#include "base/slice.h"

struct blob {
    uint32_t references;
    uint32_t len;
    uint64_t made_ms;   /* for the owner to set, as the next: see clock_steady_ms() */
    uint64_t broadcast; /* its number in the store, and marks; 0: none */
    char data[];
};

/* A copy of `bytes` (below 4 GiB) with one reference, or NULL with errno ENOMEM. */
struct blob *blob_new(struct slice bytes);
struct blob *blob_retain(struct blob *blob);
void blob_release(struct blob *blob);

static inline struct slice blob_slice(const struct blob *blob)
{
    return slice_of(blob->data, blob->len);
}

#endif
