/* The records of the crash-safe store: their keys, their checksums, their contents.
 *
 *   "\1info"                        schema, cluster ID
 *   "\1state"                       when the store last lived, the relay's totals
 *   'b' number part (u16)           a broadcast's message, or a part of it
 *   'b' number 0xffff chunk (u32)   some of its recipients
 *   'c' number                      counts of sessions that changed
 *   'r' number                      a receipt
 *   's' number                      a session
 *   's' number id (u64) part (u16)  a message, or a part of one; IDs are below 0xff << 56
 *   's' number 0xff key             an idempotency key of the session
 *
 * Numbers are u64; all of them are big-endian, so that keys sort. A session's record comes right
 * before its messages, and these before its keys. Every value starts with a checksum over key and
 * value, because LMDB has none. Bodies are cut into parts of one page each, so that the store never
 * needs a run of free pages for one.
 *
 * A broadcast's recipients are written once, and deleted with it when nobody waits for it any more.
 * Until then some of them do not count: see store.h.
 *
 * A session's counts are those in its own record or in one of changed counts, whichever went
 * further: they never go back. */
#ifndef MSGSERVER_STORE_RECORDS_H
#define MSGSERVER_STORE_RECORDS_H

#include "codecs/session_key.h"
#include "store/store.h"

enum {
    STORE_SCHEMA = 3,
    RECORD_SUM_BYTES = 8,
    RECORD_SESSION_KEY = 1 + 8, /* bytes of its key, with which all keys of the session begin */
    RECORD_PART_KEY = RECORD_SESSION_KEY + 8 + 2,
    RECORD_BROADCAST_KEY = 1 + 8, /* with which all keys of a broadcast begin */
    RECORD_COUNTS_MAX = 84,       /* of sessions, in one record of a page */
    RECORD_KEY_MAX = RECORD_SESSION_KEY + 1 + STORED_KEY_MAX,
    RECORD_MAX = 4096, /* a value that is no part */
    /* What follows the checksum in a part. A value of more than half a page gets pages of its own
     * from LMDB: with its checksum and LMDB's header this one fills exactly one, so that no run of
     * pages is needed, and none is left half empty. */
    PART_MAX = 4096 - 16 - RECORD_SUM_BYTES,
};
#define RECORD_ID_END (UINT64_C(0xff) << 56)

struct changed_counts {
    uint64_t session;
    struct stored_counts counts;
};

enum record_kind {
    RECORD_INFO,
    RECORD_STATE,
    RECORD_BROADCAST,
    RECORD_RECIPIENTS,
    RECORD_COUNTS,
    RECORD_RECEIPT,
    RECORD_SESSION,
    RECORD_PART,
    RECORD_KEY,
    RECORD_BROKEN
};

struct record_key {
    enum record_kind kind;
    uint64_t number;  /* of the broadcast, the counts, the receipt or the session */
    uint64_t id;      /* of a message's part */
    uint16_t part;    /* of a message or a broadcast: 0, 1 … */
    uint32_t chunk;   /* of recipients: the same */
    struct slice key; /* idempotency key */
};

/* Writes the key into `text` and returns it. */
struct slice record_key_write(const struct record_key *key, char text[RECORD_KEY_MAX]);
/* RECORD_BROKEN for what this schema does not have. */
struct record_key record_key_read(struct slice key);

/* Over the key and what follows the checksum in the value. Finds every change within 8 bytes. */
uint64_t record_sum(struct slice key, struct slice contents);
/* Checks the checksum and takes it off. */
bool record_open(struct slice key, struct slice value, struct slice *contents);

/* Writes a record of that kind into `value`, after room for its checksum. Returns its length, or 0
 * with errno EMSGSIZE when it is too long. */
size_t info_record_write(char value[RECORD_MAX], struct slice cluster_id);
size_t state_record_write(char value[RECORD_MAX], uint64_t alive_ms, struct slice totals);
size_t session_record_write(char value[RECORD_MAX], const struct stored_session *session);
size_t key_record_write(char value[RECORD_MAX], const struct stored_key *key);
size_t receipt_record_write(char value[RECORD_MAX], const struct stored_receipt *receipt);
/* Up to STORED_RECIPIENTS_MAX of them. */
size_t recipients_record_write(char value[RECORD_MAX], const struct stored_recipient *recipients,
                               size_t count);
size_t counts_record_write(char value[RECORD_MAX], const struct changed_counts *changed,
                           size_t count);

/* Return 0, or -1 with errno EPROTO. What the record's key says is the caller's to fill in. */
int info_record_read(struct slice contents, uint32_t *schema, struct slice *cluster_id);
int state_record_read(struct slice contents, uint64_t *alive_ms, struct slice *totals);
int session_record_read(struct slice contents, struct stored_session *session);
int key_record_read(struct slice contents, struct stored_key *key);
int receipt_record_read(struct slice contents, struct stored_receipt *receipt);
int recipients_record_read(struct slice contents,
                           struct stored_recipient recipients[STORED_RECIPIENTS_MAX],
                           size_t *count);
int counts_record_read(struct slice contents, struct changed_counts changed[RECORD_COUNTS_MAX],
                       size_t *count);
/* Whether these are a later state of the same session's counts. */
bool counts_went_further(const struct stored_counts *counts, const struct stored_counts *than);

/* A part's contents: flags (u8); in the first one what the flags tell of the message; and bytes of
 * the body. Returns how many bytes come before those of the body. */
size_t part_header_len(const struct stored_message *message, uint16_t part);
/* Writes these. `more`: another part follows. */
void part_header_write(char *at, const struct stored_message *message, uint16_t part, bool more);
/* Fills `message` but for its ID and its body, when `part` is 0; `bytes` are the body's. Returns 0,
 * or -1. */
int part_read(struct slice contents, uint16_t part, struct stored_message *message, bool *more,
              struct slice *bytes);

#endif
