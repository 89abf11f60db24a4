#include "io/memory_trim.h"

#include <malloc.h>

enum {
    MUCH = 1000,  /* changes since memory was given back */
    LITTLE = 100, /* changes within LOOK_S */
    LOOK_S = 1
};

static void look_again(struct memory_trim *trim)
{
    trim->looked = trim->changes;
    ev_timer_set(&trim->timer, LOOK_S, 0.);
    ev_timer_start(trim->loop, &trim->timer);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct memory_trim *trim = timer->data;
    if (trim->changes - trim->looked > LITTLE) {
        look_again(trim);
        return;
    }
    trim->trimmed = trim->changes;
    trim->before(trim->context);
    malloc_trim(0);
}

void memory_trim_init(struct memory_trim *trim, struct ev_loop *loop, void (*before)(void *context),
                      void *context)
{
    *trim = (struct memory_trim){.loop = loop, .before = before, .context = context};
    ev_init(&trim->timer, on_timer);
    trim->timer.data = trim;
}

void memory_trim_stop(struct memory_trim *trim)
{
    ev_timer_stop(trim->loop, &trim->timer);
}

void memory_trim_note(struct memory_trim *trim)
{
    if (++trim->changes - trim->trimmed >= MUCH && !ev_is_active(&trim->timer))
        look_again(trim);
}
