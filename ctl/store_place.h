/* Which store a command is about, and its lock. */
#ifndef MSGSERVER_CTL_STORE_PLACE_H
#define MSGSERVER_CTL_STORE_PLACE_H

#include "ctl/options.h"
#include "store/directory.h"

struct store_place {
    struct store_directory directory; /* `file` is the one that is meant */
    bool is_own;   /* it is what a server would use; else one that was set aside, or a copy */
    uint64_t size; /* server.store.size; 0 when PATH was given */
};

/* Each returns EXIT_OK; or another exit status, when why was written to stderr. The lock ends with
 * the process. */
int store_place_find(struct store_place *place, const struct ctl_options *options);
/* Keeps a server from starting with the store while it is read (`shared`) or written. What is not
 * a server's own needs no lock to be read. */
int store_place_lock(struct store_place *place, bool shared);

/* Writes why the store cannot be read to stderr, by errno; returns the exit status. */
int store_place_unreadable(const struct store_place *place);

#endif
