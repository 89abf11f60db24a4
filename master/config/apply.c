#include "master/config/apply.h"

#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/table.h"
#include "master/config/endpoint.h"
#include "master/config/known_keys.h"
#include "master/config/public_config.h"
#include "master/config/value_checks.h"

struct applying {
    const struct yaml_node *top;
    struct settings *settings;
    struct pool *pool;
    struct diagnostics *diagnostics;
    bool out_of_memory;
};

/* A value of one row: the key under which it was found (an older name, perhaps) and its node. */
struct found {
    const struct setting_row *row;
    const char *key;
    const struct yaml_node *node;
};

/* The table joins choices by '|'. */
static void accepted_text(const struct setting_row *row, char *out, size_t room)
{
    size_t len = 0;
    for (const char *at = row->accepts; *at && len + 3 < room; at++) {
        out[len++] = *at;
        if (row->type == SETTING_CHOICE && *at == '|') {
            out[len - 1] = ',';
            out[len++] = ' ';
        }
    }
    out[len] = '\0';
}

static void refuse(struct applying *applying, const struct found *found,
                   const struct yaml_node *node, const char *why)
{
    char accepted[256];
    accepted_text(found->row, accepted, sizeof accepted);
    const char *from = node->variable ? " from the environment variable " : "";
    diagnostics_add(applying->diagnostics, DIAGNOSTIC_ERROR, node->mark,
                    "%s is %s%s%s%s%s; accepted: %s", found->key, YAML_DESCRIBE(node), from,
                    node->variable ? node->variable : "", *why ? ", " : "", why, accepted);
}

static void refuse_by_errno(struct applying *applying, const struct found *found,
                            const struct yaml_node *node)
{
    if (errno == ENOMEM)
        applying->out_of_memory = true;
    else
        refuse(applying, found, node, errno == ERANGE ? "out of range" : "");
}

/* In YAML "true" in quotes is a string (configuration fact: a string of workers is an error). */
static bool must_be_plain(enum setting_type type)
{
    return type == SETTING_BOOL || type == SETTING_WORKERS;
}

static struct slice text_for(const struct found *found, const char *text)
{
    if (must_be_plain(found->row->type)) {
        if (strcmp(text, "True") == 0 || strcmp(text, "TRUE") == 0)
            return SLICE_LITERAL("true");
        if (strcmp(text, "False") == 0 || strcmp(text, "FALSE") == 0)
            return SLICE_LITERAL("false");
    }
    return slice_from_string(text);
}

/* The accepted form of one scalar, or NULL after complaining. */
static const char *checked_text(struct applying *applying, const struct found *found,
                                const struct yaml_node *node)
{
    char why[VALUE_WHY_ROOM];
    if (node->kind != YAML_SCALAR) {
        refuse(applying, found, node, "");
        return NULL;
    }
    if (must_be_plain(found->row->type) && node->quoted) {
        refuse(applying, found, node,
               node->variable ? "a string; give the variable a type, like NAME:bool" : "a string");
        return NULL;
    }
    const char *text = value_check(found->row, node->text, applying->pool, why);
    if (!text && *why)
        refuse(applying, found, node, why);
    else if (!text)
        applying->out_of_memory = true;
    return text;
}

static void apply_scalar(struct applying *applying, const struct found *found)
{
    const char *text = checked_text(applying, found, found->node);
    if (text && setting_set(applying->settings, found->row, text_for(found, text)) != 0)
        refuse_by_errno(applying, found, found->node);
}

static void apply_list(struct applying *applying, const struct found *found)
{
    bool is_list = found->node->kind == YAML_LIST;
    const struct yaml_node *item = is_list ? found->node->children : found->node;
    size_t count = 0, room = is_list ? yaml_child_count(found->node) : 1;
    struct slice *items = calloc(room + 1, sizeof *items);
    if (!items) {
        applying->out_of_memory = true;
        return;
    }
    for (; item; item = is_list ? item->next : NULL) {
        const char *text = checked_text(applying, found, item);
        if (text)
            items[count++] = slice_from_string(text);
    }
    if (count == room && setting_set_list(applying->settings, found->row, items, count) != 0)
        refuse_by_errno(applying, found, found->node);
    free(items);
}

/* A level range, or a list of them whose union counts, in the table's spelling joined by commas.
 * With `quietly`, items that are none are left out (they may be channels of others). */
static void apply_levels(struct applying *applying, const struct found *found, bool quietly)
{
    bool is_list = found->node->kind == YAML_LIST;
    const struct yaml_node *item = is_list ? found->node->children : found->node;
    struct settings *settings = applying->settings;
    uint64_t before = settings->log_levels, levels = 0;
    bool good = true;
    for (; item; item = is_list ? item->next : NULL) {
        if (item->kind == YAML_SCALAR &&
            setting_set(settings, found->row, slice_from_string(item->text)) == 0) {
            levels |= settings->log_levels;
        } else if (quietly) {
            LOG_DEBUG("config-channel-ignored", "line=%u", item->mark.line);
        } else {
            refuse(applying, found, item, "");
            good = false;
        }
    }
    if (is_list && levels == 0 && good && !quietly)
        refuse(applying, found, found->node, "");
    settings->log_levels = good && levels ? levels : before;
}

