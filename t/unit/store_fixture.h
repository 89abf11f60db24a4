/* A crash-safe store in a directory of its own, what it holds as text, and random changes of it
 * that a model follows. */
#ifndef MSGSERVER_UNIT_STORE_FIXTURE_H
#define MSGSERVER_UNIT_STORE_FIXTURE_H

#include "base/buffer.h"
#include "codecs/session_key.h"
#include "codecs/settings.h"
#include "store/store.h"
#include "unit.h"

#define HOST SLICE_LITERAL("host-a:1")

extern char fixture_directory[64], fixture_file[128], fixture_why[512];
extern struct settings fixture_settings;
extern struct store *fixture_store;

void fixture_prepare(void);
void fixture_finish(void);
/* Returns how many of the store's files begin with `prefix`, and removes them when `away`. */
int fixture_files(const char *prefix, bool away);

/* For what also runs in a process that is killed: an assertion of check would write to the file
 * that the test shares with it, and a kill in between would leave that file broken. */
void must(bool good);

/* Opens the store and reads it into `fixture_found` and what follows; or just closes it. */
void open_store_as(struct slice host);
void open_store(void);
void close_store(void);
extern struct buffer fixture_found;
extern uint64_t fixture_totals; /* what commit() was last given */

void commit(uint64_t totals);

/* Lines of the text that open_store() makes. */
void print_broadcast(struct buffer *out, uint64_t number, const struct stored_message *message);
void print_session(struct buffer *out, const struct stored_session *session);
void print_message(struct buffer *out, const struct stored_message *message);
void print_key(struct buffer *out, const struct stored_key *key);
void print_receipt(struct buffer *out, const struct stored_receipt *receipt);

uint64_t scatter(uint64_t x);

/* --- random changes --- */

enum { MODEL_SESSIONS = 6, MODEL_WAITING = 40, MODEL_KEYS = 5, MODEL_BROADCASTS = 64 };

struct model_session {
    bool exists, has_home;
    uint64_t number, last_id;
    struct stored_counts counts;
    uint64_t seeds[MODEL_WAITING]; /* of the message with ID n at n % MODEL_WAITING; 0: dropped */
    uint64_t broadcasts[MODEL_WAITING]; /* the same: which one it is, from 1 on; 0: none */
    uint64_t keys[MODEL_KEYS];          /* seeds; 0: not there */
};

struct model {
    struct model_session sessions[MODEL_SESSIONS];
    uint64_t last_number;
    uint64_t
        broadcasts[MODEL_BROADCASTS]; /* that some wait for: number n at n % MODEL_BROADCASTS */
    uint64_t last_broadcast;
    uint64_t receipts_gone, receipts_last;
};

/* Change `number` of the model, and of the store as well when `real`. */
void operate(struct model *model, uint64_t number, bool real);
/* That the store, as it was last opened, holds what the model does. */
void expect_model(const struct model *model, uint64_t operations);

#endif
