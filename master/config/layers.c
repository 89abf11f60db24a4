#include "master/config/layers.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/table.h"
#include "master/config/environment_layer.h"
#include "master/config/read_file.h"

struct loading {
    const struct config_source *source;
    struct pool *pool;
    struct diagnostics *diagnostics;
    struct yaml_node *merged;
    size_t found;
    bool complete;
};

static void replace_child(struct yaml_node *base, struct yaml_node *old, struct yaml_node *child)
{
    if (old->kind == YAML_MAP && child->kind == YAML_MAP) {
        layers_merge(old, child);
    } else if (old->kind != YAML_MAP || child->kind != YAML_NULL) {
        DL_REPLACE_ELEM(base->children, old, child);
    }
}

void layers_merge(struct yaml_node *base, struct yaml_node *layer)
{
    while (layer->children) {
        struct yaml_node *child = layer->children;
        struct yaml_node *old = yaml_child(base, slice_from_string(child->key));
        DL_DELETE(layer->children, child);
        if (old)
            replace_child(base, old, child);
        else
            DL_APPEND(base->children, child);
    }
}

static void fail_layer(struct loading *loading, const char *file, const char *sentence)
{
    diagnostics_add(loading->diagnostics, DIAGNOSTIC_ERROR, (struct mark){file, 0, 0}, "%s",
                    sentence);
    loading->complete = false;
}

static void merge_layer(struct loading *loading, const char *name, struct yaml_node *layer)
{
    if (layer->kind == YAML_MAP && strcmp(name, "environment") == 0)
        environment_layer_resolve(layer, loading->pool, loading->diagnostics);
    if (layer->kind == YAML_MAP) {
        layers_merge(loading->merged, layer);
    } else if (layer->kind != YAML_NULL || (layer->text && *layer->text)) {
        diagnostics_add(loading->diagnostics, DIAGNOSTIC_ERROR, layer->mark,
                        "the top level is %s; accepted: a mapping, like server: ...",
                        YAML_DESCRIBE(layer));
        loading->complete = false;
    }
}

static void load_file(struct loading *loading, const char *name, const char *path)
{
    struct buffer text = {0};
    loading->found++;
    if (read_file(path, YAML_FILE_MAX, &text, NULL) != 0) {
        char sentence[128];
        snprintf(sentence, sizeof sentence, "cannot be read: %s; accepted: a file up to 1 MiB",
                 strerror(errno));
        fail_layer(loading, path, sentence);
    } else {
        struct yaml_node *layer =
            yaml_tree_parse(buffer_slice(&text), path, loading->pool, loading->diagnostics);
        if (layer)
            merge_layer(loading, name, layer);
        else
            loading->complete = false;
    }
    buffer_free(&text);
}

/* Anything but "there is no such file" counts as there, so that opening it tells what is wrong. */
static bool exists(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

static void load_layer(struct loading *loading, const char *name, enum log_level when_missing)
{
    const char *directory = loading->source->directory;
    char *yaml = pool_printf(loading->pool, "%s/%s.yaml", directory, name);
    char *json = pool_printf(loading->pool, "%s/%s.json", directory, name);
    if (!yaml || !json) {
        fail_layer(loading, directory, "out of memory");
        return;
    }
    bool has_yaml = exists(yaml), has_json = exists(json);
    if (has_yaml && has_json)
        fail_layer(loading, json, "exists beside a .yaml file of the same name; accepted: one");
    else if (has_yaml || has_json)
        load_file(loading, name, has_yaml ? yaml : json);
    else
        log_event(when_missing, "config-layer-missing", "file=%s",
                  LOG_TEXT(slice_from_string(yaml)));
}

static bool name_is_file_name(struct slice name)
{
    if (name.data[0] == '.')
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (name.data[i] == '/' || (unsigned char)name.data[i] < 0x20)
            return false;
    return true;
}

static struct slice trim(struct slice text)
{
    while (text.len > 0 && (*text.data == ' ' || *text.data == '\t'))
        text = slice_of(text.data + 1, text.len - 1);
    while (text.len > 0 && (text.data[text.len - 1] == ' ' || text.data[text.len - 1] == '\t'))
        text.len--;
    return text;
}

static void load_environments(struct loading *loading)
{
    const char *at = loading->source->environments ? loading->source->environments : "";
    while (*at) {
        size_t len = strcspn(at, ",");
        struct slice name = trim(slice_of(at, len));
        at += len + (at[len] == ',');
        if (name.len == 0)
            continue;
        char *copy = pool_text(loading->pool, name);
        if (copy && name_is_file_name(name)) {
            load_layer(loading, copy, LOG_LEVEL_NOTICE);
        } else {
            diagnostics_add(loading->diagnostics, DIAGNOSTIC_ERROR, (struct mark){0},
                            "the environment \"%.64s\" is not a file name; accepted: names like "
                            "production, joined by commas",
                            copy ? copy : "");
            loading->complete = false;
        }
    }
}

static void check_directory(struct loading *loading)
{
    struct stat status;
    const char *directory = loading->source->directory;
    if (stat(directory, &status) == 0 && S_ISDIR(status.st_mode))
        return;
    fail_layer(loading, directory,
               "is not a directory; accepted: a directory with files like default.yaml");
}

struct yaml_node *layers_load(const struct config_source *source, struct pool *pool,
                              struct diagnostics *diagnostics, bool *complete)
{
    struct loading loading = {
        .source = source, .pool = pool, .diagnostics = diagnostics, .complete = true};
    loading.merged = pool_alloc(pool, sizeof *loading.merged);
    *complete = false;
    if (!loading.merged)
        return NULL;
    loading.merged->kind = YAML_MAP;
    if (!source->directory) {
        *complete = true;
        return loading.merged;
    }
    check_directory(&loading);
    if (loading.complete) {
        load_layer(&loading, "default", LOG_LEVEL_DEBUG);
        load_environments(&loading);
        load_layer(&loading, "custom", LOG_LEVEL_DEBUG);
        load_layer(&loading, "environment", LOG_LEVEL_DEBUG);
        if (loading.found == 0)
            diagnostics_add(diagnostics, DIAGNOSTIC_WARNING, (struct mark){source->directory, 0, 0},
                            "no configuration file is here, so everything is at its default");
    }
    *complete = loading.complete;
    return loading.merged;
}
