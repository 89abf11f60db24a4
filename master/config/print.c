/* The configuration as files: the effective one (-T) and the sample, both from the table. */
#include "master/config/config.h"

#include <jansson.h>

#include "master/config/yaml_text.h"

#define TRANSPORTS "server.msgStream.transports."
#define SSE        TRANSPORTS "sse."

enum { INDENT = 4, LINE_WIDTH = 100 };

/* Levels of `key` above its last part. */
static size_t level_count(const char *key)
{
    size_t count = 0;
    for (const char *dot = strchr(key, '.'); dot; dot = strchr(dot + 1, '.'))
        count++;
    return count;
}

static int put_indent(struct buffer *out, size_t level)
{
    return buffer_printf(out, "%*s", (int)level * INDENT, "");
}

/* Opens the mappings of `key` that the row before it, at `previous`, had not opened. */
static int open_mappings(struct buffer *out, const char *previous, const char *key)
{
    size_t level = 0;
    bool same = true;
    for (const char *dot; (dot = strchr(key, '.')); key = dot + 1, level++) {
        size_t len = (size_t)(dot - key);
        same = same && strncmp(previous, key, len + 1) == 0;
        if (same) {
            previous += len + 1;
            continue;
        }
        if (put_indent(out, level) != 0 || buffer_printf(out, "%.*s:\n", (int)len, key) != 0)
            return -1;
    }
    return 0;
}

static const char *last_part(const char *key)
{
    const char *dot = strrchr(key, '.');
    return dot ? dot + 1 : key;
}

static int put_strings(struct buffer *out, const struct string_list *list)
{
    int result = buffer_append_string(out, "[");
    for (size_t i = 0; i < list->count && result == 0; i++)
        result = buffer_append_string(out, i ? ", " : "") != 0 ||
                 yaml_text_string(out, slice_from_string(list->items[i])) != 0;
    return result == 0 ? buffer_append_string(out, "]") : -1;
}

static int put_quoted(struct buffer *out, const struct settings *settings,
                      const struct setting_row *row)
{
    struct buffer text = {0};
    int result = setting_print(settings, row, &text);
    if (result == 0)
        result = buffer_len(&text) > 0 ? yaml_text_string(out, buffer_slice(&text))
                                       : buffer_append_string(out, "null");
    buffer_free(&text);
    return result;
}

static int put_value(struct buffer *out, const struct settings *settings,
                     const struct setting_row *row)
{
    switch (row->type) {
    case SETTING_STRING:
    case SETTING_OPTIONAL_STRING:
    case SETTING_ENDPOINT:
    case SETTING_CHOICE:
    case SETTING_LEVELS:
        return put_quoted(out, settings, row);
    case SETTING_LIST:
    case SETTING_NETMASKS:
        return put_strings(out, (const void *)((const char *)settings + row->offset));
    default:
        return setting_print(settings, row, out);
    }
}

/* What a transport holds for clients beyond our own keys is only in the public configuration. */
static int put_extras(struct buffer *out, const json_t *transport, size_t level)
{
    void *at = json_object_iter((json_t *)transport);
    for (; at; at = json_object_iter_next((json_t *)transport, at)) {
        const char *key = json_object_iter_key(at);
        if (strcmp(key, "url") == 0 || strcmp(key, "heartbeat") == 0)
            continue;
        if (put_indent(out, level) != 0 || yaml_text_string(out, slice_from_string(key)) != 0 ||
            buffer_append_string(out, ": ") != 0 ||
            yaml_text_json(out, json_object_iter_value(at)) != 0 ||
            buffer_append_string(out, "\n") != 0)
            return -1;
    }
    return 0;
}

static int put_row(struct buffer *out, const struct settings *settings,
                   const struct setting_row *row, const json_t *transports)
{
    size_t level = level_count(row->key);
    if (put_indent(out, level) != 0 || buffer_printf(out, "%s: ", last_part(row->key)) != 0 ||
        put_value(out, settings, row) != 0 || buffer_append_string(out, "\n") != 0)
        return -1;
    /* Each transport has one route, so its other keys follow that. */
    if (strncmp(row->key, TRANSPORTS, sizeof TRANSPORTS - 1) != 0 ||
        strcmp(last_part(row->key), "route") != 0)
        return 0;
    const char *name = row->key + sizeof TRANSPORTS - 1;
    char copy[32];
    snprintf(copy, sizeof copy, "%.*s", (int)strcspn(name, "."), name);
    return put_extras(out, json_object_get(transports, copy), level);
}

