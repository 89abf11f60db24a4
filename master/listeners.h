/* The listening sockets of one endpoint, all owned by the master.
 *
 * TCP: one SO_REUSEPORT socket per worker slot, so that the kernel spreads new connections and a
 * slot's queue survives its worker. Unix: one socket that all slots share. */
#ifndef MSGSERVER_MASTER_LISTENERS_H
#define MSGSERVER_MASTER_LISTENERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/types.h>

#include "codecs/control_frames.h"

enum { LISTEN_BACKLOG = 4096, LISTENERS_WHY_ROOM = 512 };

struct listeners {
    enum listener_kind kind;
    char *name;    /* the endpoint as bound: "http://127.0.0.1:8080", "unix:/run/x.sock" */
    uint16_t port; /* as bound; 0 for a Unix socket */
    bool shared;   /* every slot has the same socket */
    int *fds;      /* by slot, counted from 0; only the first when shared; -1: none */
    size_t slots;
    dev_t device; /* of a Unix socket's file, to know it again */
    ino_t inode;
};

/* Binds and listens. `endpoint` is canonical (codecs/settings.h), port 0 means any. Returns 0, or
 * -1 with errno and `why`: a sentence that names the address, the reason and what to do. */
int listeners_open(struct listeners *listeners, enum listener_kind kind, const char *endpoint,
                   size_t slots, char why[LISTENERS_WHY_ROOM]);
/* The socket of `slot` (1 to slots); stays the listeners'. */
int listeners_fd(const struct listeners *listeners, size_t slot);
/* Closes all and removes a Unix socket's file. All-zero listeners are accepted. */
void listeners_close(struct listeners *listeners);

#endif
