#include "codecs/query_string.h"

#include <errno.h>

#include "codecs/http_chars.h"

bool query_next(struct slice *query, struct query_parameter *parameter)
{
    while (query->len > 0) {
        const char *end = memchr(query->data, '&', query->len);
        size_t len = end ? (size_t)(end - query->data) : query->len;
        struct slice part = slice_of(query->data, len);
        size_t used = end ? len + 1 : len;
        *query = slice_of(query->data + used, query->len - used);
        if (part.len == 0)
            continue;
        const char *equals = memchr(part.data, '=', part.len);
        size_t name_len = equals ? (size_t)(equals - part.data) : part.len;
        parameter->name = slice_of(part.data, name_len);
        parameter->value = equals ? slice_of(equals + 1, part.len - name_len - 1) : SLICE_EMPTY;
        return true;
    }
    return false;
}

/* Takes one decoded byte from the front of `*text`; false when a %XX is broken. */
static bool take_decoded(struct slice *text, bool plus_is_space, char *decoded)
{
    size_t used = 1;
    *decoded = text->data[0];
    if (*decoded == '%') {
        int high = text->len > 2 ? http_hex_value(text->data[1]) : -1;
        int low = text->len > 2 ? http_hex_value(text->data[2]) : -1;
        if (high < 0 || low < 0)
            return false;
        *decoded = (char)(high << 4 | low);
        used = 3;
    } else if (*decoded == '+' && plus_is_space) {
        *decoded = ' ';
    }
    *text = slice_of(text->data + used, text->len - used);
    return true;
}

static long decode_into(struct slice text, bool plus_is_space, char *out, size_t room)
{
    size_t len = 0;
    while (text.len > 0) {
        char decoded;
        if (!take_decoded(&text, plus_is_space, &decoded)) {
            errno = EINVAL;
            return -1;
        }
        if (len == room) {
            errno = ERANGE;
            return -1;
        }
        out[len++] = decoded;
    }
    return (long)len;
}

int query_decode(struct slice text, struct buffer *out)
{
    if (text.len == 0)
        return 0;
    size_t before = buffer_len(out);
    char *room = buffer_reserve(out, text.len);
    if (!room)
        return -1;
    long len = query_decode_into(text, room, text.len);
    if (len < 0) {
        buffer_truncate(out, before);
        return -1;
    }
    buffer_added(out, (size_t)len);
    return 0;
}

long query_decode_into(struct slice text, char *out, size_t room)
{
    return decode_into(text, true, out, room);
}

long path_decode_into(struct slice text, char *out, size_t room)
{
    return decode_into(text, false, out, room);
}

bool query_name_is(const struct query_parameter *parameter, const char *name)
{
    struct slice rest = parameter->name;
    for (; *name && rest.len > 0; name++) {
        char decoded;
        if (!take_decoded(&rest, true, &decoded) || decoded != *name)
            return false;
    }
    return *name == '\0' && rest.len == 0;
}

/* Takes the next segment from the front of `*path`; empty at its end. */
static struct slice next_segment(struct slice *path)
{
    while (path->len > 0 && *path->data == '/')
        *path = slice_of(path->data + 1, path->len - 1);
    size_t len = 0;
    while (len < path->len && path->data[len] != '/')
        len++;
    struct slice segment = slice_of(path->data, len);
    if (len > 0)
        *path = slice_of(path->data + len, path->len - len);
    return segment;
}

bool path_matches_route(struct slice path, const char *route)
{
    struct slice wanted = slice_from_string(route);
    struct slice got, expected;
    if (path.len == 0 || path.data[0] != '/')
        return false;
    do {
        got = next_segment(&path);
        expected = next_segment(&wanted);
        if (!slice_equal(got, expected))
            return false;
    } while (got.len > 0);
    return true;
}
