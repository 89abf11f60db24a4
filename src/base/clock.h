/* Milliseconds, as the unit of every time and duration in msgserver. */
#ifndef MSGSERVER_BASE_CLOCK_H
#define MSGSERVER_BASE_CLOCK_H

#include <stdint.h>

/* Never jumps; for intervals and time limits. */
uint64_t clock_monotonic_ms(void);
/* Since 1970; for what is shown or sent to others. */
uint64_t clock_wall_ms(void);

#endif
