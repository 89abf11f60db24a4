/* Figures in few characters, for tables. */
#ifndef MSGSERVER_CTL_BRIEF_H
#define MSGSERVER_CTL_BRIEF_H

#include <stdint.h>

enum { BRIEF_ROOM = 24 };

/* "119s", "12m", "3h", "9d": in the largest unit of which there are two, rounded down. All return
 * `text`. */
const char *brief_seconds(uint64_t seconds, char text[BRIEF_ROOM]);
/* "1234567", "12345k", "1234M": at most 7 characters. */
const char *brief_count(uint64_t count, char text[BRIEF_ROOM]);
/* "312us", "1.5ms", "820ms", "2.0s". */
const char *brief_milliseconds(double milliseconds, char text[BRIEF_ROOM]);

#endif
