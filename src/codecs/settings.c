#include "codecs/settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/units.h"
#include "codecs/frame.h"

const struct setting_row SETTING_ROWS[] = {
#define SETTING(member, key, type, fallback, min, max, accepts, effect, text)                      \
    {key,                                                                                          \
     SETTING_##type,                                                                               \
     fallback,                                                                                     \
     min,                                                                                          \
     max,                                                                                          \
     accepts,                                                                                      \
     EFFECT_##effect,                                                                              \
     text,                                                                                         \
     offsetof(struct settings, member)},
#include "codecs/settings.def"
#undef SETTING
};
const size_t SETTING_ROW_COUNT = sizeof SETTING_ROWS / sizeof *SETTING_ROWS;

enum { WORKERS_MAX = 256 }; /* the table's bound of server.workers */

enum value_form { FORM_TEXT, FORM_NUMBER, FORM_BOOL, FORM_LIST };

static enum value_form form_of(enum setting_type type)
{
    switch (type) {
    case SETTING_STRING:
    case SETTING_OPTIONAL_STRING:
    case SETTING_ENDPOINT:
    case SETTING_CHOICE:
        return FORM_TEXT;
    case SETTING_BOOL:
        return FORM_BOOL;
    case SETTING_LIST:
    case SETTING_NETMASKS:
        return FORM_LIST;
    case SETTING_COUNT:
    case SETTING_WORKERS:
    case SETTING_DURATION_S:
    case SETTING_DURATION_MS:
    case SETTING_SIZE:
    case SETTING_LEVELS:
        break;
    }
    return FORM_NUMBER;
}

static void *member_of(const struct settings *settings, const struct setting_row *row)
{
    return (char *)settings + row->offset;
}

const struct setting_row *setting_row_find(const char *key)
{
    for (size_t i = 0; i < SETTING_ROW_COUNT; i++)
        if (strcmp(SETTING_ROWS[i].key, key) == 0)
            return &SETTING_ROWS[i];
    return NULL;
}

static int fail(int error)
{
    errno = error;
    return -1;
}

static int parse_bool(struct slice text, bool *value)
{
    *value = slice_equals_string(text, "true");
    return *value || slice_equals_string(text, "false") ? 0 : fail(EINVAL);
}

/* `true` is one worker per CPU, `false` and 0 as few as possible (configuration fact). */
static int parse_workers(struct slice text, uint64_t *value)
{
    bool per_cpu;
    if (parse_bool(text, &per_cpu) == 0) {
        long cpus = per_cpu ? sysconf(_SC_NPROCESSORS_ONLN) : 1;
        *value = cpus > 0 ? (uint64_t)cpus : 1;
        if (*value > WORKERS_MAX) /* as many as a number could ask for */
            *value = WORKERS_MAX;
        return 0;
    }
    if (parse_u64(text, value) != 0)
        return -1;
    if (*value == 0)
        *value = 1;
    return 0;
}

static int level_named(struct slice name)
{
    for (int level = 0; level < LOG_LEVELS; level++)
        if (slice_equals_string(name, LOG_LEVEL_NAMES[level]))
            return level;
    return -1;
}

static int parse_level_range(struct slice text, uint64_t *mask)
{
    static const char *const RANGES[] = {">=", "<=", ">", "<", ""};
    const uint64_t every = (1u << LOG_LEVELS) - 1;
    if (slice_equals_string(text, "all")) {
        *mask = every;
        return 0;
    }
    size_t range = 0;
    while (!slice_starts_with(text, RANGES[range]))
        range++;
    size_t skip = strlen(RANGES[range]);
    int level = level_named(slice_of(text.data + skip, text.len - skip));
    if (level < 0)
        return fail(EINVAL);
    const uint64_t from = every & ~((1ull << level) - 1);
    const uint64_t only = 1ull << level;
    const uint64_t masks[] = {from, (every & ~from) | only, from & ~only, every & ~from, only};
    *mask = masks[range];
    return *mask ? 0 : fail(EINVAL);
}

/* One range, or several joined by commas. */
static int parse_levels(struct slice text, uint64_t *mask)
{
    *mask = 0;
    for (;;) {
        const char *comma = text.len ? memchr(text.data, ',', text.len) : NULL;
        size_t len = comma ? (size_t)(comma - text.data) : text.len;
        uint64_t range;
        if (parse_level_range(slice_of(text.data, len), &range) != 0)
            return -1;
        *mask |= range;
        if (!comma)
            return 0;
        text = slice_of(comma + 1, text.len - len - 1);
    }
}

