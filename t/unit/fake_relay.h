/* The relay's end of a data channel, for tests of what runs in a client worker: it writes down, one
 * line per frame, what it is told, and says what the test has it say. */
#ifndef MSGSERVER_FAKE_RELAY_H
#define MSGSERVER_FAKE_RELAY_H

#include <ev.h>

#include "base/buffer.h"
#include "codecs/data_frames.h"
#include "io/data_channel.h"

enum { FAKE_RELAY_ATTACHMENTS = 64 };

struct fake_relay {
    struct ev_loop *loop;
    struct data_channel *channel;
    /* "attach style=0 flags=0 address=… home=… confirmed=1,2\n", "confirm 1,2\n", "detach 1\n"
     * (the n-th attachment), "credit 12\n", "request op=1 home=…\n" */
    struct buffer journal;
    uint64_t handles[FAKE_RELAY_ATTACHMENTS];
    uint64_t since[FAKE_RELAY_ATTACHMENTS];
    size_t attachments;
    size_t detached;
    size_t credit;
    uint64_t last_request;
    bool lost;
};

/* Returns the descriptor for the worker's end. */
int fake_relay_open(struct fake_relay *relay, struct ev_loop *loop);
void fake_relay_close(struct fake_relay *relay);

/* Whether `line` was written down. */
bool fake_relay_was_told(const struct fake_relay *relay, const char *line);
void fake_relay_forget(struct fake_relay *relay);

/* `index` counts attachments from 0. Bodies end with a NULL. */
void fake_relay_deliver(struct fake_relay *relay, size_t index, uint64_t first_id, ...);
void fake_relay_broadcast(struct fake_relay *relay, const char *body, size_t from, size_t count,
                          uint64_t id);
void fake_relay_end(struct fake_relay *relay, size_t index, enum end_reason reason);
void fake_relay_reply(struct fake_relay *relay, uint64_t request, uint16_t operation,
                      struct slice payload);

/* Runs the loop until `condition` holds; fails the test after ten seconds. */
#define LOOP_UNTIL(loop, condition)                                                                \
    do {                                                                                           \
        uint64_t limit_ = clock_monotonic_ms() + 10000;                                            \
        while (!(condition)) {                                                                     \
            ck_assert_msg(clock_monotonic_ms() < limit_, "never came true: %s", #condition);       \
            fake_relay_run_once(loop);                                                             \
        }                                                                                          \
    } while (0)
/* One round that waits 20 ms at most. */
void fake_relay_run_once(struct ev_loop *loop);

#endif
