/* One end of a data channel: frames over a stream socket, in a libev loop.
 *
 * Writes are gathered: put_*() into data_channel_out(), then data_channel_wrote(); one send takes
 * all that was put during a loop round. Reads are bounded per round, so that no channel starves
 * another.
 *
 * Watermarks: above DATA_CHANNEL_HIGH unsent bytes the channel is congested, and whoever produces
 * deliveries leaves them in the mailbox; at DATA_CHANNEL_LOW on_drained() says to go on. The marks
 * do not refuse writes: replies and ends of attachments always go out, and what asks for them is
 * bounded on the other side. */
#ifndef MSGSERVER_IO_DATA_CHANNEL_H
#define MSGSERVER_IO_DATA_CHANNEL_H

#include <ev.h>

#include "base/buffer.h"
#include "codecs/data_frames.h"

enum { DATA_CHANNEL_HIGH = 4 << 20, DATA_CHANNEL_LOW = 1 << 20 };

struct data_channel;

struct data_channel_handlers {
    /* `payload` is valid during the call. The handler may close the channel. */
    void (*on_frame)(void *context, uint16_t type, struct slice payload);
    /* The other end is gone (EOF or an error). Call data_channel_close() now or later. */
    void (*on_lost)(void *context);
    /* Unsent bytes fell to the low mark after a congestion. May be NULL. */
    void (*on_drained)(void *context);
};

/* Takes the descriptor. `receives` is the direction whose frames this end reads; any other frame is
 * a bug of ours and aborts. Returns NULL with errno ENOMEM and the descriptor still open. */
struct data_channel *data_channel_open(struct ev_loop *loop, int fd, enum data_direction receives,
                                       const struct data_channel_handlers *handlers, void *context);
/* NULL is accepted. Unsent bytes are lost. Safe inside the handlers. */
void data_channel_close(struct data_channel *channel);

struct buffer *data_channel_out(struct data_channel *channel);
/* Something was put: it leaves at the end of this loop round, or is dropped when the other end is
 * gone. */
void data_channel_wrote(struct data_channel *channel);
/* The same for what nobody waits for: it leaves with the next that is, or after 2 ms. So the other
 * end need not wake up for it alone. */
void data_channel_wrote_for_later(struct data_channel *channel);
bool data_channel_congested(const struct data_channel *channel);
/* Frees the room that is kept for further frames: for when few are to be expected. */
void data_channel_free_room(struct data_channel *channel);

#endif
