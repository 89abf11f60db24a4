/* The sessions of this host by address, and their time to live. Their messages are in
 * session_messages.h.
 *
 * An adopted session is a record that only says where the mailbox is (a MAGE host). */
#ifndef MSGSERVER_RELAY_SESSION_REGISTRY_H
#define MSGSERVER_RELAY_SESSION_REGISTRY_H

#include "base/heap.h"
#include "base/roster.h"
#include "base/table.h"
#include "codecs/requests.h"
#include "codecs/settings.h"
#include "store/store.h"
#include "workers/relay/mailbox.h"
#include "workers/relay/metrics.h"
#include "workers/relay/receipts.h"
#include "workers/relay/used_keys.h"

struct attachment;
struct broadcast;

/* When a session's messages are to be looked at. Only those have it that ever had a message whose
 * time may be over, or that may have to make room for another session's. */
struct message_times {
    struct session *session;
    struct heap_node due;    /* in registry.due: no message's time is over before this */
    struct heap_node oldest; /* in registry.oldest: when its oldest message came */
    uint64_t search_ms;      /* clock_steady_ms(): what is over is not looked for before */
};

struct session {
    struct roster_member member; /* of registry.sessions */
    unsigned magic;
    uint16_t address_len;
    uint8_t home_len; /* 0: the mailbox is here */
    bool held;        /* a client is attached: its time stands still, and it is not in the wheel */
    /* What the last poll was given, up to polled_last: an identical answer is held back. */
    uint32_t polled_count;
    uint64_t polled_last;
    struct session *wheel_prev, *wheel_next;
    uint64_t number;     /* names it in the store */
    uint64_t created_ms; /* clock_steady_ms() */
    uint64_t expires_ms; /* monotonic */
    uint64_t ttl_ms;
    struct attachment *attachment; /* the newest, or NULL */
    struct mailbox mailbox;
    struct message_times *times; /* or NULL */
    struct used_key *keys;
    char text[]; /* its address, then its home */
};

enum {
    SESSION_MAGIC = 0x73657373,
    SESSION_TICK_MS = 500, /* sessions and messages end up to this much late */
    SESSION_WHEEL_SLOTS = 4096,
};

/* server.limits, as far as messages are concerned. */
struct message_limits {
    struct mailbox_limits mailbox;
    uint64_t age_ms;           /* 0: none */
    bool mailbox_drops_oldest; /* else it refuses; so does the host */
    bool host_drops_oldest;
};

struct session_registry {
    struct roster sessions;                     /* by address */
    struct session *wheel[SESSION_WHEEL_SLOTS]; /* by tick of expires_ms, modulo the slots */
    uint64_t next_tick;
    uint64_t last_number;
    uint64_t last_broadcast;     /* the same of broadcasts */
    struct broadcast *broadcast; /* the one that is being put into mailboxes */
    uint64_t thin_out_above;     /* used bytes of the store: see broadcast_end() */
    struct message_limits limits;
    uint64_t session_limit;
    uint64_t default_ttl_ms;
    struct host_budget *budget;
    struct metrics *metrics;
    struct store *store;
    size_t timed;       /* sessions with message_times */
    struct heap due;    /* sessions with messages that may expire, soonest first */
    struct heap oldest; /* sessions with messages, oldest first; empty unless host_drops_oldest */
    struct replaceable replaceable;
    struct used_keys used_keys;
    struct receipts receipts;
    /* A session's time is over: end it with session_end(), or let it live with session_release().
     */
    void (*on_expired)(void *context, struct session *session);
    /* The store was told of a change, which is complete: its batch is to be ended in this loop
     * round. */
    void (*on_stored)(void *context);
    void *context;
};

/* `registry` is overwritten; the caller sets both handlers and context. */
void registry_init(struct session_registry *registry, const struct settings *settings,
                   struct store *store, struct host_budget *budget, struct metrics *metrics,
                   uint64_t now_ms);
/* Frees all sessions without a word to the store, which keeps them. */
void registry_free(struct session_registry *registry);
/* Ends sessions whose time is over at `now_ms` (monotonic); call it every SESSION_TICK_MS. */
void registry_tick(struct session_registry *registry, uint64_t now_ms);

static inline struct slice session_address(const struct session *session)
{
    return slice_of(session->text, session->address_len);
}

/* Where the mailbox of an adopted session is; empty for one that is here. */
static inline struct slice session_home(const struct session *session)
{
    return slice_of(session->text + session->address_len, session->home_len);
}

static inline bool session_is_adopted(const struct session *session)
{
    return session->home_len > 0;
}

/* All sessions are registry.sessions.members[0 … count - 1]. Who walks from the last to the first
 * may end the one where he is. */
static inline struct session *session_at(const struct session_registry *registry, uint32_t place)
{
    return (struct session *)registry->sessions.members[place];
}

struct session *session_find(const struct session_registry *registry, struct slice address);

struct session_order {
    struct slice actor;
    struct slice secret; /* empty: one is made */
    struct slice home;   /* empty: here */
    uint64_t ttl_ms;     /* 0: the configured one */
};
/* Returns OUTCOME_QUEUED and the session; or OUTCOME_EXISTS, OUTCOME_INVALID_KEY or
 * OUTCOME_OVER_LIMIT (also when there is no memory). */
enum outcome session_create(struct session_registry *registry, const struct session_order *order,
                            uint64_t now_ms, struct session **session);

/* What a store kept of a session, whose mailbox is empty so far. Limits do not count for what was
 * accepted before. Returns NULL with errno ENOMEM. */
struct session *session_restore(struct session_registry *registry,
                                const struct stored_session *stored, uint64_t now_ms);
/* What the store is told of it. */
struct stored_session session_to_store(const struct session *session);

/* Gives the session message_times, unless it has them. Returns 0, or -1 with errno ENOMEM. */
int message_times_reserve(struct session_registry *registry, struct session *session);

enum session_end_cause { SESSION_EXPIRED, SESSION_DELETED, SESSION_BROKEN };
/* Drops what waits and frees the session. Its attachment must be over. */
void session_end(struct session_registry *registry, struct session *session,
                 enum session_end_cause cause);

/* While held a session does not expire; released, it lives for its TTL from `now_ms`. */
void session_hold(struct session_registry *registry, struct session *session);
void session_release(struct session_registry *registry, struct session *session, uint64_t now_ms);
/* The same with an end of its own. */
void session_release_until(struct session_registry *registry, struct session *session,
                           uint64_t expires_ms);

#endif
