/* Listening sockets of this worker: accepts in bounded batches, and survives the lack of
 * descriptors. */
#ifndef MSGSERVER_CLIENT_ACCEPTOR_H
#define MSGSERVER_CLIENT_ACCEPTOR_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "codecs/control_frames.h"

struct acceptor;

struct accepted {
    int fd; /* non-blocking, close-on-exec; the handler's from now on */
    enum listener_kind kind;
    bool over_unix_socket;
};
typedef void (*acceptor_handler)(void *context, const struct accepted *accepted);

/* NULL with errno ENOMEM or EMFILE. */
struct acceptor *acceptor_new(struct ev_loop *loop, acceptor_handler handler, void *context);
/* Closes all its sockets. NULL is accepted. */
void acceptor_free(struct acceptor *acceptor);

/* Takes the descriptor of a listening socket that belongs to worker `slot`. Returns 0, or -1 with
 * errno ENOMEM and the descriptor closed. */
int acceptor_add(struct acceptor *acceptor, int fd, enum listener_kind kind, uint32_t slot);
/* Closes the sockets of a slot. */
void acceptor_revoke(struct acceptor *acceptor, uint32_t slot);

#endif
