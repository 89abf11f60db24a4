/* What a backend may ask of a relay: the payloads of REQUEST and REPLY on the data channel, and,
 * unchanged, of requests between two hosts of ours. */
#ifndef MSGSERVER_CODECS_REQUESTS_H
#define MSGSERVER_CODECS_REQUESTS_H

#include "codecs/frame_types.h"

enum request_direction { REQUESTED = 1, REPLIED = 2 };

enum { REQUEST_SMALL = 64 << 10, REQUEST_MAX_PAYLOAD = (1 << 30) - (64 << 10) };

/* `key`: empty to have one made. `home`: empty for the host that is asked; else a record that only
 * points to the mailbox at that cluster (a MAGE host). `ttl_ms`: 0 for the configured one. */
#define FIELDS_CREATE_SESSION(F) F(slice, actor) F(slice, key) F(slice, home) F(u64, ttl_ms)
#define FIELDS_READ_SESSION(F)   F(slice, address)
#define FIELDS_DELETE_SESSION(F) F(slice, address)
/* Runs of slices: every recipient gets every body, in order, or none of them. */
#define FIELDS_SEND(F)          F(slice, addresses) F(slice, bodies)
#define FIELDS_BROADCAST_ALL(F) F(slice, bodies)
#define FIELDS_READ_STATUS(F)

/* The answer to create, read and delete; all but `outcome` is empty unless it is QUEUED (for
 * create: made, read: found, delete: deleted). Times are in ms. `adopted`: the record only points
 * to a mailbox at another home, and its key does not name that home. */
#define FIELDS_SESSION(F)                                                                          \
    F(u8, outcome)                                                                                 \
    F(slice, address)                                                                              \
    F(slice, home)                                                                                 \
    F(u8, adopted)                                                                                 \
    F(u64, ttl_ms)                                                                                 \
    F(u64, age_ms)                                                                                 \
    F(u8, attached)                                                                                \
    F(u64, attachment)                                                                             \
    F(u64, last_id)                                                                                \
    F(u64, confirmed)                                                                              \
    F(u64, dropped)                                                                                \
    F(u64, pending)                                                                                \
    F(u64, pending_bytes)
/* A run of struct recipient_result, one per address, in their order. */
#define FIELDS_SENT(F) F(slice, results)
/* Mailboxes of the answering host; `peers`: other hosts that were told. */
#define FIELDS_BROADCAST_SENT(F)                                                                   \
    F(u64, queued) F(u64, over_limit) F(u32, peers) F(u32, peers_failed)
/* A run of (name slice, value u64). */
#define FIELDS_STATUS(F) F(slice, figures)

#define REQUEST_FRAMES(FRAME)                                                                      \
    FRAME(CREATE_SESSION, create_session, REQUESTED, REQUEST_SMALL, "register a session")          \
    FRAME(READ_SESSION, read_session, REQUESTED, REQUEST_SMALL, "look a session up")               \
    FRAME(DELETE_SESSION, delete_session, REQUESTED, REQUEST_SMALL, "end a session")               \
    FRAME(SEND, send, REQUESTED, REQUEST_MAX_PAYLOAD, "messages for sessions of one home")         \
    FRAME(BROADCAST_ALL, broadcast_all, REQUESTED, REQUEST_MAX_PAYLOAD, "messages for everyone")   \
    FRAME(READ_STATUS, read_status, REQUESTED, REQUEST_SMALL, "figures of this host's relay")      \
    FRAME(SESSION, session, REPLIED, REQUEST_SMALL, "one session")                                 \
    FRAME(SENT, sent, REPLIED, REQUEST_MAX_PAYLOAD, "outcome per recipient")                       \
    FRAME(BROADCAST_SENT, broadcast_sent, REPLIED, REQUEST_SMALL, "outcome of a broadcast")        \
    FRAME(STATUS, status, REPLIED, REQUEST_SMALL, "figures")

enum request_type { FRAME_REQUEST_NONE, REQUEST_FRAMES(FRAME_ENUM) FRAME_REQUEST_TYPES };

REQUEST_FRAMES(FRAME_DECLARE)

const struct frame_rule *request_rule(uint16_t type);

/* OUTCOME (NAME, code, sentence): what became of a request for one session. */
#define OUTCOMES(OUTCOME)                                                                          \
    OUTCOME(QUEUED, "queued", "Stored in the session's mailbox.")                                  \
    OUTCOME(FORWARDED, "forwarded", "Handed to a MAGE host, which does not answer.")               \
    OUTCOME(NO_SESSION, "noSession", "No such session: it was never created, or it ended.")        \
    OUTCOME(OVER_LIMIT, "overLimit",                                                               \
            "The mailbox or the host is full (server.limits); nothing was stored.")                \
    OUTCOME(HOST_GONE, "hostGone", "The session's home host cannot be reached.")                   \
    OUTCOME(TIMED_OUT, "timedOut", "The home host did not answer; it may have been stored.")       \
    OUTCOME(EXISTS, "exists", "A session with this key exists already.")                           \
    OUTCOME(INVALID_KEY, "invalidSessionKey", "Not a session key: expected actor:secret~home.")

#define OUTCOME_ENUM(NAME, code, sentence) OUTCOME_##NAME,
enum outcome { OUTCOMES(OUTCOME_ENUM) OUTCOME_COUNT };

const char *outcome_code(enum outcome outcome);
const char *outcome_sentence(enum outcome outcome);

struct recipient_result {
    uint8_t outcome;
    uint8_t attached;  /* a client was attached when the messages were stored */
    uint64_t first_id; /* the messages got this ID and those after it; 0 unless queued */
    uint32_t count;
};
int put_recipient_result(struct buffer *out, const struct recipient_result *result);
bool get_recipient_result(struct frame_reader *reader, struct recipient_result *result);

#endif
