/* What a host says of itself to others, as MAGE writes it (discovery.md):
 *   {"ips":["10.77.0.1"],"data":{"game":"g","version":"1.0.0","clusterId":"c:15001","timestamp":1}}
 * under a node name whose part after the last ':' is the port; with CURVE on, a host of ours adds
 * "publicKey" to "data". No descriptor, no loop. */
#ifndef MSGSERVER_MASTER_DISCOVERY_ANNOUNCEMENT_H
#define MSGSERVER_MASTER_DISCOVERY_ANNOUNCEMENT_H

#include <stdint.h>

#include "base/buffer.h"
#include "codecs/curve_key.h"
#include "codecs/netmask.h"
#include "codecs/settings.h"

struct announcement {
    const struct string_list *ips;
    const char *game;
    const char *version;
    const char *cluster_id;
    uint64_t timestamp;     /* ms of the start; the same when announced again */
    const char *public_key; /* NULL without CURVE */
};

/* Appends the JSON, byte by byte as MAGE's but for a key. Returns 0, or -1 with errno ENOMEM, or
 * EINVAL when a text is not UTF-8. */
int announcement_encode(const struct announcement *announcement, struct buffer *out);

enum {
    ANNOUNCEMENT_MAX_BYTES = 16 << 10,
    ANNOUNCEMENT_MAX_NAME = 255,
    PEER_ID_ROOM = 129,
    PEER_URI_ROOM = sizeof "tcp://255.255.255.255:65535"
};

/* Every verdict on an announcement; those with a text are faults, logged and ignored. */
#define ANNOUNCEMENT_VERDICTS(VERDICT)                                                             \
    VERDICT(PEER, NULL)                                                                            \
    VERDICT(OTHER_CLUSTER, NULL) /* another game or version: none of our business */               \
    VERDICT(TOO_LARGE, "it is larger than 16 KiB")                                                 \
    VERDICT(NO_PORT, "its name does not end in a colon and a port")                                \
    VERDICT(NOT_JSON, "it is not JSON")                                                            \
    VERDICT(NOT_OBJECT, "it is not a JSON object")                                                 \
    VERDICT(NO_DATA, "its data is not an object")                                                  \
    VERDICT(NO_GAME, "its data.game is not a string")                                              \
    VERDICT(NO_VERSION, "its data.version is not a string")                                        \
    VERDICT(NO_CLUSTER_ID, "its data.clusterId is not a string of 1 to 128 printable characters")  \
    VERDICT(NO_TIMESTAMP, "its data.timestamp is not a number of milliseconds")                    \
    VERDICT(NO_PUBLIC_KEY, "its data.publicKey is not a CURVE key of 40 characters")               \
    VERDICT(NO_IPS, "its ips is not an array of strings")                                          \
    VERDICT(NO_ADDRESS, "none of its ips is an IPv4 address in server.mmrp.network")

#define ANNOUNCEMENT_ENUM(NAME, text) ANNOUNCEMENT_##NAME,
enum announcement_verdict { ANNOUNCEMENT_VERDICTS(ANNOUNCEMENT_ENUM) ANNOUNCEMENT_VERDICT_COUNT };

/* The fault as the end of a sentence, or NULL when the verdict is no fault. */
const char *announcement_fault(enum announcement_verdict verdict);

/* Whom we take as a peer, and at which address. */
struct peer_rule {
    const char *game;
    const char *version;
    const struct netmask *networks; /* none: a peer's first IPv4 address is taken */
    size_t network_count;
};

struct peer {
    char cluster_id[PEER_ID_ROOM];
    char uri[PEER_URI_ROOM];
    uint64_t timestamp;              /* 0 when the announcement has none */
    char public_key[CURVE_KEY_ROOM]; /* empty when it speaks no CURVE */
};

/* Reads an announcement that anybody may have written. `peer` is filled for ANNOUNCEMENT_PEER. */
enum announcement_verdict announcement_read(struct slice name, struct slice json,
                                            const struct peer_rule *rule, struct peer *peer);

#endif
