/* A relay with a fake mesh, and client workers on the other end of real data channels. */
#ifndef MSGSERVER_RELAY_FIXTURE_H
#define MSGSERVER_RELAY_FIXTURE_H

#include "codecs/requests.h"
#include "fake_mesh.h"
#include "io/data_channel.h"
#include "unit.h"
#include "workers/relay/relay.h"
#include "workers/relay/worker_link.h"

struct test_relay {
    struct ev_loop *loop;
    struct settings settings;
    struct relay *relay;
};

/* The relay's side of a test; its settings may be changed between the two calls. */
void test_relay_prepare(struct test_relay *test, const char *cluster_id);
void test_relay_start(struct test_relay *test);
void test_relay_stop(struct test_relay *test);

struct test_worker {
    struct ev_loop *loop;
    struct data_channel *channel;
    uint32_t incarnation;
    /* A line per frame:
     *   "deliver 1: 1=[] 2=[["a"]]"   handles without their upper half
     *   "broadcast [["a"]]: 1=4 2=7"  handle=ID
     *   "end 1: noSession"            or superseded, stopping, failed */
    struct buffer journal;
    uint64_t last_request;
    uint16_t reply; /* operation of the last REPLY, and its payload */
    struct buffer reply_payload;
};

void test_worker_start(struct test_worker *worker, struct test_relay *test, uint32_t incarnation);
void test_worker_stop(struct test_worker *worker);

/* Lets everything happen that can happen without waiting. NULL: that worker reads nothing. */
void settle(struct test_relay *test, struct test_worker *worker);
/* Compares the journal and empties it. */
#define expect(worker, text)                                                                       \
    do {                                                                                           \
        ck_assert_slice_eq(buffer_slice(&(worker)->journal), text);                                \
        buffer_free(&(worker)->journal);                                                           \
    } while (0)

void test_attach(struct test_worker *worker, uint32_t handle, enum attachment_style style,
                 const char *address, const char *home, uint64_t confirmed);
void test_confirm(struct test_worker *worker, uint32_t handle, uint64_t id);
void test_detach(struct test_worker *worker, uint32_t handle);
void test_credit(struct test_worker *worker, uint32_t handle, uint32_t bytes);
/* For `count` messages with `body_bytes` in all. */
void test_credit_for(struct test_worker *worker, uint32_t handle, uint32_t count,
                     uint32_t body_bytes);

/* Straight into the relay. */
struct session *test_session(struct test_relay *test, const char *actor, const char *secret);
/* Delivers. Returns 0, or -1 when it was refused. */
int test_send(struct test_relay *test, const char *address, const char *body);
/* Through the worker's channel: the answer is in worker->reply… after settle(). */
void test_request(struct test_worker *worker, const char *home, uint16_t operation,
                  struct buffer *payload);
uint64_t figure(struct test_relay *test, enum metric metric);
/* accepted = confirmed + pending + dropped. */
void check_balance(struct test_relay *test);

#endif
