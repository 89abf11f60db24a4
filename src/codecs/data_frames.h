/* The data channel between the relay worker and one client worker: every frame type.
 *
 * An attachment is one client's live interest in one session's mailbox. Its handle is unique for
 * ever (worker incarnation << 32 | counter), and whatever concerns the attachment carries it; a
 * frame with a stale handle is ignored by either side. */
#ifndef MSGSERVER_CODECS_DATA_FRAMES_H
#define MSGSERVER_CODECS_DATA_FRAMES_H

#include "codecs/frame_types.h"

enum data_direction { WORKER_TO_RELAY = 1, RELAY_TO_WORKER = 2 };

/* How an attachment takes messages; the names on the wire are MMRP's (msgServer.connect). */
enum attachment_style {
    STYLE_STREAM,    /* "never": WebSocket, SSE; stays until detached */
    STYLE_LONG_POLL, /* "ondelivery": ends with its first delivery */
    STYLE_SHORT_POLL /* "always": answered at once, with no messages if none wait; then ends */
};

enum attach_flags {
    ATTACH_RESUMED = 1 /* sent again after the relay restarted: a missing session is hostGone */
};

enum { DATA_FRAME_MAX_PAYLOAD = 1 << 30, DATA_FRAME_SMALL = 64 << 10 };

/* `home` is the cluster ID of the session's home, empty when the relay is to look it up. `since` is
 * when the client came (clock_monotonic_us, one clock for all processes): frames of two workers may
 * overtake each other, and the newest client wins, not the one that was heard of last.
 * `confirmed` is a list of IDs (u64 each), applied before any delivery. */
#define FIELDS_ATTACH(F)                                                                           \
    F(u64, handle)                                                                                 \
    F(u64, since) F(u8, style) F(u8, flags) F(slice, address) F(slice, home) F(slice, confirmed)
/* `credit` as in CREDIT: what the worker owes goes along. */
#define FIELDS_CONFIRM(F) F(u64, handle) F(u32, credit) F(slice, confirmed)
#define FIELDS_DETACH(F)  F(u64, handle)
/* `bytes`, as messages_cost() counts them, that the worker does not hold for the client any more:
 * the relay may send as many more. */
#define FIELDS_CREDIT(F) F(u64, handle) F(u32, bytes)
/* `home`: the cluster to ask, empty for the own one. `operation` and `payload`: requests.h. */
#define FIELDS_REQUEST(F) F(u64, request) F(slice, home) F(u16, operation) F(slice, payload)
/* `messages`: a run of (id u64, body slice), ascending without gaps; may be empty for a poll. */
#define FIELDS_DELIVER(F) F(u64, handle) F(slice, messages)
/* `recipients`: a run of (handle u64, id u64): the ID which that attachment's mailbox gave. */
#define FIELDS_BROADCAST(F) F(slice, body) F(slice, recipients)
/* The attachment is over; `reason` is an enum end_reason. */
#define FIELDS_END(F)   F(u64, handle) F(u8, reason)
#define FIELDS_REPLY(F) F(u64, request) F(u16, operation) F(slice, payload)

#define DATA_FRAMES(FRAME)                                                                         \
    FRAME(ATTACH, attach, WORKER_TO_RELAY, DATA_FRAME_SMALL, "a client asks for its mailbox")      \
    FRAME(CONFIRM, confirm, WORKER_TO_RELAY, DATA_FRAME_MAX_PAYLOAD, "a client has messages")      \
    FRAME(DETACH, detach, WORKER_TO_RELAY, DATA_FRAME_SMALL, "a client is gone")                   \
    FRAME(CREDIT, credit, WORKER_TO_RELAY, DATA_FRAME_SMALL, "a client's socket took bytes")       \
    FRAME(REQUEST, request, WORKER_TO_RELAY, DATA_FRAME_MAX_PAYLOAD, "a backend's request")        \
    FRAME(DELIVER, deliver, RELAY_TO_WORKER, DATA_FRAME_MAX_PAYLOAD, "messages for a client")      \
    FRAME(BROADCAST, broadcast, RELAY_TO_WORKER, DATA_FRAME_MAX_PAYLOAD, "one body for many")      \
    FRAME(END, end, RELAY_TO_WORKER, DATA_FRAME_SMALL, "an attachment is over")                    \
    FRAME(REPLY, reply, RELAY_TO_WORKER, DATA_FRAME_MAX_PAYLOAD, "answer to a backend's request")

enum data_frame_type { FRAME_DATA_NONE, DATA_FRAMES(FRAME_ENUM) FRAME_DATA_TYPES };

DATA_FRAMES(FRAME_DECLARE)

/* NULL for a type that is not in the table. */
const struct frame_rule *data_frame_rule(uint16_t type);

/* One message of a DELIVER frame's run. get_message() returns false at the end of the run or when
 * it is broken; check reader_finish() after the last. */
struct message {
    uint64_t id;
    struct slice body;
};
int put_message(struct buffer *out, uint64_t id, struct slice body);
bool get_message(struct frame_reader *reader, struct message *message);

/* What a message counts beside its body: about what it takes beside it, or a window of placeholders
 * for dropped messages, which are 2 bytes each, would make a worker hold many times its size. An
 * event stream adds 32 bytes while IDs have 7 digits ("id: ", "data: ", the ID twice), 58 at most;
 * a WebSocket's pack adds less, even one of a single message. */
enum { MESSAGE_FRAMING = 32 };

/* What messages with `body_bytes` in all count in an attachment's window and in its credit, here
 * and between two hosts of ours. Whoever counts these bytes must count them with this function. */
static inline uint64_t messages_cost(uint64_t count, uint64_t body_bytes)
{
    return body_bytes + count * MESSAGE_FRAMING;
}

/* Credit below this part of an attachment's window may wait in the worker until it has something
 * else to say. So whatever is in flight up to it may have been taken, and counts as nothing where
 * something is to wait for an empty window. */
static inline uint64_t credit_slack(uint64_t window)
{
    return window / 4;
}

/* Why an attachment ended; the text in parentheses is the reason in session.unset. */
enum end_reason {
    END_SUPERSEDED, /* a newer attachment of the same session took its place */
    END_STOPPING,   /* the host is going down in good order; the session lives */
    END_FAILED,     /* the store failed: 500 or close code 1011 */
    END_INVALID_KEY,
    END_NO_SESSION,
    END_KEY_MISMATCH,
    END_BAD_VERSION,
    END_EXPIRED,
    END_HOST_GONE,
    END_REASONS
};
/* The reason as clients know it ("noSession"), or NULL when the end is not a session.unset. */
const char *end_reason_unset(enum end_reason reason);
/* The inverse; -1 when `name` is no such reason. */
int end_reason_from_unset(struct slice name);

#endif
