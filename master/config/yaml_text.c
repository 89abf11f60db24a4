#include "master/config/yaml_text.h"

#include <errno.h>
#include <stdlib.h>

/* The code point at the front of well-formed UTF-8, and its length; a byte that is none stands for
 * itself. */
static size_t decode(struct slice text, uint32_t *code)
{
    static const struct {
        unsigned char mask, lead;
    } LEADS[] = {{0x80, 0}, {0xe0, 0xc0}, {0xf0, 0xe0}, {0xf8, 0xf0}};
    unsigned char first = (unsigned char)text.data[0];
    size_t len = 0;
    while (len < 4 && (first & LEADS[len].mask) != LEADS[len].lead)
        len++;
    *code = first;
    if (len == 0 || len == 4 || len >= text.len)
        return 1;
    *code = first & (unsigned char)~LEADS[len].mask;
    for (size_t i = 1; i <= len; i++)
        *code = *code << 6 | ((unsigned char)text.data[i] & 0x3f);
    return len + 1;
}

static int put_code(struct buffer *out, uint32_t code)
{
    if (code == '"' || code == '\\')
        return buffer_printf(out, "\\%c", (int)code);
    if (code >= 0x20 && code < 0x7f)
        return buffer_printf(out, "%c", (int)code);
    if (code <= 0xff)
        return buffer_printf(out, "\\x%02x", code);
    return buffer_printf(out, code <= 0xffff ? "\\u%04x" : "\\U%08x", code);
}

int yaml_text_string(struct buffer *out, struct slice utf8)
{
    int result = buffer_append_string(out, "\"");
    while (utf8.len > 0 && result == 0) {
        uint32_t code;
        size_t len = decode(utf8, &code);
        result = put_code(out, code);
        utf8 = slice_of(utf8.data + len, utf8.len - len);
    }
    return result == 0 ? buffer_append_string(out, "\"") : -1;
}

static int put_list(struct buffer *out, const json_t *list)
{
    int result = buffer_append_string(out, "[");
    for (size_t i = 0; i < json_array_size(list) && result == 0; i++) {
        result = buffer_append_string(out, i ? ", " : "");
        if (result == 0)
            result = yaml_text_json(out, json_array_get(list, i));
    }
    return result == 0 ? buffer_append_string(out, "]") : -1;
}

static int put_map(struct buffer *out, const json_t *map)
{
    int result = buffer_append_string(out, "{");
    void *at = json_object_iter((json_t *)map);
    const char *separator = "";
    for (; at && result == 0; at = json_object_iter_next((json_t *)map, at)) {
        result = buffer_append_string(out, separator) != 0 ||
                 yaml_text_string(out, slice_from_string(json_object_iter_key(at))) != 0 ||
                 buffer_append_string(out, ": ") != 0 ||
                 yaml_text_json(out, json_object_iter_value(at)) != 0;
        separator = ", ";
    }
    return result == 0 ? buffer_append_string(out, "}") : -1;
}

int yaml_text_json(struct buffer *out, const json_t *value)
{
    if (json_is_object(value))
        return put_map(out, value);
    if (json_is_array(value))
        return put_list(out, value);
    if (json_is_string(value))
        return yaml_text_string(out, slice_of(json_string_value(value), json_string_length(value)));
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
    if (!text) {
        errno = ENOMEM;
        return -1;
    }
    int result = buffer_append_string(out, text);
    free(text);
    return result;
}
