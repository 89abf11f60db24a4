/* Idempotency keys: what a sender used for a session, and what became of it, for a limited time, so
 * that a repetition is answered and not stored. */
#ifndef MSGSERVER_RELAY_USED_KEYS_H
#define MSGSERVER_RELAY_USED_KEYS_H

#include "base/table.h"
#include "store/store.h"
#include "workers/relay/host_budget.h"

struct session;

struct used_key {
    struct session *session;
    struct used_key *older, *newer;   /* in used_keys.oldest */
    struct used_key *previous, *next; /* in the session's list */
    uint64_t used_ms;                 /* clock_steady_ms() */
    uint64_t first_id;
    uint64_t digest;
    uint32_t count;
    uint16_t key_len;
    UT_hash_handle hh;
    char text[]; /* the session's number, the key */
};

struct used_keys {
    struct used_key *by_key;
    struct used_key *oldest; /* utlist, by ascending used_ms */
    uint64_t window_ms;
    struct host_budget *budget;
};

struct used_key *used_key_find(const struct used_keys *keys, uint64_t session, struct slice key);
/* Makes room for one, which is found and counts only after used_key_add(). NULL with errno ENOSPC
 * (the host is full) or ENOMEM. */
struct used_key *used_key_new(struct used_keys *keys, struct session *session, uint64_t number,
                              const struct stored_key *stored);
/* `list`: the session's. Returns 0; or -1 with errno ENOMEM, and `key` is the caller's still. */
int used_key_add(struct used_keys *keys, struct used_key **list, struct used_key *key);
/* Frees one that used_key_add() was not called for. */
void used_key_discard(struct used_keys *keys, struct used_key *key);
void used_key_remove(struct used_keys *keys, struct used_key **list, struct used_key *key);
/* After used_key_add() in any order: by time again. */
void used_keys_sort(struct used_keys *keys);

struct slice used_key_text(const struct used_key *key);

#endif
