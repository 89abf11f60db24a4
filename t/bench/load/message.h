/* The messages of the load generator: all of one size. Each carries its number and the time at
 * which it was due. */
#ifndef MSGSERVER_BENCH_MESSAGE_H
#define MSGSERVER_BENCH_MESSAGE_H

#include <stdint.h>

#include "base/buffer.h"
#include "base/slice.h"

enum { MESSAGE_BYTES = 100 };

/* Broadcasts are numbered per lane (what backends send side by side has no order), single messages
 * per client; both from 1. */
enum message_kind { MESSAGE_BROADCAST = 'b', MESSAGE_SINGLE = 's' };
enum { MESSAGE_LANES = 64 };

struct message {
    enum message_kind kind;
    uint32_t lane;
    uint64_t number;
    uint64_t due_us;
};

/* Microseconds of a clock that never jumps. */
uint64_t now_us(void);

void message_write(char text[MESSAGE_BYTES], const struct message *message);

/* Appends a pack of one, {"ID":BODY}, with the message's number as its ID: what msgserver makes of
 * a message is what its peers are given to send. */
void message_put_pack(struct buffer *out, const struct message *message);

/* Takes the next message from the front of a pack, which moves on. Returns false at its end; ends
 * the program when the pack holds anything else. */
bool message_read(struct slice *pack, uint64_t *id, struct message *message);

#endif
