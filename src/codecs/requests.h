/* What a backend may ask of a relay: the payloads of REQUEST and REPLY on the data channel, and,
 * unchanged, of requests between two hosts of ours. */
#ifndef MSGSERVER_CODECS_REQUESTS_H
#define MSGSERVER_CODECS_REQUESTS_H

#include "codecs/frame_types.h"

enum request_direction { REQUESTED = 1, REPLIED = 2 };

static const uint64_t SEND_TTL_MAX_MS = 365ull * 24 * 3600 * 1000;
enum { REQUEST_SMALL = 64 << 10, REQUEST_MAX_PAYLOAD = (1 << 30) - (64 << 10) };

/* `key`: empty to have one made. `home`: empty for the host that is asked; else a record that only
 * points to the mailbox at that cluster (a MAGE host). `ttl_ms`: 0 for the configured one. */
#define FIELDS_CREATE_SESSION(F) F(slice, actor) F(slice, key) F(slice, home) F(u64, ttl_ms)
#define FIELDS_READ_SESSION(F)   F(slice, address)
#define FIELDS_DELETE_SESSION(F) F(slice, address)
/* Runs of slices: every recipient gets every body, in order, or none of them. `ttl_ms`: 0 for none;
 * the texts are empty when they are not given, see docs/backend-api.md. */
#define FIELDS_SEND(F)                                                                             \
    F(slice, addresses)                                                                            \
    F(slice, bodies)                                                                               \
    F(u64, ttl_ms)                                                                                 \
    F(slice, replace_key)                                                                          \
    F(slice, idempotency_key)                                                                      \
    F(slice, receipt)
#define FIELDS_BROADCAST_ALL(F) F(slice, bodies)
#define FIELDS_READ_STATUS(F)
#define FIELDS_READ_MESSAGE(F) F(slice, address) F(u64, id)
/* Up to `limit` after number `after` of `epoch`; epoch 0: from the oldest on. */
#define FIELDS_READ_RECEIPTS(F) F(u64, epoch) F(u64, after) F(u32, limit)

/* The answering host, and a run of slices, each a peer record. `port`: where it is bound; 0 without
 * a mesh. */
#define FIELDS_READ_PEERS(F)
#define FIELDS_PEER_REPORTS(F)                                                                     \
    F(slice, id)                                                                                   \
    F(slice, bind_host)                                                                            \
    F(u16, port)                                                                                   \
    F(slice, game)                                                                                 \
    F(slice, version)                                                                              \
    F(slice, software)                                                                             \
    F(slice, peers)

/* The answer to create, read and delete; all but `outcome` is empty unless it is QUEUED (for
 * create: made, read: found, delete: deleted). Times are in ms. `adopted`: the record only points
 * to a mailbox at another home, and its key does not name that home. `attached_at`: the cluster ID
 * of the client's host; empty when none is attached, or the home is of version 2 and does not say.
 * What follows `pending_bytes` came with version 3 of replies. */
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
    F(u64, accepted)                                                                               \
    F(u64, confirmed)                                                                              \
    F(u64, dropped)                                                                                \
    F(u64, replaced)                                                                               \
    F(u64, overflowed)                                                                             \
    F(u64, pending)                                                                                \
    F(u64, pending_bytes)                                                                          \
    F(slice, attached_at)                                                                          \
    F(u8, attached_style)                                                                          \
    F(u64, attached_ms)
/* A run of struct recipient_result, one per address, in their order. */
#define FIELDS_SENT(F) F(slice, results)
/* Mailboxes of the answering host; `peers`: other hosts that were told. */
#define FIELDS_BROADCAST_SENT(F)                                                                   \
    F(u64, queued) F(u64, over_limit) F(u32, peers) F(u32, peers_failed)
/* A run of (name slice, value u64). */
#define FIELDS_STATUS(F) F(slice, figures)
/* `outcome`: QUEUED (found) or NO_SESSION. `state`: enum message_state; `settlement` is one when
 * the state is CONFIRMED or DROPPED and it is known. `sent`: to a client, at least once. */
#define FIELDS_MESSAGE_STATE(F)                                                                    \
    F(u8, outcome) F(u8, state) F(u8, settlement) F(u8, sent) F(u64, at_ms)
/* A run of slices, each a receipt record, numbered from `first` on. `lost`: so many between what
 * was asked for and `first` are not kept any more; `restarted`: the epoch asked for is not this
 * one, and what there was of it is gone. `home`: of the sessions. */
#define FIELDS_RECEIPTS(F)                                                                         \
    F(u64, epoch) F(u64, first) F(u64, lost) F(u8, restarted) F(slice, home) F(slice, receipts)

/* Instead of any answer, from another host: it does not know the operation, or the layout. */
#define FIELDS_NOT_UNDERSTOOD(F) F(u8, version)

