/* Which session keys were refused of late: the same refusal again is held back, so that a client
 * that asks again at once cannot spin (client fact). Bounded, and nothing secret is kept: a key
 * that shares its place with a later one is forgotten. */
#ifndef MSGSERVER_CLIENT_SESSION_REFUSALS_H
#define MSGSERVER_CLIENT_SESSION_REFUSALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { REFUSALS_REMEMBERED = 4096, REFUSAL_MEMORY_MS = 60000 };

struct session_refusals {
    struct {
        uint64_t key_hash;
        uint64_t at_ms; /* 0: none */
    } places[REFUSALS_REMEMBERED];
};

/* `key_hash` is table_hash() of the key as the client presented it. */
bool session_refusals_recent(const struct session_refusals *refusals, uint64_t key_hash,
                             uint64_t now_ms);
/* Remembers a refusal; returns whether it repeats a recent one. */
bool session_refusals_note(struct session_refusals *refusals, uint64_t key_hash, uint64_t now_ms);

#endif
