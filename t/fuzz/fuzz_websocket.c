/* Frames that come in pieces give the same events as frames that come whole. The first byte seeds
 * where they are split, the second one limits the message. */
#include <stdint.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "codecs/utf8.h"
#include "codecs/websocket.h"

static uint32_t split_state;

static size_t split_below(size_t bound)
{
    split_state = split_state * 1664525u + 1013904223u;
    return (split_state >> 8) % bound;
}

static void check_event(const struct websocket_event *event, size_t max_message)
{
    bool is_text = event->type == WEBSOCKET_EVENT_TEXT;
    if (event->payload.len > (is_text ? max_message : 125))
        abort();
    if ((is_text || event->type == WEBSOCKET_EVENT_CLOSE) && !utf8_is_valid(event->payload))
        abort();
    if (event->type == WEBSOCKET_EVENT_ERROR && (!event->why || event->code < 1002))
        abort();
}

static void write_down(struct buffer *log, const struct websocket_event *event)
{
    if (buffer_printf(log, "%d %u %zu ", event->type, event->code, event->payload.len) != 0 ||
        buffer_append_slice(log, event->payload) != 0)
        abort();
}

/* Decodes a copy of one piece; false after an error. */
static bool feed(struct websocket_decoder *decoder, struct slice bytes, size_t max_message,
                 struct buffer *log)
{
    char *copy = malloc(bytes.len);
    memcpy(copy, bytes.data, bytes.len);
    struct slice in = slice_of(copy, bytes.len);
    struct websocket_event event;
    do {
        websocket_decode(decoder, &in, max_message, &event);
        check_event(&event, max_message);
        if (event.type != WEBSOCKET_EVENT_NONE)
            write_down(log, &event);
    } while (event.type != WEBSOCKET_EVENT_NONE && event.type != WEBSOCKET_EVENT_ERROR);
    if (event.type == WEBSOCKET_EVENT_ERROR ? decoder->partial != NULL : in.len > 0)
        abort();
    free(copy);
    return event.type != WEBSOCKET_EVENT_ERROR;
}

/* In pieces of at most `piece` bytes (0: of random length). */
static struct buffer decode_all(struct slice bytes, size_t piece, size_t max_message)
{
    struct websocket_decoder decoder = {0};
    struct buffer log = {0};
    bool goes_on = true;
    while (goes_on && bytes.len > 0) {
        size_t len = piece ? piece : 1 + split_below(bytes.len);
        len = len < bytes.len ? len : bytes.len;
        goes_on = feed(&decoder, slice_of(bytes.data, len), max_message, &log);
        bytes = slice_of(bytes.data + len, bytes.len - len);
    }
    websocket_decoder_free(&decoder);
    return log;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    split_state = data[0];
    size_t max_message = (size_t)data[1] * 16;
    struct slice bytes = slice_of(data + 2, size - 2);
    struct buffer whole = decode_all(bytes, bytes.len, max_message);
    for (size_t piece = 0; piece < 2; piece++) {
        struct buffer split = decode_all(bytes, piece, max_message);
        if (!slice_equal(buffer_slice(&split), buffer_slice(&whole)))
            abort();
        buffer_free(&split);
    }
    buffer_free(&whole);
    return 0;
}
