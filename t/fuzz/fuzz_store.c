/* The store's file as the relay finds it at start: any bytes are sound or damaged, and are only
 * looked at. And its records: what can be read is written back as the same bytes. */
#include <stdint.h>
#include <stdlib.h>

#include "store/pages.h"
#include "store/records.h"

static void must_equal(struct slice read, const char *written, size_t len)
{
    if (len > 0 && !slice_equal(read, slice_of(written + RECORD_SUM_BYTES, len - RECORD_SUM_BYTES)))
        abort();
}

static void read_part(struct slice contents, uint16_t part)
{
    struct stored_message message = {0};
    struct slice bytes;
    bool more;
    char header[PART_MAX];
    if (part_read(contents, part, &message, &more, &bytes) != 0)
        return;
    size_t len = part_header_len(&message, part);
    if (len > sizeof header || len + bytes.len != contents.len)
        abort();
    part_header_write(header, &message, part, more);
    if (memcmp(header, contents.data, len) != 0)
        abort();
}

static void read_record(const struct record_key *key, struct slice contents)
{
    char value[RECORD_MAX];
    struct stored_recipient recipients[STORED_RECIPIENTS_MAX];
    struct changed_counts changed[RECORD_COUNTS_MAX];
    size_t count;
    struct slice text;
    uint64_t alive_ms;
    uint32_t schema;
    struct stored_session session = {.number = key->number};
    struct stored_key used = {.key = key->key};
    struct stored_receipt receipt = {.number = key->number};
    switch (key->kind) {
    case RECORD_INFO:
        if (info_record_read(contents, &schema, &text) == 0 && schema == STORE_SCHEMA)
            must_equal(contents, value, info_record_write(value, text));
        break;
    case RECORD_STATE:
        if (state_record_read(contents, &alive_ms, &text) == 0)
            must_equal(contents, value, state_record_write(value, alive_ms, text));
        break;
    case RECORD_SESSION:
        if (session_record_read(contents, &session) == 0)
            must_equal(contents, value, session_record_write(value, &session));
        break;
    case RECORD_KEY:
        if (key_record_read(contents, &used) == 0)
            must_equal(contents, value, key_record_write(value, &used));
        break;
    case RECORD_RECEIPT:
        if (receipt_record_read(contents, &receipt) == 0)
            must_equal(contents, value, receipt_record_write(value, &receipt));
        break;
    case RECORD_RECIPIENTS:
        if (recipients_record_read(contents, recipients, &count) == 0)
            must_equal(contents, value, recipients_record_write(value, recipients, count));
        break;
    case RECORD_COUNTS:
        if (counts_record_read(contents, changed, &count) == 0)
            must_equal(contents, value, counts_record_write(value, changed, count));
        break;
    case RECORD_BROADCAST:
    case RECORD_PART:
        read_part(contents, key->part);
        break;
    case RECORD_BROKEN:
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A file whose last commit can be undone is sound when it is. */
static void read_file(struct slice file)
{
    struct store_verdict verdict = store_pages_check(file);
    if (verdict.is != STORE_CUT_OFF)
        return;
    char *copy = malloc(file.len);
    if (!copy || verdict.undo_at > file.len - sizeof verdict.undo_value)
        abort();
    memcpy(copy, file.data, file.len);
    memcpy(copy + verdict.undo_at, &verdict.undo_value, sizeof verdict.undo_value);
    if (store_pages_check(slice_of(copy, file.len)).is != STORE_SOUND)
        abort();
    free(copy);
}

/* A first byte of 0: a file. Else: the length of a key, the key, and the contents of a record. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size - 1 < data[0])
        return 0;
    struct slice rest = slice_of(data + 1, size - 1);
    if (data[0] == 0) {
        read_file(rest);
        return 0;
    }
    struct record_key key = record_key_read(slice_of(rest.data, data[0]));
    char text[RECORD_KEY_MAX];
    if (key.kind != RECORD_BROKEN &&
        !slice_equal(record_key_write(&key, text), slice_of(rest.data, data[0])))
        abort();
    read_record(&key, slice_of(rest.data + data[0], rest.len - data[0]));
    return 0;
}
