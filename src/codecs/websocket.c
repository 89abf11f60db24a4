#include "codecs/websocket.h"

#include <errno.h>
#include <stdlib.h>

#include "codecs/utf8.h"

/* Like the HTTP parser, the decoder judges each byte where it stands, so that frames that come in
 * pieces give the same events and fail in the same way as frames that come whole. */

enum { HEADER_MAX = 14, CONTROL_MAX = 125, REASON_MAX = CONTROL_MAX - 2 };

enum header_bits { FIN = 0x80, RSV = 0x70, OPCODE = 0x0f, MASKED = 0x80, LENGTH = 0x7f };
enum { LENGTH_IN_2_BYTES = 126, LENGTH_IN_8_BYTES = 127 };

enum message_kind { NO_MESSAGE, TEXT_MESSAGE, BINARY_MESSAGE };

struct websocket_partial {
    unsigned char header[HEADER_MAX]; /* of the current frame, as far as it has come */
    uint8_t header_len;
    bool in_payload; /* the header is whole, the payload is not */
    bool lent;       /* the last event's payload is in this memory */
    uint8_t control_len;
    uint8_t message_kind; /* enum message_kind: begun and not yet final */
    struct utf8_state utf8;
    uint64_t payload_len;
    uint64_t payload_taken;
    uint64_t message_len;  /* announced by the message's frames so far */
    struct buffer message; /* the text so far; a binary message is not kept */
    char control[CONTROL_MAX];
};

static bool fail(struct websocket_event *event, uint16_t code, const char *why)
{
    *event = (struct websocket_event){.type = WEBSOCKET_EVENT_ERROR, .code = code, .why = why};
    return false;
}

static bool violate(struct websocket_event *event, const char *why)
{
    return fail(event, WEBSOCKET_CLOSE_PROTOCOL, why);
}

static enum websocket_opcode opcode_of(const struct websocket_partial *partial)
{
    return partial->header[0] & OPCODE;
}

static bool is_control(const struct websocket_partial *partial)
{
    return opcode_of(partial) >= WEBSOCKET_CLOSE;
}

static bool is_final(const struct websocket_partial *partial)
{
    return partial->header[0] & FIN;
}

static bool check_opcode(const struct websocket_partial *partial, struct websocket_event *event)
{
    if (partial->header[0] & RSV)
        return violate(event, "reserved bits are set");
    switch (opcode_of(partial)) {
    case WEBSOCKET_CONTINUATION:
        return partial->message_kind != NO_MESSAGE ||
               violate(event, "a continuation without a message");
    case WEBSOCKET_TEXT:
    case WEBSOCKET_BINARY:
        return partial->message_kind == NO_MESSAGE ||
               violate(event, "a new message within a message");
    case WEBSOCKET_CLOSE:
    case WEBSOCKET_PING:
    case WEBSOCKET_PONG:
        return is_final(partial) || violate(event, "a control frame in fragments");
    default:
        return violate(event, "an unknown opcode");
    }
}

static bool check_short_length(const struct websocket_partial *partial,
                               struct websocket_event *event)
{
    uint8_t len = partial->header[1] & LENGTH;
    if (!(partial->header[1] & MASKED))
        return violate(event, "a frame without a mask");
    if (is_control(partial) && len > CONTROL_MAX)
        return violate(event, "a control frame above 125 bytes");
    if (opcode_of(partial) == WEBSOCKET_CLOSE && len == 1)
        return violate(event, "a close frame of one byte");
    return true;
}

static size_t extended_length_size(const struct websocket_partial *partial)
{
    switch (partial->header[1] & LENGTH) {
    case LENGTH_IN_2_BYTES:
        return 2;
    case LENGTH_IN_8_BYTES:
        return 8;
    default:
        return 0;
    }
}

/* Reads the length when its last byte is there, and refuses a message above the limit before any
 * of its payload. */
static bool take_length(struct websocket_partial *partial, size_t max_message,
                        struct websocket_event *event)
{
    size_t extended = extended_length_size(partial);
    uint64_t len = extended ? 0 : partial->header[1] & LENGTH;
    for (size_t i = 0; i < extended; i++)
        len = len << 8 | partial->header[2 + i];
    if (len >> 63 || (extended == 2 && len < LENGTH_IN_2_BYTES) ||
        (extended == 8 && len <= UINT16_MAX))
        return violate(event, "a length in an invalid form");
    partial->payload_len = len;
    if (is_control(partial))
        return true;
    if (len > max_message || partial->message_len > max_message - len)
        return fail(event, WEBSOCKET_CLOSE_TOO_BIG, "the message is too large");
    partial->message_len += len;
    return true;
}

static void begin_payload(struct websocket_partial *partial, struct websocket_event *event)
{
    partial->in_payload = true;
    partial->header_len = 0;
    partial->payload_taken = 0;
    partial->control_len = 0;
    if (opcode_of(partial) == WEBSOCKET_TEXT)
        partial->message_kind = TEXT_MESSAGE;
    if (opcode_of(partial) == WEBSOCKET_BINARY) {
        partial->message_kind = BINARY_MESSAGE;
        event->type = WEBSOCKET_EVENT_BINARY;
    }
}