static int parse_number(const struct setting_row *row, struct slice text, uint64_t *value)
{
    int parsed;
    switch (row->type) {
    case SETTING_WORKERS:
        parsed = parse_workers(text, value);
        break;
    case SETTING_DURATION_S:
        parsed = parse_duration(text, 1000, value);
        break;
    case SETTING_DURATION_MS:
        parsed = parse_duration(text, 1, value);
        break;
    case SETTING_SIZE:
        parsed = parse_size(text, value);
        break;
    case SETTING_LEVELS:
        return parse_levels(text, value);
    default:
        parsed = parse_u64(text, value);
        break;
    }
    if (parsed != 0)
        return -1;
    return *value >= row->min && *value <= row->max ? 0 : fail(ERANGE);
}

static bool is_choice(const char *choices, struct slice text)
{
    while (*choices) {
        size_t len = strcspn(choices, "|");
        if (slice_equal(slice_of(choices, len), text))
            return true;
        choices += len + (choices[len] == '|');
    }
    return false;
}

static int set_text(const struct setting_row *row, struct slice text, char **member)
{
    char *copy = NULL;
    bool null_allowed = row->type == SETTING_OPTIONAL_STRING || row->type == SETTING_ENDPOINT;
    if (!text.data && !null_allowed)
        return fail(EINVAL);
    if (text.data) {
        if (text.len == 0 || memchr(text.data, '\0', text.len) ||
            (row->type == SETTING_CHOICE && !is_choice(row->accepts, text)))
            return fail(EINVAL);
        copy = strndup(text.data, text.len);
        if (!copy)
            return -1;
    }
    free(*member);
    *member = copy;
    return 0;
}

int setting_set(struct settings *settings, const struct setting_row *row, struct slice text)
{
    uint64_t number;
    bool flag;
    switch (form_of(row->type)) {
    case FORM_TEXT:
        return set_text(row, text, member_of(settings, row));
    case FORM_NUMBER:
        if (parse_number(row, text, &number) != 0)
            return -1;
        *(uint64_t *)member_of(settings, row) = number;
        return 0;
    case FORM_BOOL:
        if (parse_bool(text, &flag) != 0)
            return -1;
        *(bool *)member_of(settings, row) = flag;
        return 0;
    case FORM_LIST:
        break;
    }
    return setting_set_list(settings, row, &text, text.data ? 1 : 0);
}

static void free_list(struct string_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct string_list){0};
}

int setting_set_list(struct settings *settings, const struct setting_row *row,
                     const struct slice *items, size_t count)
{
    if (form_of(row->type) != FORM_LIST)
        return fail(EINVAL);
    struct string_list list = {0};
    if (count > 0) {
        list.items = calloc(count, sizeof *list.items);
        if (!list.items)
            return -1;
    }
    for (size_t i = 0; i < count; i++) {
        list.items[i] = strndup(items[i].data, items[i].len);
        if (!list.items[i]) {
            free_list(&list);
            return fail(ENOMEM);
        }
        list.count++;
    }
    struct string_list *member = member_of(settings, row);
    free_list(member);
    *member = list;
    return 0;
}

static int set_default(struct settings *settings, const struct setting_row *row)
{
    struct slice items[8];
    size_t count = 0;
    if (form_of(row->type) != FORM_LIST)
        return row->fallback ? setting_set(settings, row, slice_from_string(row->fallback)) : 0;
    for (const char *at = row->fallback; *at && count < 8; count++) {
        size_t len = strcspn(at, ",");
        items[count] = slice_of(at, len);
        at += len + (at[len] == ',');
    }
    return setting_set_list(settings, row, items, count);
}

int settings_init(struct settings *settings)
{
    memset(settings, 0, sizeof *settings);
    for (size_t i = 0; i < SETTING_ROW_COUNT; i++) {
        if (set_default(settings, &SETTING_ROWS[i]) != 0) {
            settings_free(settings);
            return -1;
        }
    }
    return 0;
}

void settings_free(struct settings *settings)
{
    for (size_t i = 0; i < SETTING_ROW_COUNT; i++) {
        const struct setting_row *row = &SETTING_ROWS[i];
        if (form_of(row->type) == FORM_TEXT)
            free(*(char **)member_of(settings, row));
        else if (form_of(row->type) == FORM_LIST)
            free_list(member_of(settings, row));
    }
    memset(settings, 0, sizeof *settings);
}

