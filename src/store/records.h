/* The records of the crash-safe store: their keys, their checksums, their contents.
 *
 *   "\1info"                           schema, cluster ID
 *   "\1state"                          when the store last lived, the relay's totals
 *   address NUL                        a session
 *   address NUL id (u64) part (u16)    a part of a message's body; big-endian, so that keys sort
 *
 * A session's record comes right before its messages. Every value starts with a checksum over key
 * and value, because LMDB has none. Bodies are cut into parts that fit into LMDB's own pages, so
 * that the store never needs a run of free pages for one. */
#ifndef MSGSERVER_STORE_RECORDS_H
#define MSGSERVER_STORE_RECORDS_H

#include "base/buffer.h"
#include "codecs/session_key.h"

enum {
    STORE_SCHEMA = 1,
    RECORD_SUM_BYTES = 8,
    RECORD_KEY_MAX = ADDRESS_MAX + 1 + 8 + 2,
    /* Two of them and their keys fill a page of 4096 bytes. */
    PART_BYTES_MAX = 1536,
};

enum record_kind { RECORD_INFO, RECORD_STATE, RECORD_SESSION, RECORD_PART, RECORD_BROKEN };

struct record_key {
    enum record_kind kind;
    struct slice address; /* of a session or a part */
    uint64_t id;          /* of a part, as `part` */
    uint16_t part;
};

/* Writes the key into `text` and returns it. */
struct slice record_key_write(const struct record_key *key, char text[RECORD_KEY_MAX]);
/* RECORD_BROKEN for what this schema does not have. */
struct record_key record_key_read(struct slice key);

/* Over the key and what follows the checksum in the value. Finds every change within 8 bytes. */
uint64_t record_sum(struct slice key, struct slice contents);
/* Checks the checksum and takes it off. */
bool record_open(struct slice key, struct slice value, struct slice *contents);

struct session_record {
    uint64_t ttl_ms;
    uint64_t created_ms; /* wall clock */
    uint64_t confirmed;  /* every ID up to this one */
    struct slice home;
};
/* The contents of an info, state or session record, after room for the checksum. `out` is emptied
 * first. Return 0, or -1 with errno ENOMEM. */
int info_record_write(struct buffer *out, struct slice cluster_id);
int state_record_write(struct buffer *out, uint64_t alive_ms, struct slice totals);
int session_record_write(struct buffer *out, const struct session_record *record);
/* Return 0, or -1 with errno EPROTO. */
int info_record_read(struct slice contents, uint32_t *schema, struct slice *cluster_id);
int state_record_read(struct slice contents, uint64_t *alive_ms, struct slice *totals);
int session_record_read(struct slice contents, struct session_record *record);

/* A part's contents: whether another one follows (u8), and bytes of the body. */
enum { PART_HEADER_BYTES = 1 };

#endif
