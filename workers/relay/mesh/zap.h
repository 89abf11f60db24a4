/* Who may connect to the ROUTER when CURVE is on: libzmq asks a ZAP handler (RFC 27), which lives
 * in our loop and needs no thread. Knows no cluster IDs. */
#ifndef MSGSERVER_RELAY_MESH_ZAP_H
#define MSGSERVER_RELAY_MESH_ZAP_H

#include <ev.h>
#include <stdint.h>

#include "codecs/curve_key.h"

struct zap;

/* `key`: as Z85. */
typedef bool zap_allows(void *context, struct slice key);

/* To be there before the ROUTER binds: the process has one handler. `denied` counts those who may
 * not. Returns NULL with errno. */
struct zap *zap_open(struct ev_loop *loop, zap_allows *allows, void *context, uint64_t *denied);
/* NULL is accepted. */
void zap_close(struct zap *zap);

/* The answer to one request, without the socket. */
struct zap_answer {
    bool allowed;             /* status 200, else 400 */
    const char *why;          /* the status text */
    char key[CURVE_KEY_ROOM]; /* empty when the request has none */
};
/* `frames`: those after the empty delimiter: version, request ID, domain, address, identity,
 * mechanism, credentials. */
struct zap_answer zap_judge(const struct slice *frames, size_t count, zap_allows *allows,
                            void *context);

#endif
