#include "workers/client/deadlines.h"

#include <string.h>

#include "base/clock.h"
#include "base/table.h"

/* Deadlines that are due within this time of each other are served together. */
enum { TICK_MS = 5 };

static void arm(struct deadlines *deadlines, uint64_t now)
{
    uint64_t first = UINT64_MAX;
    for (int kind = 0; kind < DEADLINE_KINDS; kind++)
        if (deadlines->lists[kind] && deadlines->lists[kind]->due_ms < first)
            first = deadlines->lists[kind]->due_ms;
    ev_timer_stop(deadlines->loop, &deadlines->timer);
    if (first == UINT64_MAX)
        return;
    uint64_t wait = first > now ? first - now : 0;
    ev_timer_set(&deadlines->timer, (double)(wait + TICK_MS) / 1000, 0.);
    ev_timer_start(deadlines->loop, &deadlines->timer);
}

/* A deadline set meanwhile with a duration of 0 waits for the next call. */
static void on_timer(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    struct deadlines *deadlines = watcher->data;
    uint64_t now = clock_monotonic_ms();
    for (int kind = 0; kind < DEADLINE_KINDS; kind++) {
        struct deadline *deadline;
        while ((deadline = deadlines->lists[kind]) && deadline->due_ms < now) {
            deadline_set(deadlines, deadline, DEADLINE_NONE);
            deadlines->on_expired(deadline, (enum deadline_kind)kind);
        }
    }
    arm(deadlines, now);
}

void deadlines_init(struct deadlines *deadlines, struct ev_loop *loop,
                    const uint64_t duration_ms[DEADLINE_KINDS],
                    void (*on_expired)(struct deadline *deadline, enum deadline_kind kind))
{
    *deadlines = (struct deadlines){.loop = loop, .on_expired = on_expired};
    memcpy(deadlines->duration_ms, duration_ms, sizeof deadlines->duration_ms);
    ev_timer_init(&deadlines->timer, on_timer, 0., 0.);
    deadlines->timer.data = deadlines;
}

void deadlines_close(struct deadlines *deadlines)
{
    ev_timer_stop(deadlines->loop, &deadlines->timer);
}

/* The timer is left as it is when it fires no later than needed: it finds its next time then. */
static void keep_timer(struct deadlines *deadlines, uint64_t now, uint64_t wait)
{
    if (!ev_is_active(&deadlines->timer) ||
        ev_timer_remaining(deadlines->loop, &deadlines->timer) > (double)(wait + TICK_MS) / 1000)
        arm(deadlines, now);
}

void deadline_set(struct deadlines *deadlines, struct deadline *deadline, enum deadline_kind kind)
{
    if (deadline->kind != DEADLINE_NONE)
        DL_DELETE(deadlines->lists[deadline->kind], deadline);
    deadline->kind = kind;
    if (kind == DEADLINE_NONE)
        return;
    uint64_t now = clock_monotonic_ms();
    uint64_t wait = deadlines->duration_ms[kind];
    deadline->due_ms = (now + wait) & ((1ull << 56) - 1);
    DL_APPEND(deadlines->lists[kind], deadline);
    keep_timer(deadlines, now, wait);
}
