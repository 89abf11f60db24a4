/* Frames of all three tables: any bytes parse or are refused, and what parses is written back as
 * the same bytes. */
#include <stdint.h>
#include <stdlib.h>

#include "codecs/control_frames.h"
#include "codecs/data_frames.h"
#include "codecs/requests.h"

#define ROUND_TRIP(NAME, name, direction, max_payload, text)                                       \
    case FRAME_##NAME: {                                                                           \
        struct frame_##name fields;                                                                \
        if (get_##name(payload, &fields) == 0) {                                                   \
            if (put_##name##_fields(&out, &fields) != 0 ||                                         \
                !slice_equal(payload, buffer_slice(&out)))                                         \
                abort();                                                                           \
        }                                                                                          \
        break;                                                                                     \
    }

static void round_trip(unsigned table, uint16_t type, struct slice payload)
{
    struct buffer out = {0};
    if (table == 0) {
        switch (type) {
            DATA_FRAMES(ROUND_TRIP)
        }
    } else if (table == 1) {
        switch (type) {
            CONTROL_FRAMES(ROUND_TRIP)
        }
    } else {
        switch (type) {
            REQUEST_FRAMES(ROUND_TRIP)
        }
    }
    buffer_free(&out);
}

static void read_runs(struct slice payload)
{
    struct frame_reader messages = reader_of(payload), results = reader_of(payload);
    struct message message;
    struct recipient_result result;
    while (get_message(&messages, &message))
        if (message.body.len > payload.len)
            abort();
    while (get_recipient_result(&results, &result))
        if (!outcome_code(result.outcome) || !limit_code(result.limit))
            abort();
}

static void read_receipt(struct slice payload)
{
    struct receipt receipt;
    struct buffer out = {0};
    if (get_receipt_record(payload, &receipt) == 0 &&
        (put_receipt_record(&out, &receipt) != 0 || !slice_equal(payload, buffer_slice(&out)) ||
         !settlement_code(receipt.settlement)))
        abort();
    buffer_free(&out);
}

static void read_peer(struct slice payload)
{
    struct peer_record peer;
    struct buffer out = {0};
    if (get_peer_record(payload, &peer) == 0 &&
        (put_peer_record(&out, &peer) != 0 || !slice_equal(payload, buffer_slice(&out))))
        abort();
    buffer_free(&out);
}

/* Whatever an older host sends as a session, reads like one of ours without its last fields. */
static void read_older_session(uint16_t type, struct slice payload)
{
    struct frame_session session;
    struct buffer out = {0};
    if (type != FRAME_SESSION)
        return;
    if (reply_from_version(&out, type, payload, REPLY_VERSION_FIRST) != 0)
        abort();
    if (get_session(buffer_slice(&out), &session) == 0 &&
        !slice_equal(payload, reply_to_version(type, buffer_slice(&out), REPLY_VERSION_FIRST)))
        abort();
    buffer_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct slice rest = slice_of(data + 1, size - 1);
    struct frame frame;
    long len;
    while ((len = frame_parse(rest, 1 << 20, &frame)) > 0) {
        round_trip(data[0] % 3, frame.type, frame.payload);
        read_runs(frame.payload);
        read_receipt(frame.payload);
        read_peer(frame.payload);
        read_older_session(frame.type, frame.payload);
        rest = slice_of(rest.data + len, rest.len - (size_t)len);
    }
    return 0;
}
