/* The messages of the load generator: all of one size, each with the time at which it was due. */
#ifndef MSGSERVER_BENCH_MESSAGE_H
#define MSGSERVER_BENCH_MESSAGE_H

#include <stdint.h>

#include "base/slice.h"

enum { MESSAGE_BYTES = 100 };

/* Microseconds of a clock that never jumps. */
uint64_t now_us(void);

void message_write(char text[MESSAGE_BYTES], uint64_t due_us);

/* Takes the next message from the front of a pack, which moves on. Returns false at its end; ends
 * the program when the pack holds anything else. */
bool message_read(struct slice *pack, uint64_t *id, uint64_t *due_us);

#endif
