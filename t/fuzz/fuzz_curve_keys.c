/* Any text is Z85 or is refused, and what is accepted is written the same; any file of allowed keys
 * is read, or has a mistake that is named. */
#include <stdint.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "codecs/curve_key.h"
#include "codecs/z85.h"

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void check_z85(struct slice text)
{
    unsigned char *bytes = malloc(text.len + 1);
    char *again = malloc(text.len + 1);
    require(bytes && again);
    long len = z85_decode(text, bytes);
    if (len >= 0) {
        require((size_t)len == text.len / 5 * 4);
        z85_encode(bytes, (size_t)len, again);
        require(slice_equals_string(text, again));
    }
    free(bytes);
    free(again);
}

struct mistakes {
    size_t count;
    unsigned last_line;
};

static void on_mistake(void *context, unsigned line, const char *why)
{
    struct mistakes *mistakes = context;
    require(*why && (line == 0 || line > mistakes->last_line));
    mistakes->last_line = line;
    mistakes->count++;
}

static bool read_keys(struct slice text, struct allowed_keys *keys)
{
    struct mistakes mistakes = {0};
    int result = allowed_keys_read(text, keys, on_mistake, &mistakes);
    require((result == 0) == (mistakes.count == 0));
    require((result == 0) == (keys->count > 0));
    return result == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_of(data, size);
    struct allowed_keys keys, again;
    struct buffer plain = {0};
    check_z85(text);
    if (!read_keys(text, &keys))
        return 0;
    for (size_t i = 0; i < keys.count; i++) {
        require(curve_key_is_valid(slice_from_string(keys.items[i].key)));
        require(buffer_printf(&plain, "%s %s\n", keys.items[i].key, keys.items[i].cluster_id) == 0);
    }
    require(read_keys(buffer_slice(&plain), &again) && again.count == keys.count);
    for (size_t i = 0; i < keys.count; i++) {
        require(strcmp(keys.items[i].key, again.items[i].key) == 0);
        require(strcmp(keys.items[i].cluster_id, again.items[i].cluster_id) == 0);
    }
    allowed_keys_free(&keys);
    allowed_keys_free(&again);
    buffer_free(&plain);
    return 0;
}
