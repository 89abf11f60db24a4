/* The server that is measured, and how one talks to it. */
#ifndef MSGSERVER_BENCH_TARGET_H
#define MSGSERVER_BENCH_TARGET_H

#include "base/buffer.h"
#include "bench/load/message.h"

enum transport {
    TRANSPORT_WEBSOCKET,
    TRANSPORT_SSE,
    TRANSPORT_LONG_POLLING,
    TRANSPORT_SHORT_POLLING
};

struct target {
    const struct adapter *adapter;
    uint16_t port;       /* clients connect here */
    const char *publish; /* the path of a Unix socket, or a port of 127.0.0.1 */
    uint32_t clients;
    enum transport transport;
    bool one_channel; /* peers that have channels: all clients listen to one, not each to its own */
    struct slice *session_keys; /* of msgserver */
};

/* A message to a client. */
struct order {
    uint32_t client;
    struct message message;
};

struct adapter {
    const char *name;
    bool is_http; /* publishes by HTTP requests, each answered before the next */
    bool closes;  /* ends the connection with each answer */
    bool has_ids; /* counts the messages of each client, from 1 */
    /* Make what clients need, and take it away; may be NULL. */
    void (*prepare)(struct target *target);
    void (*clear)(const struct target *target);
    /* Appends the path and query with which a client connects. */
    void (*put_path)(const struct target *target, uint32_t client, struct buffer *out);
    void (*put_broadcast)(const struct target *target, const struct message *message,
                          struct buffer *out);
    /* NULL: the server has no such thing. More than one order: NULL unless `in_bulk`. */
    bool in_bulk;
    void (*put_orders)(const struct target *target, const struct order *orders, uint32_t count,
                       struct buffer *out);
    /* Whether the answer says that all went well. `asked`: how many orders; 0 for a broadcast. */
    bool (*is_success)(const struct target *target, struct slice head, struct slice body,
                       uint32_t asked);
};

extern const struct adapter adapter_msgserver, adapter_limit, adapter_nchan, adapter_pushpin;

/* The server's publishing side, connected. */
int target_connect_publisher(const struct target *target);

/* Appends; ends the program when there is no memory. */
void put_text(struct buffer *out, const char *text);
void put_bytes(struct buffer *out, const void *bytes, size_t len);
/* Appends the head of a POST; a body of that length follows. */
void put_post(struct buffer *out, const char *path, const char *content_type, size_t length);

#endif