/* Hosts of different age meet, so numbers stay: new rows come last. */
#define REQUEST_FRAMES(FRAME)                                                                      \
    FRAME(CREATE_SESSION, create_session, REQUESTED, REQUEST_SMALL, "register a session")          \
    FRAME(READ_SESSION, read_session, REQUESTED, REQUEST_SMALL, "look a session up")               \
    FRAME(DELETE_SESSION, delete_session, REQUESTED, REQUEST_SMALL, "end a session")               \
    FRAME(SEND, send, REQUESTED, REQUEST_MAX_PAYLOAD, "messages for sessions of one home")         \
    FRAME(BROADCAST_ALL, broadcast_all, REQUESTED, REQUEST_MAX_PAYLOAD, "messages for everyone")   \
    FRAME(READ_STATUS, read_status, REQUESTED, REQUEST_SMALL, "figures of this host's relay")      \
    FRAME(READ_MESSAGE, read_message, REQUESTED, REQUEST_SMALL, "what became of a message")        \
    FRAME(READ_RECEIPTS, read_receipts, REQUESTED, REQUEST_SMALL, "what became of messages")       \
    FRAME(SESSION, session, REPLIED, REQUEST_SMALL, "one session")                                 \
    FRAME(SENT, sent, REPLIED, REQUEST_MAX_PAYLOAD, "outcome per recipient")                       \
    FRAME(BROADCAST_SENT, broadcast_sent, REPLIED, REQUEST_SMALL, "outcome of a broadcast")        \
    FRAME(STATUS, status, REPLIED, REQUEST_SMALL, "figures")                                       \
    FRAME(MESSAGE_STATE, message_state, REPLIED, REQUEST_SMALL, "what became of one message")      \
    FRAME(RECEIPTS, receipts, REPLIED, REQUEST_MAX_PAYLOAD, "receipts")                            \
    FRAME(READ_PEERS, read_peers, REQUESTED, REQUEST_SMALL, "this host and its peers")             \
    FRAME(PEER_REPORTS, peer_reports, REPLIED, REQUEST_MAX_PAYLOAD, "this host and its peers")     \
    FRAME(NOT_UNDERSTOOD, not_understood, REPLIED, REQUEST_SMALL, "asked for what it does not know")

enum request_type { FRAME_REQUEST_NONE, REQUEST_FRAMES(FRAME_ENUM) FRAME_REQUEST_TYPES };

REQUEST_FRAMES(FRAME_DECLARE)

const struct frame_rule *request_rule(uint16_t type);

/* Between hosts, the first byte of a payload is the version of its layout. Whoever asks says beside
 * the request which replies it can read, so that hosts of different age answer each other. */
enum {
    REQUEST_VERSION = 2,
    REPLY_VERSION_FIRST = 2,
    REPLY_VERSION = 3, /* SESSION tells where the client is attached */
};

/* A reply's sound payload as a host that reads `version` expects it: a part of the same bytes. */
struct slice reply_to_version(uint16_t operation, struct slice payload, uint8_t version);
/* Appends a payload of `version`, as this version's get_*() read it. Returns 0, or -1 with errno
 * ENOMEM. */
int reply_from_version(struct buffer *out, uint16_t operation, struct slice payload,
                       uint8_t version);

/* OUTCOME (NAME, code, sentence): what became of a request for one session. */
#define OUTCOMES(OUTCOME)                                                                          \
    OUTCOME(QUEUED, "queued", "Stored in the session's mailbox.")                                  \
    OUTCOME(FORWARDED, "forwarded", "Handed to a MAGE host, which does not answer.")               \
    OUTCOME(NO_SESSION, "noSession", "No such session: it was never created, or it ended.")        \
    OUTCOME(OVER_LIMIT, "overLimit",                                                               \
            "No room: server.limits.sessions, server.limits.hostBytes or server.store.size is "    \
            "reached; nothing was stored.")                                                        \
    OUTCOME(HOST_GONE, "hostGone", "The session's home host cannot be reached.")                   \
    OUTCOME(TIMED_OUT, "timedOut", "The home host did not answer; it may have been stored.")       \
    OUTCOME(EXISTS, "exists", "A session with this key exists already.")                           \
    OUTCOME(INVALID_KEY, "invalidSessionKey", "Not a session key: expected actor:secret~home.")    \
    OUTCOME(KEY_REUSED, "keyReused",                                                               \
            "This idempotencyKey was used for other messages, or with another ttl, replaceKey "    \
            "or receipt; nothing was stored.")                                                     \
    OUTCOME(OTHER_VERSION, "otherVersion",                                                         \
            "The session's home runs another version of msgserver, which does not understand the " \
            "request; nothing was done.")

#define OUTCOME_ENUM(NAME, code, sentence) OUTCOME_##NAME,
enum outcome { OUTCOMES(OUTCOME_ENUM) OUTCOME_COUNT };

const char *outcome_code(enum outcome outcome);
const char *outcome_sentence(enum outcome outcome);

