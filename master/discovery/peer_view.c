#include "master/discovery/peer_view.h"

#include <stdlib.h>

#include "base/invariant.h"
#include "base/log.h"
#include "base/table.h"
#include "codecs/control_frames.h"
#include "codecs/frame.h"
#include "codecs/session_key.h"

enum { PEER_VIEW_MAGIC = 0x50565745 };

struct node {
    bool judged; /* there was data, and `verdict` is on it */
    enum announcement_verdict verdict;
    struct peer peer;
    UT_hash_handle hh;
    char name[];
};

struct peer_view {
    unsigned magic;
    struct node *nodes;
    struct peer_rule rule;
    struct netmask *networks;
    char *cluster_id;
};

/* The configuration was checked when it was loaded: an entry that does not parse cannot be. */
static int parse_networks(struct peer_view *view, const struct string_list *entries)
{
    view->networks = calloc(entries->count + 1, sizeof *view->networks);
    if (!view->networks)
        return -1;
    for (size_t i = 0; i < entries->count; i++) {
        int parsed = netmask_parse(slice_from_string(entries->items[i]), &view->networks[i], NULL);
        INVARIANT(parsed == 0, "a checked netmask does not parse");
    }
    view->rule.networks = view->networks;
    view->rule.network_count = entries->count;
    return 0;
}

struct peer_view *peer_view_new(const struct settings *settings, struct slice cluster_id)
{
    struct peer_view *view = calloc(1, sizeof *view);
    if (!view)
        return NULL;
    view->magic = PEER_VIEW_MAGIC;
    view->rule.game = settings->service_name;
    view->rule.version = settings->service_version;
    view->cluster_id = strndup(cluster_id.data, cluster_id.len);
    if (!view->cluster_id || parse_networks(view, &settings->mmrp_network) != 0) {
        peer_view_free(view);
        return NULL;
    }
    return view;
}

void peer_view_free(struct peer_view *view)
{
    struct node *node, *next;
    if (!view)
        return;
    CHECK_MAGIC(view, PEER_VIEW_MAGIC);
    HASH_ITER(hh, view->nodes, node, next) {
        /* The analyzer takes the next element for the one freed before: uthash unlinked that. */
        HASH_DEL(view->nodes, node); /* NOLINT(clang-analyzer-unix.Malloc) */
        free(node);
    }
    free(view->networks);
    free(view->cluster_id);
    view->magic = 0;
    free(view);
}

static struct node *find_or_add(struct peer_view *view, const char *name)
{
    struct node *node;
    HASH_FIND_STR(view->nodes, name, node);
    if (node)
        return node;
    size_t room = strlen(name) + 1;
    node = calloc(1, sizeof *node + room);
    if (!node)
        return NULL;
    memcpy(node->name, name, room);
    HASH_ADD_STR(view->nodes, name, node);
    if (node->hh.tbl)
        return node;
    free(node);
    return NULL;
}

static void judge(struct node *node, enum announcement_verdict verdict)
{
    const char *fault = announcement_fault(verdict);
    bool is_news = !node->judged || node->verdict != verdict;
    node->judged = true;
    node->verdict = verdict;
    if (fault && is_news)
        LOG_ERROR("peer-ignored", "node=%s why=\"%s\"", LOG_TEXT(slice_from_string(node->name)),
                  fault);
}

int peer_view_put(struct peer_view *view, const char *name, struct slice json)
{
    CHECK_MAGIC(view, PEER_VIEW_MAGIC);
    struct node *node = find_or_add(view, name);
    if (!node)
        return -1;
    judge(node, announcement_read(slice_from_string(name), json, &view->rule, &node->peer));
    return 0;
}

void peer_view_drop(struct peer_view *view, const char *name)
{
    struct node *node;
    CHECK_MAGIC(view, PEER_VIEW_MAGIC);
    HASH_FIND_STR(view->nodes, name, node);
    if (node) {
        HASH_DEL(view->nodes, node);
        free(node);
    }
}

/* --- from nodes to peers ---------------------------------------------------------------------- */

typedef int (*compare_peers)(const void *a, const void *b);

static int newest_first(const struct peer *a, const struct peer *b)
{
    return (a->timestamp < b->timestamp) - (a->timestamp > b->timestamp);
}

