/* Keys of CURVE (RFC 26), as Z85 text, and the file of those that may connect. */
#ifndef MSGSERVER_CODECS_CURVE_KEY_H
#define MSGSERVER_CODECS_CURVE_KEY_H

#include "codecs/session_key.h"

enum { CURVE_KEY_BYTES = 32, CURVE_KEY_CHARS = 40, CURVE_KEY_ROOM = CURVE_KEY_CHARS + 1 };

bool curve_key_is_valid(struct slice text);

/* A new pair, each with a NUL. Returns 0, or -1 when libcrypto cannot make one. */
int curve_pair_make(char secret_key[CURVE_KEY_ROOM], char public_key[CURVE_KEY_ROOM]);
/* The public key of `secret_key`, which is valid. Returns 0, or -1 when libcrypto fails. */
int curve_pair_public(struct slice secret_key, char public_key[CURVE_KEY_ROOM]);

/* --- the file of allowed peers ---------------------------------------------------------------- */

/* One line of it: "KEY", or "KEY CLUSTER-ID" for a key that is good for that host alone. A word
 * that begins with '#' begins a comment; no key does, as no group of Z85 can. */
struct allowed_key {
    char key[CURVE_KEY_ROOM];
    char cluster_id[CLUSTER_ID_MAX + 1]; /* empty: any host that discovery gives this key to */
    unsigned line;
};

struct allowed_keys {
    struct allowed_key *items; /* in the order of the file */
    size_t count;
};

enum { ALLOWED_KEYS_BYTES_MAX = 1 << 20, ALLOWED_KEYS_WHY_ROOM = 160 };

/* Reads the file's text, which anybody may have written. `complain` is called for each mistake,
 * with its line, or 0 for the whole. Returns 0 with `keys` filled, to be freed; or -1 with errno
 * EINVAL after complaining (a file without a key is a mistake too), or ENOMEM; nothing to free
 * then. */
int allowed_keys_read(struct slice text, struct allowed_keys *keys,
                      void (*complain)(void *context, unsigned line, const char *why),
                      void *context);
void allowed_keys_free(struct allowed_keys *keys);

#endif