/* One range where that says it all, else the levels joined by commas. */
static int print_levels(uint64_t mask, struct buffer *out)
{
    static const char *const RANGES[] = {">=", "<=", ""};
    for (int i = 0; i < LOG_LEVELS * 3; i++) {
        char text[32];
        uint64_t ranged;
        snprintf(text, sizeof text, "%s%s", RANGES[i % 3], LOG_LEVEL_NAMES[i / 3]);
        if (parse_levels(slice_from_string(text), &ranged) == 0 && ranged == mask)
            return buffer_append_string(out, ranged == (1u << LOG_LEVELS) - 1 ? "all" : text);
    }
    const char *separator = "";
    for (int level = 0; level < LOG_LEVELS; level++) {
        if (!(mask & 1ull << level))
            continue;
        if (buffer_append_string(out, separator) != 0 ||
            buffer_append_string(out, LOG_LEVEL_NAMES[level]) != 0)
            return -1;
        separator = ",";
    }
    return 0;
}

static int print_number(const struct setting_row *row, uint64_t value, struct buffer *out)
{
    char text[UNIT_TEXT_ROOM];
    switch (row->type) {
    case SETTING_DURATION_S:
    case SETTING_DURATION_MS:
        format_duration(value, text);
        return buffer_append_string(out, text);
    case SETTING_SIZE:
        format_size(value, text);
        return buffer_append_string(out, text);
    case SETTING_LEVELS:
        return print_levels(value, out);
    default:
        return buffer_append_u64(out, value);
    }
}

int setting_print(const struct settings *settings, const struct setting_row *row,
                  struct buffer *out)
{
    const void *member = member_of(settings, row);
    const char *text;
    switch (form_of(row->type)) {
    case FORM_TEXT:
        text = *(char *const *)member;
        return text ? buffer_append_string(out, text) : 0;
    case FORM_NUMBER:
        return print_number(row, *(const uint64_t *)member, out);
    case FORM_BOOL:
        return buffer_append_string(out, *(const bool *)member ? "true" : "false");
    case FORM_LIST:
        break;
    }
    const struct string_list *list = member;
    for (size_t i = 0; i < list->count; i++)
        if ((i > 0 && buffer_append_string(out, ",") != 0) ||
            buffer_append_string(out, list->items[i]) != 0)
            return -1;
    return 0;
}

/* On the channel: per row its key, the number of its items, the items; null has no items. */
static int encode_row(const struct settings *settings, const struct setting_row *row,
                      struct buffer *out)
{
    const struct string_list *list = member_of(settings, row);
    struct string_list one = {0};
    struct buffer text = {0};
    char *printed = NULL;
    if (form_of(row->type) != FORM_LIST) {
        if (setting_print(settings, row, &text) != 0)
            return -1;
        printed = buffer_bytes(&text);
        one = (struct string_list){&printed, printed ? 1 : 0};
        list = &one;
    }
    int result = put_slice(out, slice_from_string(row->key));
    result |= put_u32(out, (uint32_t)list->count);
    for (size_t i = 0; i < list->count; i++) {
        size_t len = printed ? buffer_len(&text) : strlen(list->items[i]);
        result |= put_slice(out, slice_of(list->items[i], len));
    }
    buffer_free(&text);
    return result == 0 ? 0 : fail(ENOMEM);
}

int settings_encode(const struct settings *settings, struct buffer *out)
{
    for (size_t i = 0; i < SETTING_ROW_COUNT; i++)
        if (encode_row(settings, &SETTING_ROWS[i], out) != 0)
            return -1;
    return 0;
}

static int decode_row(struct frame_reader *reader, struct settings *settings)
{
    struct slice key = get_slice(reader);
    uint32_t count = get_u32(reader);
    const struct setting_row *row = NULL;
    for (size_t i = 0; i < SETTING_ROW_COUNT && !row; i++)
        if (slice_equals_string(key, SETTING_ROWS[i].key))
            row = &SETTING_ROWS[i];
    if (!row || count > reader_left(reader) / 4)
        return fail(EPROTO);
    struct slice *items = calloc((size_t)count + 1, sizeof *items);
    if (!items)
        return -1;
    for (uint32_t i = 0; i < count; i++)
        items[i] = get_slice(reader);
    int result;
    if (reader->broken)
        result = fail(EPROTO);
    else if (form_of(row->type) == FORM_LIST)
        result = setting_set_list(settings, row, items, count);
    else
        result = setting_set(settings, row, items[0]);
    free(items);
    if (result != 0 && errno != ENOMEM)
        errno = EPROTO;
    return result;
}

int settings_decode(struct slice bytes, struct settings *settings)
{
    if (settings_init(settings) != 0)
        return -1;
    struct frame_reader reader = reader_of(bytes);
    while (reader_left(&reader) > 0) {
        if (decode_row(&reader, settings) != 0) {
            settings_free(settings);
            return -1;
        }
    }
    return 0;
}