static bool take_header_byte(struct websocket_partial *partial, unsigned char byte,
                             size_t max_message, struct websocket_event *event)
{
    partial->header[partial->header_len++] = byte;
    if (partial->header_len == 1)
        return check_opcode(partial, event);
    if (partial->header_len == 2 && !check_short_length(partial, event))
        return false;
    size_t up_to_length = 2 + extended_length_size(partial);
    if (partial->header_len == up_to_length)
        return take_length(partial, max_message, event);
    if (partial->header_len == up_to_length + 4)
        begin_payload(partial, event);
    return true;
}

/* Returns true when the payload can go on; false when bytes are missing or the frame is refused. */
static bool take_header(struct websocket_partial *partial, struct slice *in, size_t max_message,
                        struct websocket_event *event)
{
    while (!partial->in_payload && in->len > 0) {
        unsigned char byte = (unsigned char)*in->data;
        *in = slice_of(in->data + 1, in->len - 1);
        if (!take_header_byte(partial, byte, max_message, event))
            return false;
    }
    return partial->in_payload;
}

/* Eight bytes at a time: at this, and not at the loop around it, a busy worker spends its time. */
static void unmask(char *bytes, size_t len, const unsigned char *mask, uint64_t phase)
{
    unsigned char turned[8];
    uint64_t word, wide;
    size_t at = 0;
    for (size_t i = 0; i < sizeof turned; i++)
        turned[i] = mask[(phase + i) % 4];
    memcpy(&wide, turned, sizeof wide);
    for (; len - at >= sizeof word; at += sizeof word) {
        memcpy(&word, bytes + at, sizeof word);
        word ^= wide;
        memcpy(bytes + at, &word, sizeof word);
    }
    for (; at < len; at++)
        bytes[at] = (char)(bytes[at] ^ turned[at % 4]);
}

/* Takes what has come of the payload, unmasked. */
static struct slice take_piece(struct websocket_partial *partial, struct slice *in)
{
    uint64_t missing = partial->payload_len - partial->payload_taken;
    size_t len = in->len < missing ? in->len : (size_t)missing;
    const unsigned char *mask = partial->header + 2 + extended_length_size(partial);
    struct slice piece = slice_of(in->data, len);
    if (len == 0)
        return piece;
    /* The caller's memory is writable by contract; slices are read-only for everybody else. */
    unmask((char *)in->data, len, mask, partial->payload_taken);
    *in = slice_of(in->data + len, in->len - len);
    partial->payload_taken += len;
    return piece;
}

