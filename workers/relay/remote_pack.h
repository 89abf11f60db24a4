/* A message pack from another host, on its way to a client here: what of it is new, and fits. */
#ifndef MSGSERVER_RELAY_REMOTE_PACK_H
#define MSGSERVER_RELAY_REMOTE_PACK_H

#include "codecs/envelope.h"

struct relay;
struct attachment;

struct remote_pack {
    const struct slice *messages; /* ID and body in turn */
    size_t count;                 /* of pairs */
    uint64_t first_id;            /* 0 when empty */
    bool checked;                 /* the bodies are messages: a host of ours checked them */
};

/* Views the envelope. Returns 0, or -1 with errno EPROTO: an odd number of messages, an ID that is
 * no number, or IDs that do not ascend one by one. */
int remote_pack_read(const struct envelope *envelope, bool checked, struct remote_pack *pack);

/* Pairs that go to the client. */
struct remote_run {
    size_t index; /* of the first */
    size_t count;
    uint64_t first_id;
    uint64_t bytes; /* of the bodies */
};

enum remote_pack_rest {
    REMOTE_REST_NONE, /* all is in the run, or was given before */
    REMOTE_REST_GAP,  /* the pack starts above `next_id` */
    REMOTE_REST_FULL  /* there was no room for all */
};

/* Chooses from `next_id` on; `room` bytes, as messages_cost() counts them, may be passed by the
 * last message, and nothing is chosen unless `has_room`. */
enum remote_pack_rest remote_pack_choose(const struct remote_pack *pack, uint64_t next_id,
                                         uint32_t room, bool has_room, struct remote_run *run);

/* Puts the run into the attachment's channel as a DELIVER frame. A body that is no message goes as
 * an empty one: left out, it would leave a hole at which clients wait for ever. Returns 0, or -1
 * with errno ENOMEM. */
int remote_pack_put(struct relay *relay, const struct attachment *attachment,
                    const struct remote_pack *pack, const struct remote_run *run);

#endif
