#include "store/records.h"

#include <endian.h>
#include <errno.h>

#include "base/checksum.h"
#include "codecs/frame.h"

static const char INFO_KEY[] = "\1info", STATE_KEY[] = "\1state";
enum {
    BROADCAST_PREFIX = 'b',
    COUNTS_PREFIX = 'c',
    RECEIPT_PREFIX = 'r',
    SESSION_PREFIX = 's',
    MARK = 0xff,
};
static const char PREFIXES[] = {
    [RECORD_BROADCAST] = BROADCAST_PREFIX, [RECORD_RECIPIENTS] = BROADCAST_PREFIX,
    [RECORD_COUNTS] = COUNTS_PREFIX,       [RECORD_RECEIPT] = RECEIPT_PREFIX,
    [RECORD_SESSION] = SESSION_PREFIX,     [RECORD_PART] = SESSION_PREFIX,
    [RECORD_KEY] = SESSION_PREFIX,
};

/* --- keys ------------------------------------------------------------------------------------- */

static char *put_big_endian(char *at, uint64_t value)
{
    value = htobe64(value);
    memcpy(at, &value, sizeof value);
    return at + sizeof value;
}

static uint64_t get_big_endian(const char *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return be64toh(value);
}

static char *put_part_number(char *at, uint16_t part)
{
    part = htobe16(part);
    memcpy(at, &part, sizeof part);
    return at + sizeof part;
}

static uint16_t get_part_number(const char *at)
{
    uint16_t part;
    memcpy(&part, at, sizeof part);
    return be16toh(part);
}

struct slice record_key_write(const struct record_key *key, char text[RECORD_KEY_MAX])
{
    if (key->kind == RECORD_INFO || key->kind == RECORD_STATE)
        return slice_from_string(key->kind == RECORD_INFO ? INFO_KEY : STATE_KEY);
    char *at = text;
    *at++ = PREFIXES[key->kind];
    at = put_big_endian(at, key->number);
    if (key->kind == RECORD_PART) {
        at = put_part_number(put_big_endian(at, key->id), key->part);
    } else if (key->kind == RECORD_BROADCAST) {
        at = put_part_number(at, key->part);
    } else if (key->kind == RECORD_RECIPIENTS) {
        uint32_t chunk = htobe32(key->chunk);
        *at++ = (char)MARK;
        *at++ = (char)MARK;
        memcpy(at, &chunk, sizeof chunk);
        at += sizeof chunk;
    } else if (key->kind == RECORD_KEY) {
        *at++ = (char)MARK;
        memcpy(at, key->key.data, key->key.len);
        at += key->key.len;
    }
    return slice_of(text, (size_t)(at - text));
}

static void read_broadcast_key(struct record_key *read, struct slice rest)
{
    if (rest.len == sizeof read->part) {
        read->kind = RECORD_BROADCAST;
        read->part = get_part_number(rest.data);
    } else if (rest.len == sizeof read->part + sizeof read->chunk &&
               get_part_number(rest.data) == UINT16_MAX) {
        read->kind = RECORD_RECIPIENTS;
        memcpy(&read->chunk, rest.data + sizeof read->part, sizeof read->chunk);
        read->chunk = be32toh(read->chunk);
    }
}

static void read_session_key(struct record_key *read, struct slice rest)
{
    if (rest.len == 0) {
        read->kind = RECORD_SESSION;
    } else if ((unsigned char)*rest.data == MARK) {
        read->key = slice_of(rest.data + 1, rest.len - 1);
        if (read->key.len >= 1 && read->key.len <= STORED_KEY_MAX)
            read->kind = RECORD_KEY;
    } else if (rest.len == RECORD_PART_KEY - RECORD_SESSION_KEY) {
        read->kind = RECORD_PART;
        read->id = get_big_endian(rest.data);
        read->part = get_part_number(rest.data + sizeof read->id);
    }
}

