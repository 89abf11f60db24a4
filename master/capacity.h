/* How many client connections this host can have, and what bounds them: told once at start, so that
 * an operator learns it before the clients do. */
#ifndef MSGSERVER_MASTER_CAPACITY_H
#define MSGSERVER_MASTER_CAPACITY_H

#include <stdbool.h>
#include <stdint.h>

#include "codecs/settings.h"

/* What a connection takes (docs/tuning.md has the figures): its session, mailbox and table entries
 * in our processes, and its socket in the kernel. What waits for slow clients comes on top. */
enum { CONNECTION_USER_BYTES = 1 << 10, CONNECTION_KERNEL_BYTES = 4 << 10 };

/* What the machine gives. */
struct machine_limits {
    uint64_t open_files; /* of one process */
    uint64_t memory;     /* bytes that are available now; UINT64_MAX: not known */
};

struct capacity {
    uint64_t connections; /* of all client workers together */
    uint64_t per_worker;
    const char *bound; /* the key or the limit of the system that is reached first */
    const char *hint;  /* NULL: the machine gives what server.limits.connections allow */
};
struct capacity capacity_of(const struct settings *settings, const struct machine_limits *machine);

/* Reads what the machine gives, and logs the result. */
void capacity_report(const struct settings *settings);

#endif
