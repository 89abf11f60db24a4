/* MMRP envelopes: "route… | <> | message… | <> | returnRoute… | meta" (MMRP facts). Frames in,
 * structure out; no sockets here. */
#ifndef MSGSERVER_CODECS_ENVELOPE_H
#define MSGSERVER_CODECS_ENVELOPE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/slice.h"

enum {
    ENVELOPE_TRACK_ROUTE = 1, /* bit 0 of the flags; the other bits survive forwarding */
    ENVELOPE_ROUTE_MAX = 16,  /* entries, either route: more is a loop or an attack */
    ENVELOPE_HOP_MAX = 255,   /* bytes of one, as of a ZeroMQ identity: it may be kept for long */
    ENVELOPE_FRAMES_MAX = 65536, /* of a whole envelope */
    ENVELOPE_TYPE_MAX = 64       /* bytes of a type's name, so that it is forwarded unallocated */
};

/* ENVELOPE_TYPE (NAME, text): the types that msgserver sends or understands. The last three are our
 * own, between two hosts of ours: requests.h, and envelope_pack.h. */
#define ENVELOPE_TYPES(TYPE)                                                                       \
    TYPE(HANDSHAKE, "mmrp.handshake")                                                              \
    TYPE(SEND_ERROR, "mmrp.sendError")                                                             \
    TYPE(CONNECT, "msgServer.connect")                                                             \
    TYPE(DISCONNECT, "msgServer.disconnect")                                                       \
    TYPE(SEND, "msgServer.send")                                                                   \
    TYPE(BROADCAST, "msgServer.broadcast")                                                         \
    TYPE(CONFIRM, "msgServer.confirm")                                                             \
    TYPE(MESSAGEPACK, "msgServer.messagepack")                                                     \
    TYPE(HOST_GONE, "msgServer.hostGone")                                                          \
    TYPE(REQUEST, "msgserver.request")                                                             \
    TYPE(REPLY, "msgserver.reply")                                                                 \
    TYPE(PACK, "msgserver.pack")

#define ENVELOPE_TYPE_ENUM(NAME, text) ENVELOPE_##NAME,
enum envelope_type { ENVELOPE_UNKNOWN, ENVELOPE_TYPES(ENVELOPE_TYPE_ENUM) ENVELOPE_TYPE_COUNT };

/* "unknown" for UNKNOWN. */
const char *envelope_type_name(enum envelope_type type);

/* Slices are views of somebody else's bytes; `messages` is an array of the caller's. */
struct envelope {
    struct slice route[ENVELOPE_ROUTE_MAX];
    size_t route_len;
    const struct slice *messages;
    size_t message_count;
    struct slice return_route[ENVELOPE_ROUTE_MAX];
    size_t return_route_len;
    uint8_t flags;
    enum envelope_type type;
    struct slice type_name; /* as received; to emit, only an UNKNOWN type needs it */
};

enum envelope_error {
    ENVELOPE_OK,
    ENVELOPE_TOO_MANY_FRAMES,
    ENVELOPE_NO_SEPARATOR,   /* no empty frame after the route */
    ENVELOPE_NO_META,        /* the last frame is shorter than two bytes, or is not there */
    ENVELOPE_TYPE_TOO_LONG,  /* more than ENVELOPE_TYPE_MAX bytes */
    ENVELOPE_ROUTE_TOO_LONG, /* either route has more than ENVELOPE_ROUTE_MAX entries */
    ENVELOPE_HOP_TOO_LONG,   /* an entry of either has more than ENVELOPE_HOP_MAX bytes */
    ENVELOPE_EMPTY_HOP,      /* in the return route: an answer would be cut there and forged */
    ENVELOPE_ERRORS
};
const char *envelope_error_text(enum envelope_error error);

/* Reads the frames of one multipart message. A missing second separator is accepted (MMRP fact):
 * then there is no return route. `envelope->messages` points into `frames`. Without TRACK_ROUTE the
 * return route is dropped. */
enum envelope_error envelope_parse(const struct slice *frames, size_t count,
                                   struct envelope *envelope);

/* Takes `identity` off the front of the route, every leading copy of it. */
void envelope_consume_identity(struct envelope *envelope, struct slice identity);
/* Puts `identity` at the front of the return route, unless it is there already or the envelope does
 * not track its route. Returns false when the return route is full. */
bool envelope_track(struct envelope *envelope, struct slice identity);

/* The inverse of envelope_parse(): calls emit() for each frame in order; `more` is false for the
 * last. Stops at the first emit() that returns non-zero and returns that, else 0. The route is
 * written from index `first_hop`, so that a sender can leave out what its socket adds. */
int envelope_emit(const struct envelope *envelope, size_t first_hop,
                  int (*emit)(void *context, struct slice frame, bool more), void *context);

#endif