static void apply_endpoint(struct applying *applying, const struct found *found)
{
    const char *text =
        endpoint_parse(found->node, found->row, applying->pool, applying->diagnostics);
    if (text && setting_set(applying->settings, found->row, slice_from_string(text)) != 0)
        refuse_by_errno(applying, found, found->node);
}

static void apply_found(struct applying *applying, const struct found *found)
{
    switch (found->row->type) {
    case SETTING_ENDPOINT:
        apply_endpoint(applying, found);
        break;
    case SETTING_LIST:
    case SETTING_NETMASKS:
        apply_list(applying, found);
        break;
    case SETTING_LEVELS:
        apply_levels(applying, found, false);
        break;
    default:
        apply_scalar(applying, found);
        break;
    }
}

/* null keeps the default, which is null for the settings that can be null. */
static const struct yaml_node *value_at(const struct yaml_node *top, const char *key)
{
    const struct yaml_node *node = yaml_at(top, key);
    return node && node->kind != YAML_NULL ? node : NULL;
}

static void apply_row(struct applying *applying, const struct setting_row *row)
{
    struct found found = {row, row->key, value_at(applying->top, row->key)};
    if (row->type == SETTING_WORKERS && value_at(applying->top, "server.cluster")) {
        found.key = "server.cluster";
        found.node = value_at(applying->top, found.key);
    }
    if (found.node)
        apply_found(applying, &found);
}

/* MAGE: the presence of `cors` turns it on, for every origin unless one is named. */
static void apply_cors_default(struct applying *applying)
{
    const struct yaml_node *cors = value_at(applying->top, "server.clientHost.cors");
    if (!cors || cors->kind != YAML_MAP || yaml_child(cors, SLICE_LITERAL("origin")))
        return;
    const struct setting_row *row = setting_row_find("server.clientHost.cors.origin");
    if (setting_set(applying->settings, row, SLICE_LITERAL("*")) != 0)
        applying->out_of_memory = true;
}

/* MAGE's own place for the levels of what goes to the terminal. */
static void apply_mage_channels(struct applying *applying)
{
    struct found found = {
        .row = setting_row_find("logging.level"),
        .key = "logging.server.terminal.channels",
        .node = value_at(applying->top, "logging.server.terminal.channels"),
    };
    if (found.node && !value_at(applying->top, "logging.level"))
        apply_levels(applying, &found, true);
}

static void check_detect(struct applying *applying)
{
    const struct string_list *detect = &applying->settings->detect;
    const struct yaml_node *node = value_at(applying->top, "server.msgStream.detect");
    struct found found = {setting_row_find("server.msgStream.detect"), "server.msgStream.detect",
                          node};
    if (!node)
        return;
    if (detect->count == 0)
        refuse(applying, &found, node, "");
    for (size_t i = 0; i < detect->count; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(detect->items[i], detect->items[j]) == 0) {
                refuse(applying, &found, node, "naming a transport twice");
                return;
            }
}

static int derive_public_config(struct applying *applying)
{
    struct buffer json = {0};
    const struct yaml_node *transports = yaml_at(applying->top, "server.msgStream.transports");
    int result = public_config_make(applying->settings, transports, &json);
    if (result == 0)
        result = setting_set(applying->settings, setting_row_find("derived.publicConfig"),
                             buffer_slice(&json));
    buffer_free(&json);
    return result;
}

int config_apply(const struct yaml_node *top, struct settings *settings, struct pool *pool,
                 struct diagnostics *diagnostics)
{
    struct applying applying = {
        .top = top, .settings = settings, .pool = pool, .diagnostics = diagnostics};
    known_keys_check(top, diagnostics);
    for (size_t i = 0; i < SETTING_ROW_COUNT; i++)
        if (SETTING_ROWS[i].effect != EFFECT_DERIVED)
            apply_row(&applying, &SETTING_ROWS[i]);
    apply_cors_default(&applying);
    apply_mage_channels(&applying);
    check_detect(&applying);
    if (applying.out_of_memory || derive_public_config(&applying) != 0) {
        errno = ENOMEM;
        return -1;
    }
    return 0;
}

int config_make_path_whole(const char *key, const char *directory, struct settings *settings)
{
    const struct setting_row *row = setting_row_find(key);
    struct buffer given = {0}, path = {0};
    int result = setting_print(settings, row, &given);
    if (result == 0 && buffer_len(&given) > 0 && *buffer_bytes(&given) != '/') {
        result = buffer_printf(&path, "%s/", directory) != 0 ||
                         buffer_append_slice(&path, buffer_slice(&given)) != 0
                     ? -1
                     : setting_set(settings, row, buffer_slice(&path));
    }
    buffer_free(&given);
    buffer_free(&path);
    return result;
}
