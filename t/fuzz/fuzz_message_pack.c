/* The first byte chooses: a run of messages made from the input (or the input as a run), of which
 * pack and event stream must be JSON when the bodies are; or a list of IDs. */
#include <stdint.h>
#include <stdlib.h>

#include "codecs/json_text.h"
#include "codecs/message_pack.h"

static void require(bool condition)
{
    if (!condition)
        abort();
}

/* The input cut at each byte 0xff: one message each. Returns whether all are messages. */
static bool make_run(struct slice input, struct buffer *run)
{
    bool sound = true;
    for (uint64_t id = 9; input.len > 0; id++) {
        const char *cut = memchr(input.data, 0xff, input.len);
        struct slice body = slice_of(input.data, cut ? (size_t)(cut - input.data) : input.len);
        require(put_message(run, id, body) == 0);
        sound = sound && json_check_message(body, NULL);
        const size_t taken = body.len + (cut ? 1 : 0);
        input = slice_of(input.data + taken, input.len - taken);
    }
    return sound;
}

static void check_pack(struct slice run, bool sound)
{
    struct buffer out = {0};
    if (message_pack_put(&out, run) == 0) {
        require(buffer_len(&out) == message_pack_len(run));
        require(!sound || json_check(buffer_slice(&out), NULL));
    } else {
        require(buffer_len(&out) == 0 && !sound);
    }
    buffer_free(&out);
}

/* Reads an event stream as a browser does, and requires that each event's data is JSON. */
static void read_events(struct slice stream)
{
    struct buffer data = {0};
    while (stream.len > 0) {
        const char *end = memchr(stream.data, '\n', stream.len);
        require(end && !memchr(stream.data, '\r', (size_t)(end - stream.data)));
        struct slice line = slice_of(stream.data, (size_t)(end - stream.data));
        if (slice_starts_with(line, "data: ")) {
            require(buffer_append(&data, line.data + 6, line.len - 6) == 0);
            require(buffer_append(&data, "\n", 1) == 0);
        } else if (line.len == 0) {
            require(json_check(buffer_slice(&data), NULL));
            buffer_free(&data);
        } else {
            require(slice_starts_with(line, "id: "));
        }
        stream = slice_of(end + 1, stream.len - line.len - 1);
    }
    require(buffer_len(&data) == 0);
}

static void check_events(struct slice run, bool sound)
{
    struct buffer out = {0};
    if (event_stream_put(&out, run) != 0)
        require(buffer_len(&out) == 0 && !sound);
    else if (sound)
        read_events(buffer_slice(&out));
    buffer_free(&out);
}

static void check_ids(struct slice text)
{
    enum { ROOM = 8 };
    uint64_t ids[ROOM];
    long count = id_list_parse(text, ids, ROOM);
    require(count >= -1 && count <= ROOM);
    for (long i = 0; i < count; i++)
        require(ids[i] != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct slice input = slice_of(data + 1, size - 1);
    struct buffer run = {0};
    switch (data[0]) {
    case 'i':
        check_ids(input);
        break;
    case 'r':
        check_pack(input, false);
        check_events(input, false);
        break;
    default: {
        bool sound = make_run(input, &run);
        check_pack(buffer_slice(&run), sound);
        check_events(buffer_slice(&run), sound);
    }
    }
    buffer_free(&run);
    return 0;
}
