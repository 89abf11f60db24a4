/* Announcements of others: the node's name up to the first newline, its data after it. Whatever is
 * taken as a peer has a sane identity and URI, and reads the same a second time. */
#include <stdint.h>
#include <stdlib.h>

#include "master/discovery/announcement.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_peer(const struct peer *peer)
{
    uint32_t address;
    struct slice uri = slice_from_string(peer->uri);
    if (peer->cluster_id[0] == '\0' || strlen(peer->cluster_id) >= PEER_ID_ROOM ||
        !slice_starts_with(uri, "tcp://"))
        abort();
    const char *host = peer->uri + strlen("tcp://");
    if (ipv4_parse(slice_of(host, strcspn(host, ":")), &address) != 0)
        abort();
    long port = strtol(strrchr(peer->uri, ':') + 1, NULL, 10);
    if (port < 1 || port > UINT16_MAX)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct peer_rule RULE = {"my-game", "1.0.0", NULL, 0};
    const uint8_t *newline = memchr(data, '\n', size);
    size_t name_len = newline ? (size_t)(newline - data) : size;
    struct slice name = slice_of(data, name_len);
    struct slice json = newline ? slice_of(newline + 1, size - name_len - 1) : SLICE_EMPTY;
    struct peer peer, again;
    memset(&peer, 0, sizeof peer);
    memset(&again, 0, sizeof again);
    enum announcement_verdict verdict = announcement_read(name, json, &RULE, &peer);
    if (verdict >= ANNOUNCEMENT_VERDICT_COUNT ||
        verdict != announcement_read(name, json, &RULE, &again))
        abort();
    if (verdict == ANNOUNCEMENT_PEER) {
        if (memcmp(&peer, &again, sizeof peer) != 0)
            abort();
        check_peer(&peer);
    }
    return 0;
}
