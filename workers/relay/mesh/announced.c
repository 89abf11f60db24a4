/* Discovery's view: mesh_set_peers() of mesh.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/invariant.h"
#include "codecs/frame.h"
#include "workers/relay/mesh/mesh_internal.h"

/* --- hosts of other games and versions ------------------------------------------------ */

bool mesh_is_foreign(const struct mesh *mesh, struct slice id)
{
    struct foreigner *foreigner = NULL;
    if (mesh->foreigners && id.len > 0)
        HASH_FIND(hh, mesh->foreigners, id.data, id.len, foreigner);
    return foreigner != NULL;
}

void mesh_forget_foreigners(struct mesh *mesh)
{
    struct foreigner *foreigner, *next;
    HASH_ITER(hh, mesh->foreigners, foreigner, next) {
        /* The analyzer takes the next element for the one freed before: uthash unlinked that. */
        HASH_DEL(mesh->foreigners, foreigner); /* NOLINT(clang-analyzer-unix.Malloc) */
        free(foreigner);
    }
}

static void add_foreigner(struct mesh *mesh, struct slice id)
{
    struct foreigner *foreigner = calloc(1, sizeof *foreigner + id.len);
    if (!foreigner)
        return; /* then its handshake is all that tells */
    memcpy(foreigner->id, id.data, id.len);
    HASH_ADD_KEYPTR(hh, mesh->foreigners, foreigner->id, id.len, foreigner);
    if (!foreigner->hh.tbl)
        free(foreigner);
}

/* Whoever was a peer under that ID is one no more, whatever connection there is. */
static void part_with(struct mesh *mesh, struct slice id)
{
    struct peer *peer = mesh_find_peer(mesh, id);
    if (!peer)
        return;
    LOG_NOTICE("peer-foreign", "peer=%s uri=%s why=\"it is of another game or version now\"",
               peer->id, peer->uri);
    peer_withdraw(peer);
    if (mesh_find_peer(mesh, id))
        peer_replaced(peer);
}

/* --- peers ------------------------------------------------------------------------------ */

static const char URI_SCHEME[] = "tcp://";

struct announcement {
    struct slice id;
    struct slice uri; /* empty: it is of another game or version */
    struct slice key; /* empty: it speaks no CURVE */
};

struct announcements {
    struct announcement *items;
    size_t count;
};

static bool is_local_address(struct slice host)
{
    char text[INET_ADDRSTRLEN];
    struct in_addr address;
    if (host.len >= sizeof text)
        return false;
    memcpy(text, host.data, host.len);
    text[host.len] = '\0';
    if (inet_pton(AF_INET, text, &address) != 1)
        return false;
    struct ifaddrs *all = NULL;
    if (getifaddrs(&all) != 0)
        return false;
    bool found = false;
    for (struct ifaddrs *i = all; i && !found; i = i->ifa_next)
        found = i->ifa_addr && i->ifa_addr->sa_family == AF_INET &&
                ((struct sockaddr_in *)(void *)i->ifa_addr)->sin_addr.s_addr == address.s_addr;
    freeifaddrs(all);
    return found;
}

/* A stale announcement of an earlier life of this host, under another cluster ID: connected to, it
 * would be ourselves. */
static bool is_own_uri(const struct mesh *mesh, struct slice uri)
{
    char port[16];
    int len = snprintf(port, sizeof port, ":%u", mesh->port);
    size_t scheme = sizeof URI_SCHEME - 1, port_len = (size_t)len;
    if (uri.len <= scheme + port_len || memcmp(uri.data + uri.len - port_len, port, port_len) != 0)
        return false;
    struct slice host = slice_of(uri.data + scheme, uri.len - scheme - port_len);
    return strcmp(mesh->bind_host, "*") == 0 ? is_local_address(host)
                                             : slice_equals_string(host, mesh->bind_host);
}

