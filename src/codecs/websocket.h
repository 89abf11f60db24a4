/* WebSocket (RFC 6455), the server's side: frames in, events out; and frames to send. */
#ifndef MSGSERVER_CODECS_WEBSOCKET_H
#define MSGSERVER_CODECS_WEBSOCKET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/slice.h"

enum websocket_opcode {
    WEBSOCKET_CONTINUATION = 0,
    WEBSOCKET_TEXT = 1,
    WEBSOCKET_BINARY = 2,
    WEBSOCKET_CLOSE = 8,
    WEBSOCKET_PING = 9,
    WEBSOCKET_PONG = 10
};

/* Close codes: RFC 6455 section 7.4.1, and our own. */
enum websocket_close {
    WEBSOCKET_CLOSE_NORMAL = 1000,
    WEBSOCKET_CLOSE_GOING_AWAY = 1001,
    WEBSOCKET_CLOSE_PROTOCOL = 1002,
    WEBSOCKET_CLOSE_UNSUPPORTED = 1003,
    WEBSOCKET_CLOSE_NO_STATUS = 1005, /* never on the wire: a close frame without a code */
    WEBSOCKET_CLOSE_NOT_UTF8 = 1007,
    WEBSOCKET_CLOSE_POLICY = 1008,
    WEBSOCKET_CLOSE_TOO_BIG = 1009,
    WEBSOCKET_CLOSE_ERROR = 1011,
    WEBSOCKET_CLOSE_SUPERSEDED = 4001 /* a newer attachment took this one's place */
};

/* The state of one connection's incoming side. All-zero is the start. Holds memory only while a
 * message or a control frame is incomplete. */
struct websocket_decoder {
    struct websocket_partial *partial;
};

enum websocket_event_type {
    WEBSOCKET_EVENT_NONE,   /* needs more bytes */
    WEBSOCKET_EVENT_TEXT,   /* a whole message, valid UTF-8 */
    WEBSOCKET_EVENT_BINARY, /* the first frame of a binary message: only its kind is reported */
    WEBSOCKET_EVENT_PING,
    WEBSOCKET_EVENT_PONG,
    WEBSOCKET_EVENT_CLOSE,
    WEBSOCKET_EVENT_ERROR /* close with `code`; nothing more can be decoded */
};

struct websocket_event {
    enum websocket_event_type type;
    struct slice payload; /* TEXT, PING, PONG, and the reason of CLOSE; valid until the next call */
    uint16_t code;        /* CLOSE (1005 when it has none) and ERROR */
    const char *why;      /* ERROR: a short text for the close frame's reason */
};

/* Takes bytes from the front of `*in` (which moves on) up to the end of the next event. Unmasks in
 * place: `in` must be writable memory. `max_message` bounds a message over all its fragments. Call
 * until it returns NONE, also with an empty `*in`: that call frees the memory of a payload that
 * came in pieces. The rest of a binary message is skipped. Out of memory is an ERROR with 1011. */
void websocket_decode(struct websocket_decoder *decoder, struct slice *in, size_t max_message,
                      struct websocket_event *event);
void websocket_decoder_free(struct websocket_decoder *decoder);

/* Appends the header of an unmasked, final frame whose payload of `len` bytes follows. Returns 0,
 * or -1 with errno ENOMEM. */
int websocket_put_header(struct buffer *out, enum websocket_opcode opcode, uint64_t len);
/* Appends a whole close frame; `reason` is cut at 123 bytes. 1005 sends no code. */
int websocket_put_close(struct buffer *out, uint16_t code, const char *reason);

/* Sec-WebSocket-Accept for a key. False when `key` is not base64 of 16 bytes. */
enum { WEBSOCKET_ACCEPT_ROOM = 29 };
bool websocket_accept(struct slice key, char accept[WEBSOCKET_ACCEPT_ROOM]);

#endif