struct record_key record_key_read(struct slice key)
{
    struct record_key read = {.kind = RECORD_BROKEN};
    if (slice_equals_string(key, INFO_KEY) || slice_equals_string(key, STATE_KEY)) {
        read.kind = slice_equals_string(key, INFO_KEY) ? RECORD_INFO : RECORD_STATE;
        return read;
    }
    if (key.len < RECORD_SESSION_KEY)
        return read;
    struct slice rest = slice_of(key.data + RECORD_SESSION_KEY, key.len - RECORD_SESSION_KEY);
    read.number = get_big_endian(key.data + 1);
    if (*key.data == BROADCAST_PREFIX)
        read_broadcast_key(&read, rest);
    else if (*key.data == COUNTS_PREFIX && rest.len == 0)
        read.kind = RECORD_COUNTS;
    else if (*key.data == RECEIPT_PREFIX && rest.len == 0)
        read.kind = RECORD_RECEIPT;
    else if (*key.data == SESSION_PREFIX)
        read_session_key(&read, rest);
    return read;
}

/* --- checksums -------------------------------------------------------------------------------- */

uint64_t record_sum(struct slice key, struct slice contents)
{
    return checksum(checksum(0, key), contents);
}

bool record_open(struct slice key, struct slice value, struct slice *contents)
{
    uint64_t sum;
    if (value.len < RECORD_SUM_BYTES)
        return false;
    memcpy(&sum, value.data, sizeof sum);
    *contents = slice_of(value.data + RECORD_SUM_BYTES, value.len - RECORD_SUM_BYTES);
    return sum == record_sum(key, *contents);
}

/* --- contents --------------------------------------------------------------------------------- */

/* Writes what a frame_reader reads, but without a buffer: this is done for every change. */
struct pen {
    char *at;
    size_t left;
    bool full;
};

static struct pen begin_record(char value[RECORD_MAX])
{
    return (struct pen){value + RECORD_SUM_BYTES, RECORD_MAX - RECORD_SUM_BYTES, false};
}

static size_t end_record(const struct pen *pen, const char value[RECORD_MAX])
{
    if (!pen->full)
        return (size_t)(pen->at - value);
    errno = EMSGSIZE;
    return 0;
}

static void write_bytes(struct pen *pen, const void *bytes, size_t len)
{
    if (len > pen->left) {
        pen->full = true;
    } else if (len > 0) {
        memcpy(pen->at, bytes, len);
        pen->at += len;
        pen->left -= len;
    }
}

static void write_u32(struct pen *pen, uint32_t value)
{
    value = htole32(value);
    write_bytes(pen, &value, sizeof value);
}

static void write_u64(struct pen *pen, uint64_t value)
{
    value = htole64(value);
    write_bytes(pen, &value, sizeof value);
}

static void write_slice(struct pen *pen, struct slice bytes)
{
    write_u32(pen, (uint32_t)bytes.len);
    write_bytes(pen, bytes.data, bytes.len);
}

size_t info_record_write(char value[RECORD_MAX], struct slice cluster_id)
{
    struct pen pen = begin_record(value);
    write_u32(&pen, STORE_SCHEMA);
    write_slice(&pen, cluster_id);
    return end_record(&pen, value);
}

size_t state_record_write(char value[RECORD_MAX], uint64_t alive_ms, struct slice totals)
{
    struct pen pen = begin_record(value);
    write_u64(&pen, alive_ms);
    write_slice(&pen, totals);
    return end_record(&pen, value);
}

static void write_counts(struct pen *pen, const struct stored_counts *counts)
{
    write_u64(pen, counts->confirmed);
    write_u64(pen, counts->gap);
    write_u64(pen, counts->dropped);
    write_u64(pen, counts->replaced);
    write_u64(pen, counts->overflowed);
}

/* Of a fixed length for a session, so that a change of its counts moves nothing in its page. */
size_t session_record_write(char value[RECORD_MAX], const struct stored_session *session)
{
    struct pen pen = begin_record(value);
    write_u64(&pen, session->ttl_ms);
    write_u64(&pen, session->created_ms);
    write_counts(&pen, &session->counts);
    write_slice(&pen, session->address);
    write_slice(&pen, session->home);
    return end_record(&pen, value);
}

