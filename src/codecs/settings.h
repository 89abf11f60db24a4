/* The effective configuration as a typed structure, and its form on the control channel.
 *
 * The master fills it from the files (master/config), the children get it as one frame. */
#ifndef MSGSERVER_CODECS_SETTINGS_H
#define MSGSERVER_CODECS_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/slice.h"

struct string_list {
    char **items;
    size_t count;
};

enum setting_type {
    SETTING_STRING,          /* char *, never NULL, never empty */
    SETTING_OPTIONAL_STRING, /* char *, NULL when null or absent */
    SETTING_ENDPOINT,    /* char *, canonical: "http://HOST:PORT" or "unix:/PATH"; may be NULL */
    SETTING_CHOICE,      /* char *, one of the row's choices */
    SETTING_BOOL,        /* bool */
    SETTING_COUNT,       /* uint64_t */
    SETTING_WORKERS,     /* uint64_t: a number of workers, at least 1 */
    SETTING_DURATION_S,  /* uint64_t in ms; a bare number in text is seconds */
    SETTING_DURATION_MS, /* uint64_t in ms; a bare number in text is milliseconds */
    SETTING_SIZE,        /* uint64_t in bytes */
    SETTING_LEVELS,      /* uint64_t: a mask for log_set_levels */
    SETTING_LIST,        /* struct string_list */
    SETTING_NETMASKS     /* struct string_list; the master checks each entry */
};

enum setting_effect { EFFECT_RESTART, EFFECT_DERIVED };

#define SETTING_C_STRING          char *
#define SETTING_C_OPTIONAL_STRING char *
#define SETTING_C_ENDPOINT        char *
#define SETTING_C_CHOICE          char *
#define SETTING_C_BOOL            bool
#define SETTING_C_COUNT           uint64_t
#define SETTING_C_WORKERS         uint64_t
#define SETTING_C_DURATION_S      uint64_t
#define SETTING_C_DURATION_MS     uint64_t
#define SETTING_C_SIZE            uint64_t
#define SETTING_C_LEVELS          uint64_t
#define SETTING_C_LIST            struct string_list
#define SETTING_C_NETMASKS        struct string_list

struct settings {
#define SETTING(member, key, type, fallback, min, max, accepts, effect, text)                      \
    SETTING_C_##type member;
#include "codecs/settings.def"
#undef SETTING
};

struct setting_row {
    const char *key;
    enum setting_type type;
    const char *fallback; /* the default as text, NULL for none; lists joined by commas */
    uint64_t min, max;
    const char *accepts;
    enum setting_effect effect;
    const char *text;
    size_t offset; /* of the member in struct settings */
};

extern const struct setting_row SETTING_ROWS[];
extern const size_t SETTING_ROW_COUNT;

/* The row of a key, or NULL. */
const struct setting_row *setting_row_find(const char *key);

/* All defaults. `settings` is overwritten, not freed. Returns 0, or -1 with errno ENOMEM. */
int settings_init(struct settings *settings);
void settings_free(struct settings *settings);

/* Sets one value from its text (a scalar's text; NULL data means null, which only an optional type
 * takes), or a list from its items. Returns 0; or -1 with errno EINVAL (not of the row's form),
 * ERANGE (outside min and max) or ENOMEM, and the old value kept. */
int setting_set(struct settings *settings, const struct setting_row *row, struct slice text);
int setting_set_list(struct settings *settings, const struct setting_row *row,
                     const struct slice *items, size_t count);

/* Appends the value in the spelling that setting_set() takes (lists: joined by commas; null:
 * nothing). Returns 0, or -1 with errno ENOMEM. */
int setting_print(const struct settings *settings, const struct setting_row *row,
                  struct buffer *out);

/* The payload of the control channel's SETTINGS frame. settings_decode() initialises `settings` and
 * returns 0, or -1 with errno EPROTO or ENOMEM (nothing to free then). */
int settings_encode(const struct settings *settings, struct buffer *out);
int settings_decode(struct slice bytes, struct settings *settings);

#endif