static bool is_acceptable(const struct mesh *mesh, const struct announcement *peer)
{
    if (slice_equals_string(peer->id, mesh->id))
        return false;
    if (cluster_id_is_valid(peer->id) && peer->id.len <= CLUSTER_ID_MAX && peer->uri.len == 0)
        return true;
    if (!cluster_id_is_valid(peer->id) || peer->id.len > CLUSTER_ID_MAX ||
        !slice_starts_with(peer->uri, URI_SCHEME) || peer->uri.len > PEER_URI_MAX ||
        memchr(peer->uri.data, '\0', peer->uri.len) ||
        (peer->key.len > 0 && !curve_key_is_valid(peer->key))) {
        LOG_WARNING("peer-ignored", "peer=%s uri=%s why=\"malformed\"", LOG_TEXT(peer->id),
                    LOG_TEXT(peer->uri));
        return false;
    }
    return !is_own_uri(mesh, peer->uri);
}

/* `list->items` is the caller's to free. */
static int read_announcements(const struct mesh *mesh, struct slice peers,
                              struct announcements *list)
{
    struct frame_reader reader = reader_of(peers);
    size_t room = peers.len / 12 + 1; /* three lengths each */
    list->items = calloc(room, sizeof *list->items);
    list->count = 0;
    if (!list->items)
        return -1;
    while (reader_left(&reader) > 0 && !reader.broken) {
        struct announcement peer = {.id = get_slice(&reader)};
        peer.uri = get_slice(&reader);
        peer.key = get_slice(&reader);
        if (!reader.broken && is_acceptable(mesh, &peer))
            list->items[list->count++] = peer;
    }
    return reader_finish(&reader);
}

/* Not each peer in the list by itself: a start of many hosts brings as many lists. */
static void mark_listed(struct mesh *mesh, const struct announcements *list)
{
    for (struct peer *peer = mesh->peers; peer; peer = peer->hh.next)
        peer->listed = false;
    for (size_t i = 0; i < list->count; i++) {
        struct peer *peer = mesh_find_peer(mesh, list->items[i].id);
        if (peer)
            peer->listed = true;
    }
}

/* Somebody else has this peer's address now: its connection leads there, and would keep ours with
 * the newcomer mute (one identity twice). */
static bool is_replaced(const struct announcements *list, const struct peer *peer)
{
    for (size_t i = 0; i < list->count; i++)
        if (slice_equals_string(list->items[i].uri, peer->uri) &&
            !slice_equal(list->items[i].id, peer_id(peer)))
            return true;
    return false;
}

static void withdraw_the_others(struct mesh *mesh, const struct announcements *list)
{
    mark_listed(mesh, list);
    for (struct peer *peer = mesh->peers, *next; peer; peer = next) {
        next = peer->hh.next; /* GONE ones leave the table */
        if (!peer->announced || peer->listed)
            continue;
        LOG_INFO("peer-withdrawn", "peer=%s uri=%s", peer->id, peer->uri);
        peer_withdraw(peer);
    }
    for (struct peer *peer = mesh->peers, *next; peer; peer = next) {
        next = peer->hh.next;
        if (peer->uri[0] && !peer->listed && is_replaced(list, peer))
            peer_replaced(peer);
    }
}

static void replace_foreigners(struct mesh *mesh, const struct announcements *list)
{
    mesh_forget_foreigners(mesh);
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i].uri.len > 0)
            continue;
        add_foreigner(mesh, list->items[i].id);
        part_with(mesh, list->items[i].id);
    }
}

static void announce(struct mesh *mesh, const struct announcement *announcement)
{
    if (announcement->uri.len == 0)
        return;
    struct peer *peer = mesh_find_peer(mesh, announcement->id);
    if (!peer)
        peer = mesh_add_peer(mesh, announcement->id);
    if (peer)
        peer_announce(peer, announcement->uri, announcement->key);
}

int mesh_set_peers(struct mesh *mesh, struct slice peers)
{
    CHECK_MAGIC(mesh, MESH_MAGIC);
    INVARIANT(mesh->in_handlers == 0, "mesh_set_peers() inside a handler of the mesh");
    if (!mesh->router)
        return 0;
    struct announcements list;
    int rc = read_announcements(mesh, peers, &list);
    if (rc == 0) {
        replace_foreigners(mesh, &list);
        withdraw_the_others(mesh, &list);
        mesh_reap(mesh); /* old connections are closed before new ones are made with our identity */
        for (size_t i = 0; i < list.count; i++)
            announce(mesh, &list.items[i]);
    }
    int saved_errno = errno;
    free(list.items);
    errno = saved_errno;
    return rc;
}
