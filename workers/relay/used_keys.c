#include "workers/relay/used_keys.h"

#include <errno.h>
#include <stdlib.h>

#include "base/invariant.h"

enum { SIDE_COST = 48, NUMBER_BYTES = sizeof(uint64_t) };

static uint64_t cost_of(size_t key_len)
{
    return sizeof(struct used_key) + NUMBER_BYTES + key_len + SIDE_COST;
}

struct slice used_key_text(const struct used_key *key)
{
    return slice_of(key->text + NUMBER_BYTES, key->key_len);
}

struct used_key *used_key_find(const struct used_keys *keys, uint64_t session, struct slice key)
{
    char text[NUMBER_BYTES + STORED_KEY_MAX];
    struct used_key *found;
    INVARIANT(key.len <= STORED_KEY_MAX, "an idempotency key is too long");
    memcpy(text, &session, NUMBER_BYTES);
    memcpy(text + NUMBER_BYTES, key.data, key.len);
    HASH_FIND(hh, keys->by_key, text, NUMBER_BYTES + key.len, found);
    return found;
}

struct used_key *used_key_new(struct used_keys *keys, struct session *session, uint64_t number,
                              const struct stored_key *stored)
{
    size_t len = stored->key.len;
    if (budget_charge(keys->budget, cost_of(len)) != 0)
        return NULL;
    struct used_key *key = calloc(1, sizeof *key + NUMBER_BYTES + len);
    if (!key) {
        budget_discharge(keys->budget, cost_of(len));
        return NULL;
    }
    key->session = session;
    key->used_ms = stored->used_ms;
    key->first_id = stored->first_id;
    key->digest = stored->digest;
    key->count = stored->count;
    key->key_len = (uint16_t)len;
    memcpy(key->text, &number, NUMBER_BYTES);
    memcpy(key->text + NUMBER_BYTES, stored->key.data, len);
    return key;
}

int used_key_add(struct used_keys *keys, struct used_key **list, struct used_key *key)
{
    HASH_ADD_KEYPTR(hh, keys->by_key, key->text, (unsigned)(NUMBER_BYTES + key->key_len), key);
    if (!key->hh.tbl) {
        errno = ENOMEM;
        return -1;
    }
    DL_APPEND2(keys->oldest, key, older, newer);
    DL_APPEND2(*list, key, previous, next);
    return 0;
}

void used_key_discard(struct used_keys *keys, struct used_key *key)
{
    if (!key)
        return;
    budget_discharge(keys->budget, cost_of(key->key_len));
    free(key);
}

void used_key_remove(struct used_keys *keys, struct used_key **list, struct used_key *key)
{
    HASH_DELETE(hh, keys->by_key, key);
    DL_DELETE2(keys->oldest, key, older, newer);
    DL_DELETE2(*list, key, previous, next);
    used_key_discard(keys, key);
}

static int compare_age(const struct used_key *a, const struct used_key *b)
{
    return a->used_ms < b->used_ms ? -1 : a->used_ms > b->used_ms;
}

void used_keys_sort(struct used_keys *keys)
{
    DL_SORT2(keys->oldest, compare_age, older, newer);
}
