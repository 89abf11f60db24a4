#include "workers/client/session_refusals.h"

bool session_refusals_recent(const struct session_refusals *refusals, uint64_t key_hash,
                             uint64_t now_ms)
{
    size_t place = key_hash % REFUSALS_REMEMBERED;
    uint64_t at_ms = refusals->places[place].at_ms;
    return at_ms != 0 && refusals->places[place].key_hash == key_hash &&
           now_ms - at_ms < REFUSAL_MEMORY_MS;
}

bool session_refusals_note(struct session_refusals *refusals, uint64_t key_hash, uint64_t now_ms)
{
    bool repeated = session_refusals_recent(refusals, key_hash, now_ms);
    size_t place = key_hash % REFUSALS_REMEMBERED;
    refusals->places[place].key_hash = key_hash;
    refusals->places[place].at_ms = now_ms;
    return repeated;
}
