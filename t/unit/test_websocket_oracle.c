/* Well-formed frames, composed at random, mean the same to us and to wslay; and wslay, as a client,
 * understands the frames that we make. */
#include "unit.h"

#include <wslay/wslay.h>

#include "base/buffer.h"
#include "codecs/websocket.h"

enum { ROUNDS = 500, MAX_MESSAGE = 100000 };

static uint64_t random_state;

static unsigned below(unsigned bound)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(random_state >> 33) % bound;
}

/* Appends a masked frame with `len` letters, after `prefix`. */
static void append_frame(struct buffer *out, bool final, enum websocket_opcode opcode,
                         struct slice prefix, size_t len)
{
    size_t start = buffer_len(out);
    unsigned char mask[4];
    for (size_t i = 0; i < 4; i++)
        mask[i] = (unsigned char)below(256);
    ck_assert_int_eq(websocket_put_header(out, opcode, prefix.len + len), 0);
    char *header = buffer_bytes(out) + start;
    header[0] = (char)(final ? header[0] : header[0] & 0x7f);
    header[1] = (char)(header[1] | 0x80);
    ck_assert_int_eq(buffer_append(out, mask, 4), 0);
    char *payload = buffer_reserve(out, prefix.len + len);
    ck_assert_ptr_nonnull(payload);
    for (size_t i = 0; i < prefix.len + len; i++) {
        char c = i < prefix.len ? prefix.data[i] : (char)('a' + below(26));
        payload[i] = (char)(c ^ mask[i % 4]);
    }
    buffer_added(out, prefix.len + len);
}

/* A text in one to four frames, with control frames between them. */
static void append_text(struct buffer *out)
{
    static const size_t LENGTHS[] = {0, 1, 7, 125, 126, 127, 1000, 65535, 65536};
    unsigned fragments = 1 + below(4);
    for (unsigned i = 0; i < fragments; i++) {
        size_t len = LENGTHS[below(fragments == 1 ? 9 : 7)];
        append_frame(out, i + 1 == fragments, i == 0 ? WEBSOCKET_TEXT : WEBSOCKET_CONTINUATION,
                     SLICE_LITERAL("\xc3\xa9"), len);
        if (below(2))
            append_frame(out, true, below(2) ? WEBSOCKET_PING : WEBSOCKET_PONG, SLICE_EMPTY,
                         below(126));
    }
}

static void write_down(struct buffer *log, unsigned opcode, unsigned code, struct slice payload)
{
    ck_assert_int_eq(buffer_printf(log, "%u %u %zu ", opcode, code, payload.len), 0);
    ck_assert_int_eq(buffer_append_slice(log, payload), 0);
}

static void decode(struct slice in, struct buffer *log)
{
    static const unsigned OPCODES[] = {[WEBSOCKET_EVENT_TEXT] = WEBSOCKET_TEXT,
                                       [WEBSOCKET_EVENT_PING] = WEBSOCKET_PING,
                                       [WEBSOCKET_EVENT_PONG] = WEBSOCKET_PONG,
                                       [WEBSOCKET_EVENT_CLOSE] = WEBSOCKET_CLOSE};
    struct websocket_decoder decoder = {0};
    struct websocket_event event;
    for (;;) {
        websocket_decode(&decoder, &in, MAX_MESSAGE, &event);
        if (event.type == WEBSOCKET_EVENT_NONE)
            break;
        ck_assert_msg(event.type != WEBSOCKET_EVENT_ERROR, "%s", event.why);
        write_down(log, OPCODES[event.type], event.code, event.payload);
    }
    ck_assert_ptr_null(decoder.partial);
}

struct hearing {
    struct slice in;
    struct buffer log;
};

