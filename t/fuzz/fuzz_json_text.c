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

static void walk_value(struct slice value);

static void walk_array(struct slice value)
{
    struct slice rest = value, part;
    const char *last = value.data;
    while (json_next_element(&rest, &part)) {
        require(part.len > 0 && part.data > last && json_check(part, NULL));
        require(slice_equal(part, json_trim(part)));
        require(part.data + part.len == rest.data);
        last = part.data;
        walk_value(part);
    }
    require(rest.len > 0 && *rest.data == ']');
    require(json_trim(slice_of(rest.data + 1, rest.len - 1)).len == 0);
}

/* Returns whether the text is an object. */
static bool walk_object(struct slice text)
{
    struct json_walk walk = json_walk_over(text);
    struct slice name, part;
    enum json_step step;
    while ((step = json_walk_name(&walk, &name)) == JSON_MEMBER) {
        bool is_message;
        if (!json_walk_value(&walk, &part, &is_message))
            return false;
        require(json_check(part, NULL) && slice_equal(part, json_trim(part)));
        require(is_message == json_check_message(part, NULL));
        require(json_check(slice_of(name.data - 1, name.len + 2), NULL));
        walk_value(part);
    }
    return step == JSON_END;
}

/* JSON_DEPTH_MAX bounds the recursion. */
static void walk_value(struct slice value)
{
    if (json_kind_of(value) == JSON_KIND_ARRAY)
        walk_array(value);
    else if (json_kind_of(value) == JSON_KIND_OBJECT)
        require(walk_object(value));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_of(data, size);
    struct json_error error = {SIZE_MAX, NULL};
    bool good = json_check(text, &error);
    require(good || (error.offset <= size && error.what));
    require(good || !json_check_message(text, NULL));
    if (good)
        walk_value(text);
    else
        require(!walk_object(text));
    return 0;
}
