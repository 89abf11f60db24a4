#include "store/records.h"

#include <errno.h>

#include "codecs/frame.h"

static const char INFO_KEY[] = "\1info", STATE_KEY[] = "\1state";

static char *put_big_endian(char *at, uint64_t value, size_t bytes)
{
    for (size_t i = bytes; i-- > 0; value >>= 8)
        at[i] = (char)(value & 0xff);
    return at + bytes;
}

static uint64_t get_big_endian(const char *at, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | (unsigned char)at[i];
    return value;
}

struct slice record_key_write(const struct record_key *key, char text[RECORD_KEY_MAX])
{
    if (key->kind == RECORD_INFO || key->kind == RECORD_STATE)
        return slice_from_string(key->kind == RECORD_INFO ? INFO_KEY : STATE_KEY);
    char *at = text;
    memcpy(at, key->address.data, key->address.len);
    at += key->address.len;
    *at++ = '\0';
    if (key->kind == RECORD_PART) {
        at = put_big_endian(at, key->id, 8);
        at = put_big_endian(at, key->part, 2);
    }
    return slice_of(text, (size_t)(at - text));
}

struct record_key record_key_read(struct slice key)
{
    struct record_key read = {.kind = RECORD_BROKEN};
    const char *end = key.len > 0 ? memchr(key.data, '\0', key.len) : NULL;
    if (slice_equals_string(key, INFO_KEY) || slice_equals_string(key, STATE_KEY)) {
        read.kind = slice_equals_string(key, INFO_KEY) ? RECORD_INFO : RECORD_STATE;
    } else if (end && end > key.data && end - key.data <= ADDRESS_MAX) {
        read.address = slice_of(key.data, (size_t)(end - key.data));
        size_t rest = key.len - read.address.len - 1;
        if (rest == 0) {
            read.kind = RECORD_SESSION;
        } else if (rest == 10) {
            read.kind = RECORD_PART;
            read.id = get_big_endian(end + 1, 8);
            read.part = (uint16_t)get_big_endian(end + 9, 2);
        }
    }
    return read;
}

/* Both steps can be undone, so that two inputs that differ in one word never meet. */
static uint64_t mix(uint64_t sum, uint64_t word)
{
    sum = (sum ^ word) * 0x9e3779b97f4a7c15u;
    return sum ^ sum >> 29;
}

static uint64_t mix_bytes(uint64_t sum, struct slice bytes)
{
    uint64_t word;
    for (; bytes.len >= sizeof word; bytes.data += sizeof word, bytes.len -= sizeof word) {
        memcpy(&word, bytes.data, sizeof word);
        sum = mix(sum, word);
    }
    word = 0;
    if (bytes.len > 0)
        memcpy(&word, bytes.data, bytes.len);
    return mix(sum, word);
}

uint64_t record_sum(struct slice key, struct slice contents)
{
    return mix_bytes(mix_bytes(mix(key.len, contents.len), key), contents);
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

static int begin_record(struct buffer *out)
{
    buffer_truncate(out, 0);
    return put_u64(out, 0);
}

int info_record_write(struct buffer *out, struct slice cluster_id)
{
    return begin_record(out) | put_u32(out, STORE_SCHEMA) | put_slice(out, cluster_id);
}

int state_record_write(struct buffer *out, uint64_t alive_ms, struct slice totals)
{
    return begin_record(out) | put_u64(out, alive_ms) | put_slice(out, totals);
}

int session_record_write(struct buffer *out, const struct session_record *record)
{
    return begin_record(out) | put_u64(out, record->ttl_ms) | put_u64(out, record->created_ms) |
           put_u64(out, record->confirmed) | put_slice(out, record->home);
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

int session_record_read(struct slice contents, struct session_record *record)
{
    struct frame_reader reader = reader_of(contents);
    record->ttl_ms = get_u64(&reader);
    record->created_ms = get_u64(&reader);
    record->confirmed = get_u64(&reader);
    record->home = get_slice(&reader);
    return reader_finish(&reader);
}
