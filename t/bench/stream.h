/* A client: one WebSocket, which confirms what it receives. */
#ifndef MSGSERVER_BENCH_STREAM_H
#define MSGSERVER_BENCH_STREAM_H

#include "bench/watch.h"

struct stream {
    struct watch watch; /* first */
    struct buffer in;
    uint64_t last_id;
};

/* Connects to 127.0.0.1. */
void stream_open(struct stream *stream, uint16_t port, struct slice session_key);

/* Called for each message, in order, with the time when it was due. */
extern void (*stream_received)(uint64_t due_us);

#endif