/* LIMIT (NAME, code, sentence): what was full, when the outcome is OVER_LIMIT. */
#define LIMITS(LIMIT)                                                                              \
    LIMIT(NONE, "", "")                                                                            \
    LIMIT(MAILBOX, "mailbox",                                                                      \
          "The session's mailbox has no room for it (server.limits.mailbox…); nothing was "      \
          "stored.")                                                                               \
    LIMIT(HOST, "host",                                                                            \
          "The host's memory for messages is used up (server.limits.hostBytes); nothing was "      \
          "stored.")                                                                               \
    LIMIT(STORE, "store", "The store is full (server.store.size); nothing was stored.")

#define LIMIT_ENUM(NAME, code, sentence) LIMIT_##NAME,
enum limit { LIMITS(LIMIT_ENUM) LIMIT_COUNT };

const char *limit_code(enum limit limit);
const char *limit_sentence(enum limit limit);

enum result_flags {
    RESULT_ATTACHED = 1, /* a client was attached when the messages were stored */
    RESULT_REPLACED = 2, /* the message took the place of an older one, and its ID */
    RESULT_REPEATED = 4, /* the idempotency key was used before: these are the IDs from then */
    RESULT_IGNORED = 8,  /* forwarded to a MAGE host, which knows no TTLs, keys and receipts */
};

static inline bool send_has_options(const struct frame_send *send)
{
    return send->ttl_ms > 0 || send->replace_key.len > 0 || send->idempotency_key.len > 0 ||
           send->receipt.len > 0;
}

struct recipient_result {
    uint8_t outcome;
    uint8_t limit; /* enum limit */
    uint8_t flags;
    uint64_t first_id; /* the messages got this ID and those after it; 0 unless queued */
    uint32_t count;
    uint32_t dropped; /* older messages that had to make room */
};
enum { RECIPIENT_RESULT_BYTES = 1 + 1 + 1 + 8 + 4 + 4 };
int put_recipient_result(struct buffer *out, const struct recipient_result *result);
bool get_recipient_result(struct frame_reader *reader, struct recipient_result *result);

/* SETTLEMENT (NAME, code): how a message's wait ended, as receipts tell it. */
#define SETTLEMENTS(SETTLEMENT)                                                                    \
    SETTLEMENT(CONFIRMED, "confirmed")                                                             \
    SETTLEMENT(TTL, "expired")                                                                     \
    SETTLEMENT(REPLACED, "replaced")                                                               \
    SETTLEMENT(MAILBOX_FULL, "overLimit")                                                          \
    SETTLEMENT(HOST_FULL, "overLimit")                                                             \
    SETTLEMENT(AGE, "aged")                                                                        \
    SETTLEMENT(SESSION_EXPIRED, "sessionExpired")                                                  \
    SETTLEMENT(SESSION_DELETED, "sessionDeleted")                                                  \
    SETTLEMENT(SESSION_BROKEN, "sessionBroken")

#define SETTLEMENT_ENUM(NAME, code) SETTLED_##NAME,
enum settlement { SETTLEMENTS(SETTLEMENT_ENUM) SETTLEMENT_COUNT };

const char *settlement_code(enum settlement settlement);

enum message_state {
    MESSAGE_PENDING,
    MESSAGE_CONFIRMED,
    MESSAGE_DROPPED,
    MESSAGE_SETTLED, /* confirmed or dropped: nobody asked for a receipt, or it is forgotten */
    MESSAGE_UNKNOWN, /* the session never had this ID */
    MESSAGE_STATES
};

/* What a sender that asked for it is told about a message. */
struct receipt {
    uint8_t settlement;
    uint8_t sent;   /* it had been sent to a client: if it was dropped, the client may have it */
    uint64_t at_ms; /* since 1970 */
    uint64_t id;
    struct slice address;
    struct slice tag;
};
/* Return 0; or -1 with errno ENOMEM, or EPROTO. */
int put_receipt_record(struct buffer *out, const struct receipt *receipt);
int get_receipt_record(struct slice record, struct receipt *receipt);

/* One peer as an operator wants to see it; what it all means is in docs/backend-api.md. `rtt_us`: 0
 * when it is not known; `uri` and `software` are empty then. */
#define PEER_RECORD_FIELDS(F)                                                                      \
    F(slice, id)                                                                                   \
    F(slice, uri)                                                                                  \
    F(slice, state)                                                                                \
    F(slice, software)                                                                             \
    F(u8, is_msgserver)                                                                            \
    F(u64, state_ms)                                                                               \
    F(u64, heard_ms)                                                                               \
    F(u64, rtt_us)                                                                                 \
    F(u64, received)                                                                               \
    F(u64, sent)                                                                                   \
    F(u64, retried)                                                                                \
    F(u64, outbox_full)                                                                            \
    F(u64, lost)                                                                                   \
    F(u64, malformed)                                                                              \
    F(u64, strangers)                                                                              \
    F(u64, unroutable)                                                                             \
    F(u64, outbox_count)                                                                           \
    F(u64, outbox_bytes)
struct peer_record {
    PEER_RECORD_FIELDS(FRAME_MEMBER)
};
/* Return 0; or -1 with errno ENOMEM, or EPROTO. */
int put_peer_record(struct buffer *out, const struct peer_record *fields);
int get_peer_record(struct slice record, struct peer_record *fields);

#endif
