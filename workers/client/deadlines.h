/* Time limits of connections. All limits of one kind last equally long, so that a list per kind is
 * always in order, setting one costs nothing, and one timer serves the whole worker. */
#ifndef MSGSERVER_CLIENT_DEADLINES_H
#define MSGSERVER_CLIENT_DEADLINES_H

#include <ev.h>
#include <stdint.h>

enum deadline_kind {
    DEADLINE_NONE,
    DEADLINE_HEADER,        /* for a request to arrive, or for the next, or for bytes to be taken */
    DEADLINE_POLL,          /* a long poll ends with 204 */
    DEADLINE_PACE,          /* a repeated refusal is held back */
    DEADLINE_PING,          /* a WebSocket is silent */
    DEADLINE_SSE_HEARTBEAT, /* an event stream is silent */
    DEADLINE_RECEIPTS,      /* to ask whether there are new receipts */
    DEADLINE_CLOSE,         /* for the other side to close too */
    DEADLINE_KINDS
};

/* All-zero is a deadline that is not set. It must be cleared before its memory is freed. */
struct deadline {
    struct deadline *prev, *next;
    uint64_t kind : 8; /* an enum deadline_kind */
    uint64_t due_ms : 56;
};

struct deadlines {
    struct ev_loop *loop;
    ev_timer timer;
    uint64_t duration_ms[DEADLINE_KINDS];
    struct deadline *lists[DEADLINE_KINDS];
    /* The deadline is not set any more when this is called. */
    void (*on_expired)(struct deadline *deadline, enum deadline_kind kind);
};

/* Copies the durations; index DEADLINE_NONE is ignored. */
void deadlines_init(struct deadlines *deadlines, struct ev_loop *loop,
                    const uint64_t duration_ms[DEADLINE_KINDS],
                    void (*on_expired)(struct deadline *deadline, enum deadline_kind kind));
void deadlines_close(struct deadlines *deadlines);

/* Sets the deadline, from now on, whatever it was before; DEADLINE_NONE clears it. */
void deadline_set(struct deadlines *deadlines, struct deadline *deadline, enum deadline_kind kind);

#endif
