/* A backend: one connection that posts messages, one request at a time. */
#ifndef MSGSERVER_BENCH_BACKEND_H
#define MSGSERVER_BENCH_BACKEND_H

#include "bench/watch.h"

struct backend {
    struct watch watch; /* first */
    struct buffer in, out;
    uint32_t asked; /* messages of the request that waits for its answer; 0: idle */
};

void backend_open(struct backend *backend, const char *socket_path);
void backend_close(struct backend *backend);

/* Posts one message to each of the sessions: a single one as JSON, several as NDJSON. */
void backend_post(struct backend *backend, const struct slice *session_keys, uint32_t count,
                  uint64_t due_us);

#endif
