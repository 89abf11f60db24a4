/* Many envelopes in one message, between two hosts of ours that said in their handshakes that they
 * read it: ZeroMQ takes ten times as long for the frames of an envelope as for copying it.
 *
 * An envelope is the number of its frames, then each frame's length and bytes; without our own
 * identity in front, as a DEALER receives it. A number is one byte, or, from 255 on, a byte of 255
 * and a little-endian u32. A pack travels as the one message of an ENVELOPE_PACK envelope. */
#ifndef MSGSERVER_CODECS_ENVELOPE_PACK_H
#define MSGSERVER_CODECS_ENVELOPE_PACK_H

#include "codecs/envelope.h"

enum {
    /* The form that is described here, as a handshake names it. */
    ENVELOPE_PACK_FORM = 1,
    /* A writer puts no more into a pack that has so much: a larger one costs hardly less, and
     * ZeroMQ's queues hold a number of messages of whatever size. */
    ENVELOPE_PACK_BYTES = 16 << 10,
    /* It sends an envelope with so much in it alone: copying that costs as much as frames do. */
    ENVELOPE_PACK_ALONE_BYTES = 8 << 10,
    /* A reader takes no more from one pack, so that none holds up the others for long. */
    ENVELOPE_PACK_BYTES_MAX = 1 << 20,
    ENVELOPE_PACK_COUNT_MAX = 16384,
};

/* Bytes that `envelope`, from `first_hop` of its route on, takes in a pack. */
size_t envelope_pack_len(const struct envelope *envelope, size_t first_hop);
/* Appends it. Returns 0, or -1 with errno ENOMEM and `pack` as it was. */
int envelope_pack_put(struct buffer *pack, const struct envelope *envelope, size_t first_hop);

/* Frames of one envelope, for envelope_parse(). All-zero is a valid empty list. */
struct frame_list {
    struct slice *frames;
    size_t count;
    size_t room;
};
void frame_list_free(struct frame_list *list);

/* Takes the first envelope off `pack`; its frames point into that. Returns 1, or 0 at the end, or
 * -1 with errno EPROTO (what is left cannot be read) or ENOMEM. Whether the frames are an envelope
 * is for envelope_parse() to say. */
int envelope_pack_take(struct slice *pack, struct frame_list *list);

#endif
