/* One client's or backend's connection: its socket, its state, and what waits to be sent.
 *
 * Memory is held for what is in flight only. Output is gathered in `out` and sent at the end of a
 * loop round, so that what comes together leaves in one write. A connection that was closed lives
 * until the end of the round, so that whoever closed it may still return through functions that
 * hold it. */
#ifndef MSGSERVER_CLIENT_CONNECTION_H
#define MSGSERVER_CLIENT_CONNECTION_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "codecs/data_frames.h"
#include "codecs/websocket.h"
#include "workers/client/client_worker.h"
#include "workers/client/deadlines.h"

struct connection;
struct exchange;
struct pending_request;
struct receipt_reader;

enum connection_state {
    CONNECTION_HEAD,      /* a request head is awaited or arriving */
    CONNECTION_BODY,      /* a request's body is arriving */
    CONNECTION_WAITING,   /* a request's answer is to come */
    CONNECTION_STREAMING, /* a WebSocket or event stream is open */
    CONNECTION_CLOSING,   /* our close frame is sent, the client's is awaited */
    CONNECTION_DRAINING,  /* the last bytes are leaving */
    CONNECTION_LINGERING, /* they left: what still arrives is read, or it would reset them */
    CONNECTION_CLOSED,    /* to be freed at the end of the round */
    CONNECTION_STATES
};

enum connection_event {
    CONNECTION_INPUT, /* bytes, in writable memory */
    CONNECTION_EOF,   /* the client sends no more */
    CONNECTION_SENT,  /* the socket took bytes: HEAD any, STREAMING after it had refused some */
    CONNECTION_DEADLINE,
    CONNECTION_STOP, /* the worker stops */
    CONNECTION_GONE, /* the connection is being closed: let go of everything */
    CONNECTION_EVENTS
};

/* Whoever has the connection now: the HTTP reader, a transport, an exchange. */
typedef void (*connection_handler)(struct connection *connection, enum connection_event event,
                                   struct slice input);

struct connection {
    unsigned magic;
    uint8_t state; /* changed by connection_enter() alone */
    bool is_backend : 1;
    bool over_unix_socket : 1;
    bool is_dirty : 1;
    bool blocked : 1; /* the socket did not take all of `out` */
    bool eof : 1;
    /* of the present request */
    bool keep_alive : 1;
    bool http_1_0 : 1;
    bool head_only : 1;
    /* of a transport */
    bool long_poll : 1;
    bool head_sent : 1; /* of an event stream */
    bool pinged : 1;
    bool refused : 1; /* with `refusal`, once the deadline is over */
    uint8_t refusal;  /* an enum end_reason */
    struct ev_io io;
    struct client_worker *worker;
    struct connection *prev, *next; /* in the worker's list */
    struct connection *next_dirty;
    struct deadline deadline;
    struct buffer in; /* of a request head; while an answer is awaited: of those behind it */
    struct buffer out;
    size_t uncredited; /* messages_cost() of messages in `out` that no credit was given for */
    connection_handler handler;
    struct attachment *attachment;
    char *cors;        /* header lines for the present request's answer, or NULL */
    uint64_t key_hash; /* of the session key, for refusals */
    union {
        struct pending_request *pending; /* CONNECTION_BODY */
        struct exchange *exchange;       /* CONNECTION_WAITING, of a backend */
        struct receipt_reader *receipts; /* the same, and CONNECTION_STREAMING */
        struct websocket_decoder decoder;
        struct {
            uint32_t messages, bytes; /* sent on this event stream */
        } streamed;
    } role;
};

/* Takes the descriptor. Returns NULL with errno ENOMEM and the descriptor closed. */
struct connection *connection_new(struct client_worker *worker, const struct accepted *accepted);

/* The one place where the state changes. */
void connection_enter(struct connection *connection, enum connection_state state);
const char *connection_state_name(enum connection_state state);

/* Closes at once. The handler gets CONNECTION_GONE; memory is freed at the end of the round. */
void connection_close(struct connection *connection);
/* Sends what is in `out`, then closes in good order. */
void connection_finish(struct connection *connection);

/* Something was appended to `out` (`failed`: or could not be, for lack of memory, and the
 * connection is closed). Returns false when it is closed. */
bool connection_wrote(struct connection *connection, bool failed);
/* The same for what carries messages. */
bool connection_wrote_messages(struct connection *connection, bool failed, uint32_t count,
                               size_t body_bytes);

/* Keeps input for later: requests that come behind the present one. */
void connection_keep_input(struct connection *connection, struct slice input);
/* So many bytes wait to be sent that nothing more is read or answered. */
bool connection_is_congested(const struct connection *connection);

void connection_set_deadline(struct connection *connection, enum deadline_kind kind);
/* Lets go of the session's attachment, if there is one. */
void connection_detach(struct connection *connection);

/* For the worker: a deadline passed; the worker stops; the round ends. */
void connection_deadline_expired(struct deadline *deadline, enum deadline_kind kind);
void connection_stop(struct connection *connection);
/* Sends what waits, to FLUSHED_PER_ROUND connections at most. Returns false when others are left.
 */
bool connection_flush_dirty(struct client_worker *worker);

#endif
