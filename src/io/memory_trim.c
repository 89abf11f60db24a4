#include "io/memory_trim.h"

#include <malloc.h>

#include "base/clock.h"

enum {
    MUCH = 1000,  /* changes since memory was given back */
    LITTLE = 100, /* changes within LOOK_S */
    LOOK_S = 1,
    REST = 1000 /* times as long as it took last: nothing else is done meanwhile */
};

static void look_again(struct memory_trim *trim)
{
    uint64_t now_us = clock_monotonic_us();
    double rest_s =
        trim->rest_until_us > now_us ? (double)(trim->rest_until_us - now_us) / 1e6 : 0.;
    trim->looked = trim->changes;
    ev_timer_set(&trim->timer, rest_s > LOOK_S ? rest_s : LOOK_S, 0.);
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
    uint64_t began_us = clock_monotonic_us();
    malloc_trim(0);
    uint64_t now_us = clock_monotonic_us();
    trim->rest_until_us = now_us + REST * (now_us - began_us);
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