int config_print_effective(const struct settings *settings, struct buffer *out)
{
    json_t *public_config = json_loads(settings->public_config, 0, NULL);
    const json_t *transports = json_object_get(public_config, "transports");
    const char *previous = "";
    int result = 0;
    for (size_t i = 0; i < SETTING_ROW_COUNT && result == 0; i++) {
        const struct setting_row *row = &SETTING_ROWS[i];
        bool is_sse = strncmp(row->key, SSE, sizeof SSE - 1) == 0;
        /* Naming sse in a file offers it to clients. */
        if (row->effect == EFFECT_DERIVED || (is_sse && !json_object_get(transports, "sse")))
            continue;
        result = open_mappings(out, previous, row->key);
        if (result == 0)
            result = put_row(out, settings, row, transports);
        previous = row->key;
    }
    json_decref(public_config);
    return result;
}

/* `text` as comment lines, broken at blanks. */
static int put_comment(struct buffer *out, const char *text, size_t level)
{
    const size_t width = LINE_WIDTH - level * INDENT - 2;
    while (*text) {
        size_t len = strlen(text);
        if (len > width) {
            len = width;
            while (len > 0 && text[len] != ' ')
                len--;
        }
        if (put_indent(out, level) != 0 || buffer_printf(out, "# %.*s\n", (int)len, text) != 0)
            return -1;
        text += len + (text[len] == ' ');
    }
    return 0;
}

static int put_fallback(struct buffer *out, const struct setting_row *row)
{
    if (!row->fallback)
        return buffer_append_string(out, "null");
    switch (row->type) {
    case SETTING_BOOL:
    case SETTING_COUNT:
    case SETTING_WORKERS:
    case SETTING_DURATION_S:
    case SETTING_DURATION_MS:
    case SETTING_SIZE:
        return buffer_append_string(out, row->fallback);
    case SETTING_LIST:
    case SETTING_NETMASKS: {
        int result = buffer_append_string(out, "[");
        for (const char *at = row->fallback; *at && result == 0; at += strspn(at, ",")) {
            size_t len = strcspn(at, ",");
            result = buffer_append_string(out, at == row->fallback ? "" : ", ") != 0 ||
                     yaml_text_string(out, slice_of(at, len)) != 0;
            at += len;
        }
        return result == 0 ? buffer_append_string(out, "]") : -1;
    }
    default:
        return yaml_text_string(out, slice_from_string(row->fallback));
    }
}

static int put_sample_row(struct buffer *out, const struct setting_row *row)
{
    size_t level = level_count(row->key);
    struct buffer accepts = {0};
    int result = buffer_printf(&accepts, "Accepted: %s.", row->accepts);
    if (result == 0)
        result = buffer_append(&accepts, "", 1);
    if (result == 0)
        result = put_comment(out, row->text, level);
    if (result == 0)
        result = put_comment(out, buffer_bytes(&accepts), level);
    buffer_free(&accepts);
    if (result != 0 || put_indent(out, level) != 0 ||
        buffer_printf(out, "#%s: ", last_part(row->key)) != 0 || put_fallback(out, row) != 0)
        return -1;
    return buffer_append_string(out, "\n");
}

int config_print_sample(struct buffer *out)
{
    static const char HEAD[] =
        "# Every key of msgserver with its default. To change one, take its # away.\n"
        "# Later files win: this one, those named by the environment (production.yaml), "
        "custom.yaml,\n"
        "# environment.yaml. Durations: 30s, 10m, 2h; sizes: 64KiB, 16MiB.\n";
    const char *previous = "";
    int result = buffer_append_string(out, HEAD);
    for (size_t i = 0; i < SETTING_ROW_COUNT && result == 0; i++) {
        const struct setting_row *row = &SETTING_ROWS[i];
        if (row->effect == EFFECT_DERIVED)
            continue;
        result = buffer_append_string(out, "\n");
        if (result == 0)
            result = open_mappings(out, previous, row->key);
        if (result == 0)
            result = put_sample_row(out, row);
        previous = row->key;
    }
    return result;
}
