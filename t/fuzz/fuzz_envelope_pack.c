/* The input is a pack of envelopes. What can be taken off it stays within it, and what of that is
 * an envelope is packed again and taken off again: the same. */
#include <stdint.h>
#include <stdlib.h>

#include "codecs/envelope_pack.h"

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void require_within(struct slice whole, const struct frame_list *list)
{
    const char *at = whole.data;
    for (size_t i = 0; i < list->count; i++) {
        require(list->frames[i].data >= at);
        at = list->frames[i].data + list->frames[i].len;
    }
    require(at <= whole.data + whole.len);
}

static void require_equal(const struct slice *a, size_t a_count, const struct slice *b,
                          size_t b_count)
{
    require(a_count == b_count);
    for (size_t i = 0; i < a_count; i++)
        require(slice_equal(a[i], b[i]));
}

static void round_trip(const struct envelope *envelope, struct frame_list *list)
{
    struct buffer pack = {0};
    struct envelope again;
    require(envelope_pack_put(&pack, envelope, 0) == 0);
    require(buffer_len(&pack) == envelope_pack_len(envelope, 0));
    struct slice rest = buffer_slice(&pack);
    require(envelope_pack_take(&rest, list) == 1 && rest.len == 0);
    require(envelope_parse(list->frames, list->count, &again) == ENVELOPE_OK);
    require_equal(envelope->route, envelope->route_len, again.route, again.route_len);
    require_equal(envelope->messages, envelope->message_count, again.messages, again.message_count);
    require_equal(envelope->return_route, envelope->return_route_len, again.return_route,
                  again.return_route_len);
    require(envelope->flags == again.flags && envelope->type == again.type);
    buffer_free(&pack);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct frame_list list, packed_again;
    struct envelope envelope;
    struct slice whole = slice_of(data, size), rest = whole;
    while (envelope_pack_take(&rest, &list) == 1) {
        require(list.count > 0 && rest.len < whole.len);
        require_within(whole, &list);
        /* A forwarded one may have a second separator that this one has not. */
        if (list.count < ENVELOPE_FRAMES_MAX &&
            envelope_parse(list.frames, list.count, &envelope) == ENVELOPE_OK)
            round_trip(&envelope, &packed_again);
    }
    return 0;
}
