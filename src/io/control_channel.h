/* One end of the control channel between master and child: one frame per packet over a SEQPACKET
 * socket, with at most one descriptor beside it. */
#ifndef MSGSERVER_IO_CONTROL_CHANNEL_H
#define MSGSERVER_IO_CONTROL_CHANNEL_H

#include <ev.h>

#include "base/buffer.h"
#include "codecs/control_frames.h"

struct control_channel;

struct control_channel_handlers {
    /* `fd` is -1 or a descriptor that is the handler's from now on. `payload` is valid during the
     * call. The handler may close the channel. */
    void (*on_frame)(void *context, uint16_t type, struct slice payload, int fd);
    /* The other end is gone. Call control_channel_close() now or later. */
    void (*on_lost)(void *context);
};

/* Two connected ends, non-blocking, close-on-exec. Returns 0, or -1 with errno. */
int control_channel_pair(int fds[2]);

/* Takes the descriptor. Frames that do not come in direction `receives`, and descriptors that the
 * kernel dropped because we are at our limit (MSG_CTRUNC), abort. NULL with errno ENOMEM. */
struct control_channel *control_channel_open(struct ev_loop *loop, int fd,
                                             enum control_direction receives,
                                             const struct control_channel_handlers *handlers,
                                             void *context);
/* NULL is accepted. Safe inside the handlers. */
void control_channel_close(struct control_channel *channel);

/* Sends the one frame in `frame` (as put_*() wrote it) and empties the buffer. `fd` (-1: none)
 * stays the caller's: it is duplicated when the packet must wait. Returns 0, also when the other
 * end is already gone (on_lost tells); or -1 with errno ENOMEM or EMFILE and the frame kept. */
int control_channel_send(struct control_channel *channel, struct buffer *frame, int fd);

/* Sends what waits, blocking for at most `limit_ms`: for the last words before an exit. */
void control_channel_flush(struct control_channel *channel, int limit_ms);

#endif
