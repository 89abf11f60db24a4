/* Milliseconds, as the unit of every time and duration in msgserver. */
#ifndef MSGSERVER_BASE_CLOCK_H
#define MSGSERVER_BASE_CLOCK_H

#include <stdint.h>

/* Never jumps; for intervals and time limits. */
uint64_t clock_monotonic_ms(void);
/* The same, in microseconds. All processes of a host see one clock. */
uint64_t clock_monotonic_us(void);
/* Since 1970, but without jumps while the process lives: the wall clock at the first call, and the
 * time that passed since. For times that must compare within a process, and outlive it. Not for use
 * across threads. */
uint64_t clock_steady_ms(void);
/* Since 1970; for what is shown or sent to others. */
uint64_t clock_wall_ms(void);

#endif