static ssize_t on_read(wslay_event_context_ptr context, uint8_t *room, size_t len, int flags,
                       void *data)
{
    struct hearing *hearing = data;
    size_t given = len < hearing->in.len ? len : hearing->in.len;
    (void)flags;
    if (given == 0) {
        wslay_event_set_error(context, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    memcpy(room, hearing->in.data, given);
    hearing->in = slice_of(hearing->in.data + given, hearing->in.len - given);
    return (ssize_t)given;
}

static void on_message(wslay_event_context_ptr context,
                       const struct wslay_event_on_msg_recv_arg *message, void *data)
{
    struct hearing *hearing = data;
    struct slice payload = slice_of(message->msg, message->msg_length);
    unsigned code = 0;
    (void)context;
    if (message->opcode == WSLAY_CONNECTION_CLOSE) {
        code = message->status_code ? message->status_code : WEBSOCKET_CLOSE_NO_STATUS;
        payload = payload.len >= 2 ? slice_of(payload.data + 2, payload.len - 2) : SLICE_EMPTY;
    }
    write_down(&hearing->log, message->opcode, code, payload);
}

static struct buffer hear(struct slice bytes, bool as_client)
{
    static const struct wslay_event_callbacks CALLBACKS = {.recv_callback = on_read,
                                                           .on_msg_recv_callback = on_message};
    struct hearing hearing = {.in = bytes};
    wslay_event_context_ptr context;
    int status = as_client ? wslay_event_context_client_init(&context, &CALLBACKS, &hearing)
                           : wslay_event_context_server_init(&context, &CALLBACKS, &hearing);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(wslay_event_recv(context), 0);
    wslay_event_context_free(context);
    return hearing.log;
}

START_TEST(well_formed_frames_mean_the_same)
{
    for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
        struct buffer bytes = {0}, ours = {0};
        random_state = seed;
        for (unsigned texts = below(4); texts > 0; texts--)
            append_text(&bytes);
        append_frame(&bytes, true, WEBSOCKET_CLOSE,
                     below(2) ? SLICE_LITERAL("\x03\xe9") : SLICE_EMPTY, 0);
        /* wslay first: decoding unmasks in place. */
        struct buffer theirs = hear(buffer_slice(&bytes), false);
        decode(buffer_slice(&bytes), &ours);
        ck_assert(slice_equal(buffer_slice(&ours), buffer_slice(&theirs)));
        buffer_free(&bytes);
        buffer_free(&ours);
        buffer_free(&theirs);
    }
}
END_TEST

START_TEST(our_frames_are_understood)
{
    struct buffer bytes = {0}, wanted = {0};
    char *text = calloc(1, MAX_MESSAGE);
    memset(text, 'x', MAX_MESSAGE);
    for (size_t len = 0; len <= MAX_MESSAGE; len = len * 5 + 1) {
        ck_assert_int_eq(websocket_put_header(&bytes, WEBSOCKET_TEXT, len), 0);
        ck_assert_int_eq(buffer_append(&bytes, text, len), 0);
        write_down(&wanted, WEBSOCKET_TEXT, 0, slice_of(text, len));
    }
    ck_assert_int_eq(websocket_put_header(&bytes, WEBSOCKET_PING, 0), 0);
    write_down(&wanted, WEBSOCKET_PING, 0, SLICE_EMPTY);
    ck_assert_int_eq(websocket_put_close(&bytes, WEBSOCKET_CLOSE_SUPERSEDED, "newer"), 0);
    write_down(&wanted, WEBSOCKET_CLOSE, WEBSOCKET_CLOSE_SUPERSEDED, SLICE_LITERAL("newer"));
    struct buffer heard = hear(buffer_slice(&bytes), true);
    ck_assert(slice_equal(buffer_slice(&heard), buffer_slice(&wanted)));
    buffer_free(&heard);
    buffer_free(&wanted);
    buffer_free(&bytes);
    free(text);
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, well_formed_frames_mean_the_same);
    tcase_add_test(cases, our_frames_are_understood);
}

UNIT_MAIN("websocket_oracle", add_tests)