/* RFC 6455 section 7.4: what a client may send. 1012 to 1014 were registered since. */
static bool is_close_code(unsigned code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

static bool finish_close(struct slice payload, struct websocket_event *event)
{
    event->type = WEBSOCKET_EVENT_CLOSE;
    event->code = WEBSOCKET_CLOSE_NO_STATUS;
    if (payload.len == 0)
        return true;
    event->code = (uint16_t)((unsigned char)payload.data[0] << 8 | (unsigned char)payload.data[1]);
    event->payload = slice_of(payload.data + 2, payload.len - 2);
    if (!is_close_code(event->code))
        return violate(event, "an invalid close code");
    if (!utf8_is_valid(event->payload))
        return fail(event, WEBSOCKET_CLOSE_NOT_UTF8, "a close reason that is not UTF-8");
    return true;
}

/* A control frame that came in pieces is put together in its own small room, so that it can stand
 * between the fragments of a message. */
static bool take_control(struct websocket_partial *partial, struct slice piece,
                         struct websocket_event *event)
{
    bool is_whole = partial->payload_taken == partial->payload_len;
    if (!is_whole || partial->control_len > 0) {
        if (piece.len > 0)
            memcpy(partial->control + partial->control_len, piece.data, piece.len);
        partial->control_len = (uint8_t)(partial->control_len + piece.len);
        piece = slice_of(partial->control, partial->control_len);
    }
    if (!is_whole)
        return false;
    partial->in_payload = false;
    partial->lent = partial->control_len > 0;
    if (opcode_of(partial) == WEBSOCKET_CLOSE)
        return finish_close(piece, event);
    event->type =
        opcode_of(partial) == WEBSOCKET_PING ? WEBSOCKET_EVENT_PING : WEBSOCKET_EVENT_PONG;
    event->payload = piece;
    return true;
}

static void end_message(struct websocket_partial *partial)
{
    partial->message_kind = NO_MESSAGE;
    partial->message_len = 0;
    partial->utf8 = (struct utf8_state){0};
}

static bool finish_text(struct websocket_partial *partial, struct slice text,
                        struct websocket_event *event)
{
    if (!utf8_complete(&partial->utf8))
        return fail(event, WEBSOCKET_CLOSE_NOT_UTF8, "a text that is not UTF-8");
    partial->lent = buffer_len(&partial->message) > 0;
    event->type = WEBSOCKET_EVENT_TEXT;
    event->payload = text;
    end_message(partial);
    return true;
}

/* A text that comes in one piece is handed out where it lies. */
static bool take_text(struct websocket_partial *partial, struct slice piece,
                      struct websocket_event *event)
{
    bool frame_ends = partial->payload_taken == partial->payload_len;
    bool text_ends = frame_ends && is_final(partial);
    if (!utf8_feed(&partial->utf8, piece))
        return fail(event, WEBSOCKET_CLOSE_NOT_UTF8, "a text that is not UTF-8");
    if (!text_ends || buffer_len(&partial->message) > 0) {
        if (buffer_append_slice(&partial->message, piece) != 0)
            return fail(event, WEBSOCKET_CLOSE_ERROR, "out of memory");
        piece = buffer_slice(&partial->message);
    }
    partial->in_payload = !frame_ends;
    return text_ends ? finish_text(partial, piece, event) : frame_ends;
}

static bool skip_binary(struct websocket_partial *partial)
{
    bool frame_ends = partial->payload_taken == partial->payload_len;
    partial->in_payload = !frame_ends;
    if (frame_ends && is_final(partial))
        end_message(partial);
    return frame_ends;
}

/* Returns true when the frame is done; false when bytes are missing or it is refused. */
static bool take_payload(struct websocket_partial *partial, struct slice *in,
                         struct websocket_event *event)
{
    struct slice piece = take_piece(partial, in);
    if (is_control(partial))
        return take_control(partial, piece, event);
    if (partial->message_kind == BINARY_MESSAGE)
        return skip_binary(partial);
    return take_text(partial, piece, event);
}

static void decode_frames(struct websocket_partial *partial, struct slice *in, size_t max_message,
                          struct websocket_event *event)
{
    bool goes_on = true;
    while (goes_on && event->type == WEBSOCKET_EVENT_NONE) {
        goes_on = partial->in_payload ? take_payload(partial, in, event)
                                      : take_header(partial, in, max_message, event);
    }
}

static bool is_idle(const struct websocket_partial *partial)
{
    return partial->header_len == 0 && !partial->in_payload && !partial->lent &&
           partial->message_kind == NO_MESSAGE;
}

/* Puts what is incomplete where the next call finds it. */
static void keep(struct websocket_decoder *decoder, struct websocket_partial *partial,
                 struct websocket_event *event)
{
    if (decoder->partial)
        return;
    decoder->partial = malloc(sizeof *partial);
    if (decoder->partial) {
        *decoder->partial = *partial;
        return;
    }
    buffer_free(&partial->message);
    fail(event, WEBSOCKET_CLOSE_ERROR, "out of memory");
}

void websocket_decode(struct websocket_decoder *decoder, struct slice *in, size_t max_message,
                      struct websocket_event *event)
{
    struct websocket_partial fresh = {0};
    struct websocket_partial *partial = decoder->partial ? decoder->partial : &fresh;
    *event = (struct websocket_event){.type = WEBSOCKET_EVENT_NONE};
    if (partial->lent) {
        partial->lent = false;
        if (partial->message_kind == NO_MESSAGE)
            buffer_free(&partial->message);
    }
    decode_frames(partial, in, max_message, event);
    if (event->type != WEBSOCKET_EVENT_ERROR && !is_idle(partial)) {
        keep(decoder, partial, event);
        return;
    }
    buffer_free(&partial->message);
    free(decoder->partial);
    decoder->partial = NULL;
}

void websocket_decoder_free(struct websocket_decoder *decoder)
{
    if (decoder->partial)
        buffer_free(&decoder->partial->message);
    free(decoder->partial);
    decoder->partial = NULL;
}

int websocket_put_header(struct buffer *out, enum websocket_opcode opcode, uint64_t len)
{
    unsigned char header[2 + 8] = {FIN | opcode};
    size_t extended = len < LENGTH_IN_2_BYTES ? 0 : len <= UINT16_MAX ? 2 : 8;
    header[1] = extended == 0   ? (unsigned char)len
                : extended == 2 ? LENGTH_IN_2_BYTES
                                : LENGTH_IN_8_BYTES;
    for (size_t i = 0; i < extended; i++)
        header[2 + i] = (unsigned char)(len >> (8 * (extended - 1 - i)));
    return buffer_append(out, header, 2 + extended);
}

/* The longest part of the reason that fits and does not end within a character. */
static size_t reason_len(const char *reason)
{
    size_t len = strlen(reason);
    if (len <= REASON_MAX)
        return len;
    len = REASON_MAX;
    while (len > 0 && ((unsigned char)reason[len] & 0xc0) == 0x80)
        len--;
    return len;
}

int websocket_put_close(struct buffer *out, uint16_t code, const char *reason)
{
    unsigned char frame[2 + CONTROL_MAX] = {FIN | WEBSOCKET_CLOSE};
    if (code == WEBSOCKET_CLOSE_NO_STATUS)
        return buffer_append(out, frame, 2);
    size_t len = reason ? reason_len(reason) : 0;
    frame[1] = (unsigned char)(2 + len);
    frame[2] = (unsigned char)(code >> 8);
    frame[3] = (unsigned char)code;
    if (len > 0)
        memcpy(frame + 4, reason, len);
    return buffer_append(out, frame, 4 + len);
}
