/* Session keys, as clients present them, and what they say.
 *
 *   actor:secret~home      made here: any host finds the home from the key
 *   actor:secret           made elsewhere (MAGE): the host that is asked looks the home up
 *
 * The mailbox address is "sess/actor:secret" in both cases (MAGE fact). `home` is a cluster ID
 * whose last ':' is written '.', so that keys need no escaping in URLs beyond the actor's own. */
#ifndef MSGSERVER_CODECS_SESSION_KEY_H
#define MSGSERVER_CODECS_SESSION_KEY_H

#include <stdbool.h>

#include "base/slice.h"

enum {
    ACTOR_MAX = 256,     /* bytes */
    SECRET_MAX = 128,    /* bytes */
    CLUSTER_ID_MAX = 128 /* bytes */
};
#define ADDRESS_PREFIX "sess/"
enum {
    ADDRESS_MAX = 5 + ACTOR_MAX + 1 + SECRET_MAX,
    SESSION_KEY_MAX = ACTOR_MAX + 1 + SECRET_MAX + 1 + CLUSTER_ID_MAX
};

/* Both texts end with NUL. `home` is empty when the key does not name one. */
struct session_key {
    char address[ADDRESS_MAX + 1];
    char home[CLUSTER_ID_MAX + 1];
};

/* Splits at the last colon (MAGE fact). Returns 0, or -1 with errno EINVAL: no colon, an empty or
 * too long part, a control character, a home that is no cluster ID. */
int session_key_parse(struct slice text, struct session_key *key);

/* The key for an address: "sess/actor:secret" and a home, or no home (empty). `text` has room for
 * SESSION_KEY_MAX + 1. Returns its length, or 0 when either part is malformed or too long. */
size_t session_key_format(struct slice address, struct slice home, char *text);

/* An actor that a key may be made for: 1 to ACTOR_MAX bytes, no control characters. */
bool actor_is_valid(struct slice actor);
/* A secret given by a backend: 1 to SECRET_MAX of letters, digits, '-', '_', '.'. */
bool secret_is_valid(struct slice secret);
/* Letters, digits, '-', '_' and '.', a colon, and a decimal number. */
bool cluster_id_is_valid(struct slice id);
/* "sess/" + actor + ':' + secret. */
bool address_is_valid(struct slice address);

#endif