size_t key_record_write(char value[RECORD_MAX], const struct stored_key *key)
{
    struct pen pen = begin_record(value);
    write_u64(&pen, key->used_ms);
    write_u64(&pen, key->first_id);
    write_u32(&pen, key->count);
    write_u64(&pen, key->digest);
    return end_record(&pen, value);
}

size_t receipt_record_write(char value[RECORD_MAX], const struct stored_receipt *receipt)
{
    struct pen pen = begin_record(value);
    write_slice(&pen, receipt->contents);
    return end_record(&pen, value);
}

size_t recipients_record_write(char value[RECORD_MAX], const struct stored_recipient *recipients,
                               size_t count)
{
    struct pen pen = begin_record(value);
    for (size_t i = 0; i < count; i++) {
        write_u64(&pen, recipients[i].session);
        write_u64(&pen, recipients[i].id);
    }
    return end_record(&pen, value);
}

size_t counts_record_write(char value[RECORD_MAX], const struct changed_counts *changed,
                           size_t count)
{
    struct pen pen = begin_record(value);
    for (size_t i = 0; i < count; i++) {
        write_u64(&pen, changed[i].session);
        write_counts(&pen, &changed[i].counts);
    }
    return end_record(&pen, value);
}

int info_record_read(struct slice contents, uint32_t *schema, struct slice *cluster_id)
{
    struct frame_reader reader = reader_of(contents);
    *schema = get_u32(&reader);
    *cluster_id = get_slice(&reader);
    return reader_finish(&reader);
}

int state_record_read(struct slice contents, uint64_t *alive_ms, struct slice *totals)
{
    struct frame_reader reader = reader_of(contents);
    *alive_ms = get_u64(&reader);
    *totals = get_slice(&reader);
    return reader_finish(&reader);
}

static struct stored_counts read_counts(struct frame_reader *reader)
{
    struct stored_counts counts;
    counts.confirmed = get_u64(reader);
    counts.gap = get_u64(reader);
    counts.dropped = get_u64(reader);
    counts.replaced = get_u64(reader);
    counts.overflowed = get_u64(reader);
    return counts;
}

int session_record_read(struct slice contents, struct stored_session *session)
{
    struct frame_reader reader = reader_of(contents);
    session->ttl_ms = get_u64(&reader);
    session->created_ms = get_u64(&reader);
    session->counts = read_counts(&reader);
    session->address = get_slice(&reader);
    session->home = get_slice(&reader);
    return reader_finish(&reader);
}

int key_record_read(struct slice contents, struct stored_key *key)
{
    struct frame_reader reader = reader_of(contents);
    key->used_ms = get_u64(&reader);
    key->first_id = get_u64(&reader);
    key->count = get_u32(&reader);
    key->digest = get_u64(&reader);
    return reader_finish(&reader);
}

int receipt_record_read(struct slice contents, struct stored_receipt *receipt)
{
    struct frame_reader reader = reader_of(contents);
    receipt->contents = get_slice(&reader);
    return reader_finish(&reader);
}

int recipients_record_read(struct slice contents,
                           struct stored_recipient recipients[STORED_RECIPIENTS_MAX], size_t *count)
{
    struct frame_reader reader = reader_of(contents);
    for (*count = 0; *count < STORED_RECIPIENTS_MAX && reader_left(&reader) > 0; ++*count) {
        recipients[*count].session = get_u64(&reader);
        recipients[*count].id = get_u64(&reader);
    }
    return reader_finish(&reader);
}

int counts_record_read(struct slice contents, struct changed_counts changed[RECORD_COUNTS_MAX],
                       size_t *count)
{
    struct frame_reader reader = reader_of(contents);
    for (*count = 0; *count < RECORD_COUNTS_MAX && reader_left(&reader) > 0; ++*count) {
        changed[*count].session = get_u64(&reader);
        changed[*count].counts = read_counts(&reader);
    }
    return reader_finish(&reader);
}