static int by_uri(const void *a, const void *b)
{
    const struct peer *left = *(const struct peer *const *)a;
    const struct peer *right = *(const struct peer *const *)b;
    int order = strcmp(left->uri, right->uri);
    if (order == 0)
        order = newest_first(left, right);
    return order ? order : strcmp(left->cluster_id, right->cluster_id);
}

static int by_cluster_id(const void *a, const void *b)
{
    const struct peer *left = *(const struct peer *const *)a;
    const struct peer *right = *(const struct peer *const *)b;
    int order = strcmp(left->cluster_id, right->cluster_id);
    if (order == 0)
        order = newest_first(left, right);
    return order ? order : strcmp(left->uri, right->uri);
}

static bool same_uri(const struct peer *a, const struct peer *b)
{
    return strcmp(a->uri, b->uri) == 0;
}

static bool same_cluster_id(const struct peer *a, const struct peer *b)
{
    return strcmp(a->cluster_id, b->cluster_id) == 0;
}

/* Sorts, and keeps the first of each run of equals. Returns how many are left. */
static size_t keep_newest(const struct peer **peers, size_t count, compare_peers compare,
                          bool (*same)(const struct peer *, const struct peer *))
{
    size_t kept = 0;
    qsort(peers, count, sizeof(const struct peer *), compare);
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || !same(peers[kept - 1], peers[i]))
            peers[kept++] = peers[i];
    return kept;
}

/* The frame's field has a length of its own. */
static const size_t RUN_ROOM = CONTROL_FRAME_MAX_PAYLOAD - sizeof(uint32_t);

static int write_run(const struct peer **peers, size_t count, struct buffer *run)
{
    const size_t start = buffer_len(run);
    for (size_t i = 0; i < count; i++) {
        size_t before = buffer_len(run);
        if (put_slice(run, slice_from_string(peers[i]->cluster_id)) != 0 ||
            put_slice(run, slice_from_string(peers[i]->uri)) != 0 ||
            put_slice(run, slice_from_string(peers[i]->public_key)) != 0)
            return -1;
        if (buffer_len(run) - start > RUN_ROOM) {
            buffer_truncate(run, before);
            LOG_ERROR("too-many-peers", "taken=%zu left_out=%zu", i, count - i);
            break;
        }
    }
    return 0;
}

/* Our relay parts with whom it knows under such an ID: at the address of a peer, or under its name,
 * another game or version may be by now. Behind the peers, which need the room more. */
static int write_foreigners(const struct peer_view *view, size_t start, struct buffer *run)
{
    struct node *node, *next;
    HASH_ITER(hh, view->nodes, node, next) {
        struct slice id = slice_from_string(node->name);
        if (!node->judged || node->verdict != ANNOUNCEMENT_OTHER_CLUSTER ||
            !cluster_id_is_valid(id) || id.len > CLUSTER_ID_MAX ||
            slice_equals_string(id, view->cluster_id))
            continue;
        size_t before = buffer_len(run);
        if (put_slice(run, id) != 0 || put_slice(run, SLICE_EMPTY) != 0 ||
            put_slice(run, SLICE_EMPTY) != 0)
            return -1;
        if (buffer_len(run) - start > RUN_ROOM) {
            buffer_truncate(run, before);
            break;
        }
    }
    return 0;
}

int peer_view_run(const struct peer_view *view, struct buffer *run)
{
    struct node *node, *next;
    CHECK_MAGIC(view, PEER_VIEW_MAGIC);
    size_t count = 0, start = buffer_len(run);
    const struct peer **peers = calloc(HASH_COUNT(view->nodes) + 1, sizeof(const struct peer *));
    if (!peers)
        return -1;
    HASH_ITER(hh, view->nodes, node, next) {
        if (node->judged && node->verdict == ANNOUNCEMENT_PEER &&
            strcmp(node->peer.cluster_id, view->cluster_id) != 0)
            peers[count++] = &node->peer;
    }
    count = keep_newest(peers, count, by_uri, same_uri);
    count = keep_newest(peers, count, by_cluster_id, same_cluster_id);
    int result = write_run(peers, count, run);
    free(peers);
    return result == 0 ? write_foreigners(view, start, run) : -1;
}
