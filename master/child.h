/* One slot's process: started by fork and exec with its control channel, started again when it
 * dies, stopped within a limit. io/child_contract.h is the contract; this is the master's side. */
#ifndef MSGSERVER_MASTER_CHILD_H
#define MSGSERVER_MASTER_CHILD_H

#include <ev.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buffer.h"
#include "codecs/control_frames.h"

struct child;

enum child_state {
    CHILD_DEAD,     /* no process, and none is wanted */
    CHILD_STARTING, /* the process runs; READY is due */
    CHILD_READY,    /* it serves */
    CHILD_STOPPING, /* it is to exit, or to be killed; may follow any state with a process */
    CHILD_WAITING   /* no process; the next one is due after the throttle's wait */
};
extern const char *const CHILD_STATE_NAMES[];

struct child_handlers {
    /* After every transition. In CHILD_STARTING the channel is open and empty: send START and what
     * else the child needs. May call child_send(), child_stop(); not child_free(). */
    void (*on_state)(void *context, struct child *child, enum child_state state);
    /* READY came; on_state(CHILD_READY) follows. The slices are valid during the call. */
    void (*on_ready)(void *context, struct child *child, const struct frame_ready *ready);
    /* The process ends or will be ended, for a reason worth a sentence: it said FAILED, was never
     * ready, or died. on_state() follows once it is gone. */
    void (*on_trouble)(void *context, struct child *child, const char *why);
};

/* `name` ("client-worker/2") is for logs, `path` the binary; both are copied. NULL with ENOMEM. */
struct child *child_new(struct ev_loop *loop, unsigned slot, const char *name, const char *path,
                        const struct child_handlers *handlers, void *context);
/* The process must be gone (CHILD_DEAD or CHILD_WAITING). NULL is accepted. */
void child_free(struct child *child);

/* From CHILD_DEAD. What goes wrong is told by on_trouble(), possibly during the call. */
void child_start(struct child *child);
/* Sends STOP and kills after `limit_ms`; no restart. */
void child_stop(struct child *child, uint32_t limit_ms);
/* Leaves it as it is; but when it dies, it stays dead. */
void child_forbid_restart(struct child *child);
/* SIGKILL; the throttle decides on the restart. For a child that broke the contract. */
void child_kill(struct child *child);

/* Sends the frame and empties the buffer; `fd` (-1: none) stays the caller's. Without a process the
 * frame is dropped. A failure kills the child: it would miss something that it cannot know of. */
void child_send(struct child *child, struct buffer *frame, int fd);

unsigned child_slot(const struct child *child);
enum child_state child_state(const struct child *child);
const char *child_name(const struct child *child);
/* Until the next start; 0 unless CHILD_WAITING. */
uint64_t child_wait_ms(const struct child *child);

/* A number for each process for ever: max (last + 1, Unix time in seconds). */
uint32_t child_incarnation(const struct child *child);

#endif
