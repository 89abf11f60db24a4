#include "workers/relay/mesh/mesh_keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/log.h"
#include "base/table.h"

/* An editor may be writing when the first change is seen; and ev_stat compares whole seconds, so
 * that a second change within one of them shows only to who looks again. */
static const double FIRST_LOOK_S = 0.1, SECOND_LOOK_S = 1.1;
enum { LOOKS = 2 };

struct key_entry {
    UT_hash_handle hh;
    const struct allowed_key *allowed;
};

struct key_set {
    struct allowed_keys allowed;
    struct key_entry *entries; /* for both tables */
    struct key_entry *by_key;
    struct key_entry *by_cluster_id; /* of those that have one; several may have the same */
};

struct mesh_keys {
    struct ev_loop *loop;
    char *path;
    void (*on_change)(void *context);
    void *context;
    struct key_set set;
    struct buffer text; /* as last read, good or broken */
    int read_error;     /* errno of the last reading, 0: it was read */
    bool was_read;
    ev_stat watcher;
    ev_timer look;
    unsigned looks_left;
};

/* --- the keys in force ------------------------------------------------------------------------ */

static void free_set(struct key_set *set)
{
    HASH_CLEAR(hh, set->by_key);
    HASH_CLEAR(hh, set->by_cluster_id);
    free(set->entries);
    allowed_keys_free(&set->allowed);
    *set = (struct key_set){0};
}

static bool add_entry(struct key_entry **table, struct key_entry *entry,
                      const struct allowed_key *allowed, const char *name)
{
    entry->allowed = allowed;
    HASH_ADD_KEYPTR(hh, *table, name, strlen(name), entry);
    return entry->hh.tbl != NULL;
}

/* Takes `allowed`. Returns 0, or -1 with errno ENOMEM. */
static int make_set(struct allowed_keys *allowed, struct key_set *set)
{
    *set = (struct key_set){.allowed = *allowed};
    *allowed = (struct allowed_keys){0};
    set->entries = calloc(2 * set->allowed.count, sizeof *set->entries);
    bool whole = set->entries != NULL;
    for (size_t i = 0; i < set->allowed.count && whole; i++) {
        const struct allowed_key *key = &set->allowed.items[i];
        struct key_entry *entries = set->entries + 2 * i;
        whole = add_entry(&set->by_key, &entries[0], key, key->key) &&
                (!*key->cluster_id ||
                 add_entry(&set->by_cluster_id, &entries[1], key, key->cluster_id));
    }
    if (whole)
        return 0;
    free_set(set);
    errno = ENOMEM;
    return -1;
}

static const struct allowed_key *find_key(const struct mesh_keys *keys, struct slice key)
{
    struct key_entry *entry = NULL;
    if (key.len == CURVE_KEY_CHARS)
        HASH_FIND(hh, keys->set.by_key, key.data, key.len, entry);
    return entry ? entry->allowed : NULL;
}

static bool is_pinned(const struct mesh_keys *keys, struct slice cluster_id)
{
    struct key_entry *entry = NULL;
    if (cluster_id.len > 0)
        HASH_FIND(hh, keys->set.by_cluster_id, cluster_id.data, cluster_id.len, entry);
    return entry != NULL;
}

bool mesh_keys_allow(const struct mesh_keys *keys, struct slice key)
{
    return find_key(keys, key) != NULL;
}

const char *mesh_keys_refusal(const struct mesh_keys *keys, const struct key_claim *claim)
{
    const struct allowed_key *allowed = find_key(keys, claim->key);
    if (claim->key.len == 0)
        return "it has no key: CURVE is off there, or it is a MAGE host";
    if (!allowed)
        return "its key is not in server.mmrp.curve.peersFile";
    if (*allowed->cluster_id)
        return slice_equals_string(claim->cluster_id, allowed->cluster_id)
                   ? NULL
                   : "its key is for another cluster ID in server.mmrp.curve.peersFile";
    if (is_pinned(keys, claim->cluster_id))
        return "server.mmrp.curve.peersFile has another key for its cluster ID";
    if (claim->announced.len > 0)
        return slice_equal(claim->key, claim->announced)
                   ? NULL
                   : "discovery has another key for its cluster ID";
    return claim->announced_elsewhere ? "discovery has its key for another cluster ID" : NULL;
}

/* --- the file --------------------------------------------------------------------------------- */

static int read_all(int fd, struct buffer *text)
{
    for (;;) {
        char *room = buffer_reserve(text, 4096);
        ssize_t len = room ? read(fd, room, 4096) : -1;
        if (len < 0 && room && errno == EINTR)
            continue;
        if (len <= 0)
            return (int)len;
        buffer_added(text, (size_t)len);
        if (buffer_len(text) > ALLOWED_KEYS_BYTES_MAX) {
            errno = EFBIG;
            return -1;
        }
    }
}

