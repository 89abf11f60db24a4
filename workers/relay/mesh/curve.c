#include "workers/relay/mesh/curve.h"

#include <errno.h>
#include <stdio.h>

enum { LOG_INTERVAL_MS = 60000 };

static bool allows(void *context, struct slice key)
{
    const struct mesh *mesh = context;
    return mesh_keys_allow(mesh->keys, key);
}

/* Who lost his key is cut off at once, and who got one is connected to. */
static void on_keys_changed(void *context)
{
    struct mesh *mesh = context;
    for (struct peer *peer = mesh->peers, *next; peer; peer = next) {
        next = peer->hh.next; /* GONE ones leave the table */
        peer_keys_changed(peer);
    }
}

int curve_open(struct mesh *mesh, const struct settings *settings, char *why, size_t why_room)
{
    if (!settings->mesh_secret_key || !settings->mesh_public_key || !settings->curve_peers_file)
        return 0;
    snprintf(mesh->curve.secret_key, CURVE_KEY_ROOM, "%s", settings->mesh_secret_key);
    snprintf(mesh->curve.public_key, CURVE_KEY_ROOM, "%s", settings->mesh_public_key);
    if (!zmq_has("curve")) {
        snprintf(why, why_room,
                 "server.mmrp.curve is set, but this libzmq was built without CURVE");
        return -1;
    }
    mesh->keys = mesh_keys_open(mesh->loop, settings->curve_peers_file, on_keys_changed, mesh);
    if (mesh->keys)
        mesh->zap = zap_open(mesh->loop, allows, mesh, &mesh->counters.denied);
    if (mesh->zap)
        return 0;
    snprintf(why, why_room, "CURVE cannot be turned on: %s", zmq_strerror(errno));
    return -1;
}

void curve_close(struct mesh *mesh)
{
    zap_close(mesh->zap);
    mesh_keys_close(mesh->keys);
    explicit_bzero(&mesh->curve, sizeof mesh->curve);
}

static bool is_announced_elsewhere(const struct mesh *mesh, struct slice key, struct slice id)
{
    for (const struct peer *peer = mesh->peers; peer; peer = peer->hh.next)
        if (peer->announced && slice_equals_string(key, peer->key) &&
            !slice_equal(peer_id(peer), id))
            return true;
    return slice_equals_string(key, mesh->curve.public_key);
}

static const char *refusal(const struct mesh *mesh, struct slice id, struct slice user_id)
{
    const struct peer *peer = mesh_find_peer(mesh, id);
    struct key_claim claim = {.key = user_id, .cluster_id = id};
    if (peer && peer->announced)
        claim.announced = slice_from_string(peer->key);
    if (claim.announced.len == 0)
        claim.announced_elsewhere = is_announced_elsewhere(mesh, user_id, id);
    return mesh_keys_refusal(mesh->keys, &claim);
}

bool curve_vouches(struct mesh *mesh, struct slice identity, struct slice user_id)
{
    if (!mesh->keys)
        return true;
    struct slice id = peer_id_of_identity(identity);
    const char *why = refusal(mesh, id, user_id);
    if (!why && identity.len <= id.len + PEER_NONCE_CHARS)
        why = "its identity can be guessed";
    if (!why)
        return true;
    uint64_t suppressed;
    mesh->counters.forged++;
    if (log_limit_pass(&mesh->forged_log, LOG_INTERVAL_MS, &suppressed))
        LOG_WARNING("envelope-forged", "from=%s key=%s why=\"%s\" suppressed=%llu",
                    LOG_TEXT(identity), LOG_TEXT(user_id), why, (unsigned long long)suppressed);
    return false;
}
