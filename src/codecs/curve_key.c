#include "codecs/curve_key.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/table.h"
#include "codecs/z85.h"

bool curve_key_is_valid(struct slice text)
{
    unsigned char bytes[CURVE_KEY_BYTES];
    return text.len == CURVE_KEY_CHARS && z85_decode(text, bytes) == CURVE_KEY_BYTES;
}

/* --- the file of allowed peers ---------------------------------------------------------------- */

struct seen_key {
    UT_hash_handle hh;
    unsigned line;
    char key[CURVE_KEY_ROOM];
};

struct reading {
    struct allowed_keys *keys;
    size_t capacity;
    struct seen_key *seen;
    void (*complain)(void *context, unsigned line, const char *why);
    void *context;
    bool mistaken;
    bool out_of_memory;
};

static void complain(struct reading *reading, unsigned line, const char *why)
{
    reading->mistaken = true;
    reading->complain(reading->context, line, why);
}

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r';
}

/* The next word of the line, empty at its end. */
static struct slice take_word(struct slice *line)
{
    size_t start = 0;
    while (start < line->len && is_blank(line->data[start]))
        start++;
    size_t end = start;
    while (end < line->len && !is_blank(line->data[end]))
        end++;
    struct slice word = slice_of(line->data + start, end - start);
    *line = slice_of(line->data + end, line->len - end);
    return word;
}

static bool is_end(struct slice word)
{
    return word.len == 0 || *word.data == '#';
}

/* False, after complaining, when the key stands on an earlier line. */
static bool is_new(struct reading *reading, struct slice key, unsigned line)
{
    struct seen_key *seen;
    char why[ALLOWED_KEYS_WHY_ROOM];
    HASH_FIND(hh, reading->seen, key.data, CURVE_KEY_CHARS, seen);
    if (seen) {
        snprintf(why, sizeof why, "this key is on line %u already", seen->line);
        complain(reading, line, why);
        return false;
    }
    seen = calloc(1, sizeof *seen);
    if (seen) {
        seen->line = line;
        memcpy(seen->key, key.data, CURVE_KEY_CHARS);
        HASH_ADD(hh, reading->seen, key, CURVE_KEY_CHARS, seen);
        if (seen->hh.tbl)
            return true;
    }
    free(seen);
    reading->out_of_memory = true;
    return false;
}

static void add_key(struct reading *reading, const struct allowed_key *key)
{
    struct allowed_keys *keys = reading->keys;
    if (keys->count == reading->capacity) {
        size_t capacity = reading->capacity ? 2 * reading->capacity : 16;
        struct allowed_key *items = reallocarray(keys->items, capacity, sizeof *items);
        if (!items) {
            reading->out_of_memory = true;
            return;
        }
        keys->items = items;
        reading->capacity = capacity;
    }
    keys->items[keys->count++] = *key;
}

static void read_line(struct reading *reading, struct slice line, unsigned number)
{
    struct allowed_key key = {.line = number};
    struct slice word = take_word(&line);
    if (is_end(word))
        return;
    if (!curve_key_is_valid(word)) {
        complain(reading, number,
                 "not a public key; accepted: 40 characters, as msgserverctl mesh keygen prints "
                 "them");
        return;
    }
    memcpy(key.key, word.data, word.len);
    struct slice id = take_word(&line);
    if (!is_end(id)) {
        if (id.len > CLUSTER_ID_MAX || !cluster_id_is_valid(id)) {
            complain(reading, number,
                     "what follows the key is not a cluster ID; accepted: one like a-host:15001, "
                     "or nothing");
            return;
        }
        memcpy(key.cluster_id, id.data, id.len);
        if (!is_end(take_word(&line))) {
            complain(reading, number,
                     "too many words; accepted: a key, a cluster ID, and a comment after #");
            return;
        }
    }
    if (is_new(reading, word, number))
        add_key(reading, &key);
}

static void read_lines(struct reading *reading, struct slice text)
{
    unsigned number = 0;
    while (text.len > 0 && !reading->out_of_memory) {
        const char *end = memchr(text.data, '\n', text.len);
        size_t len = end ? (size_t)(end - text.data) : text.len;
        read_line(reading, slice_of(text.data, len), ++number);
        len += end ? 1 : 0;
        text = slice_of(text.data + len, text.len - len);
    }
}

int allowed_keys_read(struct slice text, struct allowed_keys *keys,
                      void (*on_mistake)(void *context, unsigned line, const char *why),
                      void *context)
{
    struct reading reading = {.keys = keys, .complain = on_mistake, .context = context};
    struct seen_key *seen, *next;
    *keys = (struct allowed_keys){0};
    read_lines(&reading, text);
    HASH_ITER(hh, reading.seen, seen, next) {
        /* The analyzer takes the next element for the one freed before: uthash unlinked that. */
        HASH_DEL(reading.seen, seen); /* NOLINT(clang-analyzer-unix.Malloc) */
        free(seen);
    }
    if (!reading.out_of_memory && !reading.mistaken && keys->count == 0)
        complain(&reading, 0, "it holds no key; accepted: one public key on each line");
    if (!reading.out_of_memory && !reading.mistaken)
        return 0;
    allowed_keys_free(keys);
    errno = reading.out_of_memory ? ENOMEM : EINVAL;
    return -1;
}

void allowed_keys_free(struct allowed_keys *keys)
{
    free(keys->items);
    *keys = (struct allowed_keys){0};
}
