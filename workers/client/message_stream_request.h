/* What a request on a message stream route asks for: its query parameters, checked. */
#ifndef MSGSERVER_CLIENT_MESSAGE_STREAM_REQUEST_H
#define MSGSERVER_CLIENT_MESSAGE_STREAM_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codecs/http_request.h"
#include "codecs/session_key.h"

enum transport {
    TRANSPORT_MISSING,
    TRANSPORT_UNKNOWN,
    TRANSPORT_LONG_POLLING,
    TRANSPORT_SHORT_POLLING,
    TRANSPORT_WEBSOCKET,
    TRANSPORT_SSE
};

enum { CONFIRMED_MAX = 256, TRANSPORT_NAME_MAX = 64 };

struct message_stream_request {
    enum transport transport;
    char transport_name[TRANSPORT_NAME_MAX + 1]; /* as given, but cut and printable */
    bool has_key;                                /* a sessionKey that is not empty */
    bool key_is_valid;
    struct session_key key; /* when it is valid */
    uint64_t key_hash;      /* of the key as given */
    uint64_t confirmed[CONFIRMED_MAX];
    size_t confirmed_count;
};

enum message_stream_error {
    MESSAGE_STREAM_OK,
    MESSAGE_STREAM_BROKEN_ENCODING, /* %XX */
    MESSAGE_STREAM_REPEATED,        /* a parameter is given twice */
    MESSAGE_STREAM_BAD_IDS,         /* no list of message IDs */
    MESSAGE_STREAM_NO_MEMORY,
    MESSAGE_STREAM_ERRORS
};
const char *message_stream_error_text(enum message_stream_error error);

/* Reads transport, sessionKey, confirmIds and lastEventId from the query, and Last-Event-ID from
 * the header (as confirmations, all three). Other parameters are ignored. On an error the transport
 * may be set or not. */
enum message_stream_error message_stream_request_parse(const struct http_request *http,
                                                       struct message_stream_request *request);

#endif