bool counts_went_further(const struct stored_counts *counts, const struct stored_counts *than)
{
    return counts->confirmed > than->confirmed ||
           counts->confirmed + counts->gap > than->confirmed + than->gap ||
           counts->dropped > than->dropped || counts->replaced > than->replaced ||
           counts->overflowed > than->overflowed;
}

/* --- parts ------------------------------------------------------------------------------------ */

enum {
    PART_MORE = 0x01,
    PART_DROPPED = 0x02,
    PART_EXPIRES = 0x04,
    PART_REPLACE_KEY = 0x08,
    PART_RECEIPT = 0x10,
    PART_FLAGS = 0x1f,
};

size_t part_header_len(const struct stored_message *message, uint16_t part)
{
    if (part > 0 || message->dropped)
        return 1;
    return 1 + sizeof message->made_ms + (message->expires_ms ? sizeof message->expires_ms : 0) +
           (message->replace_key.len ? 1 + message->replace_key.len : 0) +
           (message->receipt.len ? 1 + message->receipt.len : 0);
}

static char *put_short(char *at, struct slice text)
{
    *at++ = (char)text.len;
    memcpy(at, text.data, text.len);
    return at + text.len;
}

void part_header_write(char *at, const struct stored_message *message, uint16_t part, bool more)
{
    char *flags = at++;
    *flags = more ? PART_MORE : 0;
    if (message->dropped)
        *flags |= PART_DROPPED;
    if (part > 0 || message->dropped)
        return;
    at = put_big_endian(at, message->made_ms);
    if (message->expires_ms) {
        *flags |= PART_EXPIRES;
        at = put_big_endian(at, message->expires_ms);
    }
    if (message->replace_key.len) {
        *flags |= PART_REPLACE_KEY;
        at = put_short(at, message->replace_key);
    }
    if (message->receipt.len) {
        *flags |= PART_RECEIPT;
        put_short(at, message->receipt);
    }
}

static int take_u64(struct slice *bytes, uint64_t *value)
{
    if (bytes->len < sizeof *value)
        return -1;
    *value = get_big_endian(bytes->data);
    *bytes = slice_of(bytes->data + sizeof *value, bytes->len - sizeof *value);
    return 0;
}

static int take_short(struct slice *bytes, struct slice *text)
{
    size_t len = bytes->len > 0 ? (unsigned char)*bytes->data : 0;
    if (len == 0 || len > STORED_KEY_MAX || len > bytes->len - 1)
        return -1;
    *text = slice_of(bytes->data + 1, len);
    *bytes = slice_of(bytes->data + 1 + len, bytes->len - 1 - len);
    return 0;
}

int part_read(struct slice contents, uint16_t part, struct stored_message *message, bool *more,
              struct slice *bytes)
{
    if (contents.len == 0)
        return -1;
    unsigned flags = (unsigned char)*contents.data;
    *more = flags & PART_MORE;
    *bytes = slice_of(contents.data + 1, contents.len - 1);
    if (part > 0)
        return flags & ~(unsigned)PART_MORE ? -1 : 0;
    *message = (struct stored_message){.dropped = flags & PART_DROPPED};
    if (message->dropped)
        return flags == PART_DROPPED && bytes->len == 0 ? 0 : -1;
    if ((flags & ~(unsigned)PART_FLAGS) || take_u64(bytes, &message->made_ms) != 0 ||
        ((flags & PART_EXPIRES) &&
         (take_u64(bytes, &message->expires_ms) != 0 || message->expires_ms == 0)) ||
        ((flags & PART_REPLACE_KEY) && take_short(bytes, &message->replace_key) != 0) ||
        ((flags & PART_RECEIPT) && take_short(bytes, &message->receipt) != 0))
        return -1;
    return 0;
}
