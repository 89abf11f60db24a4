/* The control channel between the master and one child: every frame type. Some carry a descriptor
 * (io/control_channel.h). See io/child_contract.h for the order in which they come. */
#ifndef MSGSERVER_CODECS_CONTROL_FRAMES_H
#define MSGSERVER_CODECS_CONTROL_FRAMES_H

#include "codecs/frame_types.h"

enum control_direction { MASTER_TO_CHILD = 1, CHILD_TO_MASTER = 2 };

enum listener_kind { LISTENER_CLIENT, LISTENER_BACKEND };

/* Below the smallest default of net.core.wmem_max: a frame is one packet. */
enum { CONTROL_FRAME_MAX_PAYLOAD = 128 << 10, CONTROL_FRAME_SMALL = 4096 };

/* `slot`: 0 for the relay, 1..N for client workers. `incarnation`: unique per process for ever, the
 * upper half of its attachment handles. `mmrp_port`: what an earlier relay was bound to, 0 for
 * none; it overrides a configured "*". `settings`: codecs/settings.h. */
#define FIELDS_START(F) F(u32, slot) F(u32, incarnation) F(u16, mmrp_port) F(slice, settings)
/* + descriptor of a listening socket; `slot` is its owner's, so a lent one can be taken back. */
#define FIELDS_LISTENER(F)        F(u8, kind) F(u32, slot) F(slice, name)
#define FIELDS_LISTENER_REVOKE(F) F(u32, slot)
/* + descriptor of a data channel's end, to the client worker `slot` or from it to the relay. */
#define FIELDS_LINK(F) F(u32, slot) F(u32, incarnation)
/* The peers that discovery knows, all of them: a run of (cluster ID slice, URI slice, public key
 * slice); the key is empty for a peer that speaks no CURVE. */
#define FIELDS_PEERS(F) F(slice, peers)
/* Tell the clients, finish, and exit within `limit_ms`. */
#define FIELDS_STOP(F) F(u32, limit_ms)
/* `cluster_id` and `mmrp_port` from the relay alone. */
#define FIELDS_READY(F) F(slice, cluster_id) F(u16, mmrp_port)
/* The child cannot start, and why, in a sentence; it exits after it. */
#define FIELDS_FAILED(F) F(slice, why)

#define CONTROL_FRAMES(FRAME)                                                                      \
    FRAME(START, start, MASTER_TO_CHILD, CONTROL_FRAME_MAX_PAYLOAD, "who you are, and settings")   \
    FRAME(LISTENER, listener, MASTER_TO_CHILD, CONTROL_FRAME_SMALL, "accept on this socket")       \
    FRAME(LISTENER_REVOKE, listener_revoke, MASTER_TO_CHILD, CONTROL_FRAME_SMALL,                  \
          "stop accepting on the sockets of a slot")                                               \
    FRAME(LINK, link, MASTER_TO_CHILD, CONTROL_FRAME_SMALL, "your data channel")                   \
    FRAME(PEERS, peers, MASTER_TO_CHILD, CONTROL_FRAME_MAX_PAYLOAD, "peers of the relay")          \
    FRAME(STOP, stop, MASTER_TO_CHILD, CONTROL_FRAME_SMALL, "finish and exit")                     \
    FRAME(READY, ready, CHILD_TO_MASTER, CONTROL_FRAME_SMALL, "serving")                           \
    FRAME(FAILED, failed, CHILD_TO_MASTER, CONTROL_FRAME_SMALL, "cannot start")

enum control_frame_type { FRAME_CONTROL_NONE, CONTROL_FRAMES(FRAME_ENUM) FRAME_CONTROL_TYPES };

CONTROL_FRAMES(FRAME_DECLARE)

const struct frame_rule *control_frame_rule(uint16_t type);

#endif
