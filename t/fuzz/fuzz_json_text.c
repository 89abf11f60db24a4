/* Any bytes are checked and, when they are JSON, walked to the last part: each part is JSON too,
 * and the parts with what is between them are the text. */
#include <stdint.h>
#include <stdlib.h>

#include "codecs/json_text.h"

static void require(bool condition)
{
    if (!condition)
        abort();
}

static bool is_container(struct slice value)
{
    enum json_kind kind = json_kind_of(value);
    return kind == JSON_KIND_ARRAY || kind == JSON_KIND_OBJECT;
}

/* JSON_DEPTH_MAX bounds the recursion. */
static void walk(struct slice value)
{
    struct slice rest = value, name, part;
    const bool object = json_kind_of(value) == JSON_KIND_OBJECT;
    const char *last = value.data;
    while (object ? json_next_member(&rest, &name, &part) : json_next_element(&rest, &part)) {
        require(part.len > 0 && part.data > last && json_check(part, NULL));
        require(slice_equal(part, json_trim(part)));
        require(part.data + part.len == rest.data);
        if (object)
            require(json_check(slice_of(name.data - 1, name.len + 2), NULL));
        last = part.data;
        if (is_container(part))
            walk(part);
    }
    require(rest.len > 0 && *rest.data == (object ? '}' : ']'));
    rest = slice_of(rest.data + 1, rest.len - 1);
    require(json_trim(rest).len == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_of(data, size);
    struct json_error error = {SIZE_MAX, NULL};
    bool good = json_check(text, &error);
    require(good || (error.offset <= size && error.what));
    require(good || !json_check_message(text, NULL));
    if (good && is_container(text))
        walk(text);
    return 0;
}
