#include "master/config/curve.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "codecs/curve_key.h"
#include "master/config/apply.h"
#include "master/config/read_file.h"

#define KEY_FILE   "server.mmrp.curve.keyFile"
#define PEERS_FILE "server.mmrp.curve.peersFile"

enum { KEY_FILE_MAX = 256 };

static int set(struct settings *settings, const char *key, struct slice text)
{
    return setting_set(settings, setting_row_find(key), text);
}

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

static int take_key(struct slice text, struct mark mark, struct settings *settings,
                    struct diagnostics *diagnostics)
{
    char public_key[CURVE_KEY_ROOM];
    while (text.data && text.len > 0 && is_blank(text.data[text.len - 1]))
        text.len--;
    if (!curve_key_is_valid(text)) {
        diagnostics_add(diagnostics, DIAGNOSTIC_ERROR, mark,
                        "the key file %.256s holds no secret key; accepted: what msgserverctl mesh "
                        "keygen makes, one line of 40 characters",
                        settings->curve_key_file);
        return 0;
    }
    if (curve_pair_public(text, public_key) != 0) {
        errno = ENOMEM;
        return -1;
    }
    if (set(settings, "derived.meshSecretKey", text) != 0)
        return -1;
    return set(settings, "derived.meshPublicKey", slice_from_string(public_key));
}

static int read_key(const struct yaml_node *node, struct settings *settings,
                    struct diagnostics *diagnostics)
{
    const char *path = settings->curve_key_file;
    struct buffer text = {0};
    mode_t mode = 0;
    int result = 0;
    if (read_file(path, KEY_FILE_MAX, &text, &mode) != 0)
        diagnostics_add(diagnostics, DIAGNOSTIC_ERROR, node->mark,
                        "the key file %.256s cannot be read: %s; accepted: a file that "
                        "msgserverctl mesh keygen made, and that the user of msgserverd owns",
                        path, strerror(errno));
    else if (mode & (S_IRWXG | S_IRWXO))
        diagnostics_add(diagnostics, DIAGNOSTIC_ERROR, node->mark,
                        "the key file %.256s is open to others than its owner; accepted: one that "
                        "is not: chmod 600 it, or make a new key if somebody may have read it",
                        path);
    else
        result = take_key(buffer_slice(&text), node->mark, settings, diagnostics);
    if (buffer_len(&text) > 0)
        explicit_bzero(buffer_bytes(&text), buffer_len(&text));
    buffer_free(&text);
    return result;
}

struct peers_file {
    const char *path;
    struct diagnostics *diagnostics;
};

static void on_mistake(void *context, unsigned line, const char *why)
{
    const struct peers_file *file = context;
    diagnostics_add(file->diagnostics, DIAGNOSTIC_ERROR,
                    (struct mark){file->path, line, line ? 1 : 0}, "%s", why);
}

/* All hosts have the same list: who is not in its own is refused by the others, whether its line
 * was forgotten or its key file holds another key than one thinks. */
static void check_own_key(const struct allowed_keys *keys, const struct settings *settings,
                          struct diagnostics *diagnostics)
{
    const char *own = settings->mesh_public_key;
    if (!own)
        return;
    for (size_t i = 0; i < keys->count; i++)
        if (strcmp(keys->items[i].key, own) == 0)
            return;
    diagnostics_add(diagnostics, DIAGNOSTIC_WARNING,
                    (struct mark){settings->curve_peers_file, 0, 0},
                    "this host's own public key, %s, is not in it: hosts with the same list refuse "
                    "this one",
                    own);
}

static int check_peers(const struct yaml_node *node, const struct settings *settings,
                       struct diagnostics *diagnostics)
{
    struct peers_file file = {settings->curve_peers_file, diagnostics};
    struct allowed_keys keys = {0};
    struct buffer text = {0};
    int result = 0;
    if (read_file(file.path, ALLOWED_KEYS_BYTES_MAX, &text, NULL) != 0)
        diagnostics_add(diagnostics, DIAGNOSTIC_ERROR, node->mark,
                        "the peers file %.256s cannot be read: %s; accepted: a file of up to 1 MiB "
                        "with one public key on each line",
                        file.path, strerror(errno));
    else if (allowed_keys_read(buffer_slice(&text), &keys, on_mistake, &file) == 0)
        check_own_key(&keys, settings, diagnostics);
    else if (errno == ENOMEM)
        result = -1;
    allowed_keys_free(&keys);
    buffer_free(&text);
    return result;
}

int curve_find_files(const char *directory, struct settings *settings)
{
    return config_make_path_whole(KEY_FILE, directory, settings) == 0 &&
                   config_make_path_whole(PEERS_FILE, directory, settings) == 0
               ? 0
               : -1;
}

int curve_read_files(const struct yaml_node *top, struct settings *settings,
                     struct diagnostics *diagnostics)
{
    const struct yaml_node *key = yaml_at(top, KEY_FILE), *peers = yaml_at(top, PEERS_FILE);
    if (key && settings->curve_key_file && read_key(key, settings, diagnostics) != 0)
        return -1;
    if (peers && settings->curve_peers_file)
        return check_peers(peers, settings, diagnostics);
    return 0;
}
