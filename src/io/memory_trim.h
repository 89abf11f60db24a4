/* Gives memory that was freed back to the system, when much was allocated or freed and little is
 * going on any more: glibc keeps what is below anything that still lives, so that a crowd that left
 * would occupy its memory for ever. */
#ifndef MSGSERVER_IO_MEMORY_TRIM_H
#define MSGSERVER_IO_MEMORY_TRIM_H

#include <ev.h>
#include <stdint.h>

struct memory_trim {
    struct ev_loop *loop;
    void (*before)(void *context); /* frees what is kept for further work */
    void *context;
    ev_timer timer;         /* only while there may be something to give back */
    uint64_t changes;       /* that were noted */
    uint64_t looked;        /* of these, when it was looked whether it is calm */
    uint64_t trimmed;       /* and when memory was given back */
    uint64_t rest_until_us; /* clock_monotonic_us() */
};

void memory_trim_init(struct memory_trim *trim, struct ev_loop *loop, void (*before)(void *context),
                      void *context);
void memory_trim_stop(struct memory_trim *trim);
/* Something was allocated that lives for longer, or freed. */
void memory_trim_note(struct memory_trim *trim);

#endif
