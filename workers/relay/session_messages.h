/* The one place where messages enter and leave mailboxes: limits, the store, receipts and the
 * figures are kept here, so that they always agree.
 *
 * A store that cannot record that something left ends the process: the next one starts from what is
 * stored, and everything agrees again. A store that cannot take more refuses what enters. */
#ifndef MSGSERVER_RELAY_SESSION_MESSAGES_H
#define MSGSERVER_RELAY_SESSION_MESSAGES_H

#include "workers/relay/session_registry.h"

/* A body in the host's budget; makes room when server.limits.hostPolicy says so. NULL with errno
 * ENOSPC or ENOMEM. Every reference to it goes back through budget_release_body(). */
struct blob *message_body_new(struct session_registry *registry, struct slice bytes);

struct message_order {
    struct blob *const *bodies; /* NULL when there was no room for them on the host */
    size_t count;
    struct message_wish wish;     /* for each of them; a replace key needs a count of 1 */
    struct slice idempotency_key; /* empty: none */
    uint64_t digest;              /* of the bodies and the wish, to tell a repetition */
};

struct acceptance {
    enum limit limit;  /* what was full, when the outcome is OVER_LIMIT */
    bool replaced;     /* the message got the ID of an older one */
    bool repeated;     /* nothing was stored now, but these IDs back then */
    uint32_t dropped;  /* older messages of this mailbox that had to make room */
    uint64_t first_id; /* the others follow it; 0 unless queued */
    uint32_t count;
};

/* Gives all bodies IDs, or none: OUTCOME_QUEUED, OUTCOME_OVER_LIMIT or OUTCOME_KEY_REUSED. A
 * repetition needs no room, and no bodies. */
enum outcome session_accept(struct session_registry *registry, struct session *session,
                            const struct message_order *order, struct acceptance *acceptance);

/* A message for all mailboxes: one body, stored once. Nothing else is accepted between
 * broadcast_begin() and broadcast_end(). */
struct broadcast {
    struct blob *body;
    struct stored_recipient
        recipients[STORED_RECIPIENTS_MAX]; /* that the store is still to learn */
    size_t count;
};

/* For `mailboxes` at most. Keeps no reference. Returns 0; or -1 with errno when the store does not
 * take it: then nothing has begun, and nothing was counted. */
int broadcast_begin(struct session_registry *registry, struct broadcast *broadcast,
                    struct blob *body, uint64_t mailboxes);
/* Gives the body an ID in that mailbox, as session_accept() does. */
enum outcome broadcast_accept(struct session_registry *registry, struct session *session,
                              struct acceptance *acceptance);
/* When the store is half full, broadcasts that few mailboxes still wait for are put there into
 * records of these, so that the lists of all who had them can go. */
void broadcast_end(struct session_registry *registry);
/* Tells the store what it is to learn before its batch may be ended; also when there is none. */
void broadcast_store(struct session_registry *registry);
/* Nobody waits for that one any more; for host_budget. */
void broadcast_gone(void *registry, uint64_t number);

/* Frees what a client has: everything up to and with `id`, as far as it was ever sent. Returns
 * false when `id` was never given: then the client knows another mailbox than this one. */
bool session_confirm(struct session_registry *registry, struct session *session, uint64_t id);

/* Drops what is over: messages whose TTL passed, and those that are too old. Cheap when nothing
 * is, and a large mailbox is not searched again at once: so up to SESSION_TICK_MS late. Call it
 * before anything is delivered. */
void session_drop_due(struct session_registry *registry, struct session *session);
/* The same for all sessions; call it every SESSION_TICK_MS, since very much is left for the next
 * time. Idempotency keys are forgotten here. */
void messages_tick(struct session_registry *registry);

/* The session ends, and its messages with it. */
void session_drop_messages(struct session_registry *registry, struct session *session,
                           enum settlement settlement);
/* Frees its messages and tells nobody: the store keeps them. */
void session_forget_messages(struct session_registry *registry, struct session *session);

/* What a store kept: broadcasts; the counts of a new session, then its messages in the order of
 * their IDs, then its keys. Return 0 (a body), or -1 (NULL) with errno ENOMEM. The reference that
 * broadcast_restore() returns goes back through budget_release_body() when all is read. */
struct blob *broadcast_restore(struct session_registry *registry, uint64_t number,
                               const struct stored_message *stored);
void session_restore_counts(struct session *session, const struct stored_counts *counts);
int session_restore_message(struct session_registry *registry, struct session *session,
                            const struct stored_message *stored);
/* A broadcast, which it keeps a reference to. */
int session_restore_broadcast(struct session_registry *registry, struct session *session,
                              struct blob *body);
int session_restore_key(struct session_registry *registry, struct session *session,
                        const struct stored_key *stored);

/* A store's answer to what had to be recorded; ends the process when it is not 0. */
void store_must(int result, const char *operation);

#endif