static int read_text(const char *path, struct buffer *text)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -1;
    int result = fstat(fd, &status);
    if (result == 0 && !S_ISREG(status.st_mode)) {
        errno = EINVAL;
        result = -1;
    }
    if (result == 0)
        result = read_all(fd, text);
    int saved_errno = errno;
    close(fd);
    errno = saved_errno;
    return result;
}

struct mistakes {
    const struct mesh_keys *keys;
    size_t count;
};

static void on_mistake(void *context, unsigned line, const char *why)
{
    struct mistakes *mistakes = context;
    if (mistakes->count++ == 0)
        LOG_ERROR("mesh-keys-broken", "file=%s line=%u why=\"%s\" kept=%zu",
                  LOG_TEXT(slice_from_string(mistakes->keys->path)), line, why,
                  mistakes->keys->set.allowed.count);
}

static void report_unread(const struct mesh_keys *keys, int error)
{
    LOG_ERROR("mesh-keys-unread", "file=%s why=\"%s\" kept=%zu",
              LOG_TEXT(slice_from_string(keys->path)), strerror(error), keys->set.allowed.count);
}

/* Returns whether other keys are in force now. */
static bool take_text(struct mesh_keys *keys)
{
    struct mistakes mistakes = {.keys = keys};
    struct allowed_keys allowed;
    struct key_set set;
    if (allowed_keys_read(buffer_slice(&keys->text), &allowed, on_mistake, &mistakes) != 0 ||
        make_set(&allowed, &set) != 0) {
        if (errno == ENOMEM)
            report_unread(keys, ENOMEM);
        return false;
    }
    free_set(&keys->set);
    keys->set = set;
    LOG_NOTICE("mesh-keys", "file=%s allowed=%zu", LOG_TEXT(slice_from_string(keys->path)),
               set.allowed.count);
    return true;
}

static bool is_same(const struct buffer *a, const struct buffer *b)
{
    const char *left = buffer_bytes(a), *right = buffer_bytes(b);
    return buffer_len(a) == buffer_len(b) &&
           (!left || !right || memcmp(left, right, buffer_len(a)) == 0);
}

static bool read_keys(struct mesh_keys *keys)
{
    struct buffer text = {0};
    int error = read_text(keys->path, &text) == 0 ? 0 : errno;
    if (error != 0) {
        if (error != keys->read_error)
            report_unread(keys, error);
        keys->read_error = error;
        buffer_free(&text);
        return false;
    }
    bool is_news = !keys->was_read || !is_same(&text, &keys->text);
    keys->was_read = true;
    keys->read_error = 0;
    buffer_free(&keys->text);
    keys->text = text;
    return is_news && take_text(keys);
}

static void on_look(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)events;
    struct mesh_keys *keys = timer->data;
    if (--keys->looks_left == 0)
        ev_timer_stop(loop, timer);
    if (read_keys(keys))
        keys->on_change(keys->context);
}

static void look_soon(struct mesh_keys *keys)
{
    keys->looks_left = LOOKS;
    ev_timer_stop(keys->loop, &keys->look);
    ev_timer_set(&keys->look, FIRST_LOOK_S, SECOND_LOOK_S);
    ev_timer_start(keys->loop, &keys->look);
}

static void on_stat(struct ev_loop *loop, ev_stat *watcher, int events)
{
    (void)loop;
    (void)events;
    look_soon(watcher->data);
}

struct mesh_keys *mesh_keys_open(struct ev_loop *loop, const char *path,
                                 void (*on_change)(void *context), void *context)
{
    struct mesh_keys *keys = calloc(1, sizeof *keys);
    if (!keys)
        return NULL;
    keys->loop = loop;
    keys->on_change = on_change;
    keys->context = context;
    ev_timer_init(&keys->look, on_look, 0., 0.);
    keys->look.data = keys;
    keys->path = strdup(path);
    if (!keys->path) {
        free(keys);
        return NULL;
    }
    ev_stat_init(&keys->watcher, on_stat, keys->path, SECOND_LOOK_S);
    keys->watcher.data = keys;
    ev_stat_start(loop, &keys->watcher);
    read_keys(keys);
    look_soon(keys);
    return keys;
}

void mesh_keys_close(struct mesh_keys *keys)
{
    if (!keys)
        return;
    ev_stat_stop(keys->loop, &keys->watcher);
    ev_timer_stop(keys->loop, &keys->look);
    free_set(&keys->set);
    buffer_free(&keys->text);
    free(keys->path);
    free(keys);
}
