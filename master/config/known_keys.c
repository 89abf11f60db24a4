#include "master/config/known_keys.h"

#include <stdio.h>

#include "base/log.h"
#include "base/table.h"
#include "codecs/settings.h"

enum {
    PATH_ROOM = 256,
    NAMES_MAX = 32,    /* keys of one mapping; the table's largest has fewer */
    NAME_MEASURED = 64 /* longer names are compared by their beginning */
};

/* Keys that are accepted beside the table's. */
static const char *const OLDER_KEYS[] = {"server.cluster"};

#define TRANSPORTS "server.msgStream.transports."

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Optimal string alignment, three rows at a time. */
static unsigned edit_distance(const char *a, const char *b)
{
    unsigned rows[3][NAME_MEASURED + 1];
    size_t a_len = strnlen(a, NAME_MEASURED), b_len = strnlen(b, NAME_MEASURED);
    for (size_t j = 0; j <= b_len; j++)
        rows[0][j] = (unsigned)j;
    for (size_t i = 1; i <= a_len; i++) {
        unsigned *row = rows[i % 3], *above = rows[(i + 2) % 3], *two_above = rows[(i + 1) % 3];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b_len; j++) {
            row[j] = least(above[j], row[j - 1]) + 1;
            row[j] = least(row[j], above[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], two_above[j - 2] + 1);
        }
    }
    return rows[a_len % 3][b_len];
}

const char *nearest_name(const char *name, const char *const *names, size_t count,
                         unsigned *distance)
{
    const char *nearest = NULL;
    unsigned fewest = 0;
    for (size_t i = 0; i < count; i++) {
        unsigned edits = edit_distance(name, names[i]);
        if (!nearest || edits < fewest) {
            nearest = names[i];
            fewest = edits;
        }
    }
    if (distance)
        *distance = fewest;
    return nearest;
}

/* The known keys one level below a path ("" is the top), each once. */
struct level {
    char texts[NAMES_MAX][NAME_MEASURED];
    const char *names[NAMES_MAX];
    size_t count;
};

static void add_name(struct level *level, const char *path, const char *key)
{
    size_t len = strlen(path);
    if (strncmp(key, path, len) != 0 || (len > 0 && key[len] != '.'))
        return;
    const char *rest = key + len + (len > 0);
    char *text = level->texts[level->count];
    snprintf(text, NAME_MEASURED, "%.*s", (int)strcspn(rest, "."), rest);
    for (size_t i = 0; i < level->count; i++)
        if (strcmp(level->names[i], text) == 0)
            return;
    if (level->count + 1 < NAMES_MAX) {
        level->names[level->count] = text;
        level->count++;
    }
}

static void names_below(const char *path, struct level *level)
{
    level->count = 0;
    for (size_t i = 0; i < SETTING_ROW_COUNT; i++)
        if (SETTING_ROWS[i].effect != EFFECT_DERIVED)
            add_name(level, path, SETTING_ROWS[i].key);
    for (size_t i = 0; i < sizeof OLDER_KEYS / sizeof *OLDER_KEYS; i++)
        add_name(level, path, OLDER_KEYS[i]);
}

static bool has_name(const struct level *level, const char *name)
{
    for (size_t i = 0; i < level->count; i++)
        if (strcmp(level->names[i], name) == 0)
            return true;
    return false;
}

/* How many edits away a key may be from a known one to count as mistyped, where keys of others are
 * expected too; UINT_MAX where every unknown key is worth a warning. */
static unsigned mistyped_within(const char *path)
{
    if (*path == '\0' || strncmp(path, "logging", 7) == 0)
        return 1;
    if (strncmp(path, TRANSPORTS, sizeof TRANSPORTS - 1) == 0)
        return 2;
    return (unsigned)-1;
}

static void report_unknown(const char *path, const struct level *level,
                           const struct yaml_node *child, struct diagnostics *diagnostics)
{
    unsigned edits;
    const char *nearest = nearest_name(child->key, level->names, level->count, &edits);
    const char *dot = *path ? "." : "";
    if (edits <= mistyped_within(path))
        diagnostics_add(diagnostics, DIAGNOSTIC_WARNING, child->key_mark,
                        "unknown key %s%s%.64s; the nearest known key: %s%s%s", path, dot,
                        child->key, path, dot, nearest);
    else
        LOG_DEBUG("config-key-of-others", "key=%s", LOG_TEXT(slice_from_string(child->key)));
}

static void report_no_mapping(const char *path, const struct level *level,
                              const struct yaml_node *node, struct diagnostics *diagnostics)
{
    char keys[512];
    size_t len = 0;
    for (size_t i = 0; i < level->count && len < sizeof keys; i++)
        len +=
            (size_t)snprintf(keys + len, sizeof keys - len, "%s%s", i ? ", " : "", level->names[i]);
    diagnostics_add(diagnostics, DIAGNOSTIC_ERROR, node->mark,
                    "%s is %s; accepted: a mapping with the keys %s", path, YAML_DESCRIBE(node),
                    keys);
}

/* `level` holds the known keys below `path`, of which there is at least one. */
static void check_level(const char *path, const struct yaml_node *node, struct level *level,
                        struct diagnostics *diagnostics)
{
    if (node->kind == YAML_NULL)
        return;
    if (node->kind != YAML_MAP) {
        report_no_mapping(path, level, node, diagnostics);
        return;
    }
    for (const struct yaml_node *child = node->children; child; child = child->next) {
        char child_path[PATH_ROOM];
        struct level below;
        if (!has_name(level, child->key)) {
            report_unknown(path, level, child, diagnostics);
            continue;
        }
        snprintf(child_path, sizeof child_path, "%s%s%s", path, *path ? "." : "", child->key);
        names_below(child_path, &below);
        if (below.count > 0)
            check_level(child_path, child, &below, diagnostics);
    }
}

void known_keys_check(const struct yaml_node *top, struct diagnostics *diagnostics)
{
    struct level level;
    names_below("", &level);
    check_level("", top, &level, diagnostics);
}
