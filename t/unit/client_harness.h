/* A client worker in the test's own process, with a pretended relay behind it and real sockets in
 * front of it. */
#ifndef MSGSERVER_CLIENT_HARNESS_H
#define MSGSERVER_CLIENT_HARNESS_H

#include "base/buffer.h"
#include "base/clock.h"
#include "fake_relay.h"
#include "unit.h"
#include "workers/client/client_worker.h"

struct harness {
    struct ev_loop *loop;
    struct client_worker *worker;
    struct fake_relay relay;
    unsigned short client_port, backend_port;
    bool stopped;
};

/* `settings`: pairs of key and value, ended by NULL. */
void harness_start(struct harness *harness, ...);
/* Without the relay; harness_link() brings it. */
void harness_start_alone(struct harness *harness, ...);
void harness_link(struct harness *harness);
void harness_end(struct harness *harness);
/* Sets `stopped` when the worker's last connection is gone. */
void harness_stop_worker(struct harness *harness);

struct peer {
    struct harness *harness;
    int fd;
    struct buffer got;
    bool eof; /* or reset */
};

struct peer peer_connect(struct harness *harness);
struct peer peer_connect_backend(struct harness *harness);
void peer_close(struct peer *peer);
/* Runs the loop while the socket takes no more. */
void peer_send(struct peer *peer, struct slice bytes);
void peer_say(struct peer *peer, const char *text);
/* Reads what is there. */
void peer_pump(struct peer *peer);
bool peer_got(struct peer *peer, const char *part);
void peer_forget(struct peer *peer);
/* Waits for `part`, or for exactly `text`; then forgets all that came. */
void peer_expect(struct peer *peer, const char *part);
void peer_expect_exactly(struct peer *peer, struct slice text);
void peer_expect_eof(struct peer *peer);

/* A client's WebSocket frame, masked. */
void peer_send_frame(struct peer *peer, int opcode, struct slice payload);
/* Handshake; `query` like "sessionKey=bob:x". */
struct peer websocket_open(struct harness *harness, const char *query);
/* Waits for a server's frame, and nothing more, of less than 64 KiB. */
void peer_expect_frame(struct peer *peer, int opcode, struct slice payload);
/* A close frame of the server. */
void peer_expect_close(struct peer *peer, unsigned code, const char *reason);

#endif
