#include "unit.h"

#include "base/buffer.h"
#include "codecs/websocket.h"

enum { MAX_MESSAGE = 300 };

#define M           "\0\0\0\0" /* a mask that leaves the payload readable */
#define X25         "xxxxxxxxxxxxxxxxxxxxxxxxx"
#define X125        X25 X25 X25 X25 X25
#define BYTES(text) text, sizeof(text) - 1

/* What a sample decodes to is written down as text: T(text) I(ping) O(pong) B C<code>(reason)
 * E<code>. */
static const struct sample {
    const char *bytes;
    size_t len;
    const char *log;
} GOOD[] = {
    {BYTES("\x81\x80" M), "T()"},
    {BYTES("\x81\x85" M "hello"), "T(hello)"},
    {BYTES("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), "T(Hello)"},
    {BYTES("\x81\xfe\0\x7e" M X125 "y"), "T(" X125 "y)"},
    {BYTES("\x81\x81" M "1\x81\x81" M "2\x81\x81" M "3"), "T(1)T(2)T(3)"},
    {BYTES("\x01\x82" M "ab\x80\x81" M "c"), "T(abc)"},
    {BYTES("\x01\x80" M "\0\x80" M "\x80\x80" M), "T()"},
    {BYTES("\x01\x80" M "\0\x80" M "\x80\x81" M "a"), "T(a)"},
    {BYTES("\x01\x81" M "a\0\x81" M "b\x80\x80" M "\x81\x81" M "c"), "T(ab)T(c)"},
    {BYTES("\x01\x81" M "a\x89\x81" M "p\0\x81" M "b\x8a\x81" M "q\x80\x81" M "c"),
     "I(p)O(q)T(abc)"},
    {BYTES("\x01\x81\x11\x22\x33\x44"
           "p\x89\x82\x01\x01\x01\x01"
           "qq\x80\x81\x11\x22\x33\x44"
           "s"),
     "I(pp)T(ab)"},
    {BYTES("\x89\x80" M "\x8a\x80" M), "I()O()"},
    {BYTES("\x89\xfd" M X125), "I(" X125 ")"},
    {BYTES("\x88\x80" M), "C1005()"},
    {BYTES("\x88\x82" M "\x03\xe8"), "C1000()"},
    {BYTES("\x88\x85" M "\x03\xe9"
           "bye"),
     "C1001(bye)"},
    {BYTES("\x88\x82" M "\x03\xeb"), "C1003()"},
    {BYTES("\x88\x82" M "\x03\xef"), "C1007()"},
    {BYTES("\x88\x82" M "\x03\xf6"), "C1014()"},
    {BYTES("\x88\x82" M "\x0b\xb8"), "C3000()"},
    {BYTES("\x88\x84" M "\x13\x87\xc3\xa9"), "C4999(\xc3\xa9)"},
    {BYTES("\x01\x81" M "a\x88\x82" M "\x03\xe8"), "C1000()"},
    {BYTES("\x81\x84" M "\xf0\x9f\x98\x80"), "T(\xf0\x9f\x98\x80)"},
    {BYTES("\x01\x81" M "\xe2\0\x81" M "\x82\x80\x81" M "\xac"), "T(\xe2\x82\xac)"},
    {BYTES("\x82\x83" M "\xff\0\xff\x81\x81" M "a"), "BT(a)"},
    {BYTES("\x02\x81" M "\xff\x89\x80" M "\0\x81" M "\xff\x80\x80" M "\x88\x80" M), "BI()C1005()"},
};

static const struct sample BAD[] = {
    /* reserved bits, in every kind of frame */
    {BYTES("\xc1\x80" M), "E1002"},
    {BYTES("\xa1\x80" M), "E1002"},
    {BYTES("\x91\x80" M), "E1002"},
    {BYTES("\xf1\x80" M), "E1002"},
    {BYTES("\xc9\x80" M), "E1002"},
    {BYTES("\x98\x80" M), "E1002"},
    {BYTES("\x01\x81" M "a\xc0\x81" M "b"), "E1002"},
    /* unknown opcodes */
    {BYTES("\x83\x80" M), "E1002"},
    {BYTES("\x84\x80" M), "E1002"},
    {BYTES("\x85\x80" M), "E1002"},
    {BYTES("\x86\x80" M), "E1002"},
    {BYTES("\x87\x80" M), "E1002"},
    {BYTES("\x8b\x80" M), "E1002"},
    {BYTES("\x8c\x80" M), "E1002"},
    {BYTES("\x8d\x80" M), "E1002"},
    {BYTES("\x8e\x80" M), "E1002"},
    {BYTES("\x8f\x80" M), "E1002"},
    {BYTES("\x81\x81" M "a\x8f\x80" M), "T(a)E1002"},
    {BYTES("GET / HTTP/1.1\r\n"), "E1002"},
    /* no mask */
    {BYTES("\x81\0"), "E1002"},
    {BYTES("\x81\x05hello"), "E1002"},
    {BYTES("\x81\x7e\x01\0"), "E1002"},
    {BYTES("\x82\x01\xff"), "E1002"},
    {BYTES("\x89\0"), "E1002"},
    {BYTES("\x88\x02\x03\xe8"), "E1002"},
    {BYTES("\x01\x81" M "a\x80\x01"
           "b"),
     "E1002"},
    /* control frames in fragments or too long */
    {BYTES("\x09\x80" M), "E1002"},
    {BYTES("\x0a\x80" M), "E1002"},
    {BYTES("\x08\x80" M), "E1002"},
    {BYTES("\x89\xfe\0\x7e" M X125 "x"), "E1002"},
    {BYTES("\x8a\xfe\0\x05" M "hello"), "E1002"},
    {BYTES("\x89\xff\0\0\0\0\0\0\0\x05" M), "E1002"},
    {BYTES("\x88\xfe\0\x7e" M), "E1002"},
    /* fragments out of order */
    {BYTES("\x80\x80" M), "E1002"},
    {BYTES("\0\x81" M "a"), "E1002"},
    {BYTES("\x81\x81" M "a\x80\x81" M "b"), "T(a)E1002"},
    {BYTES("\x01\x81" M "a\x80\x81" M "b\x80\x80" M), "T(ab)E1002"},
    {BYTES("\x01\x81" M "a\x81\x81" M "b"), "E1002"},
    {BYTES("\x01\x81" M "a\x01\x81" M "b"), "E1002"},
    {BYTES("\x01\x81" M "a\x82\x81" M "b"), "E1002"},
    {BYTES("\x01\x80" M "\x89\x80" M "\x81\x80" M), "I()E1002"},
    {BYTES("\x02\x81" M "a\x81\x81" M "b"), "BE1002"},
    /* lengths */
    {BYTES("\x81\xfe\0\x7d" M), "E1002"},
    {BYTES("\x81\xfe\0\0" M), "E1002"},
    {BYTES("\x81\xff\0\0\0\0\0\0\0\x7d" M), "E1002"},
    {BYTES("\x81\xff\0\0\0\0\0\0\xff\xff" M), "E1002"},
    {BYTES("\x81\xff\x80\0\0\0\0\x01\0\0" M), "E1002"},
    {BYTES("\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff" M), "E1002"},
    {BYTES("\x81\xfe\x01\x2d"), "E1009"},
    {BYTES("\x81\xff\0\0\0\0\0\x01\0\0"), "E1009"},
    {BYTES("\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff"), "E1009"},
    {BYTES("\x82\xfe\x01\x2d"), "E1009"},
    {BYTES("\x01\x81" M "a\x80\xfe\x01\x2c"), "E1009"},
    {BYTES("\x01\xfd" M X125 "\0\xfd" M X125 "\x80\xb3"), "E1009"},
    /* close frames */
    {BYTES("\x88\x81" M "\x03"), "E1002"},
    {BYTES("\x88\x82" M "\0\0"), "E1002"},
    {BYTES("\x88\x82" M "\x03\xe7"), "E1002"},
    {BYTES("\x88\x82" M "\x03\xec"), "E1002"},
    {BYTES("\x88\x82" M "\x03\xed"), "E1002"},
    {BYTES("\x88\x82" M "\x03\xee"), "E1002"},
    {BYTES("\x88\x82" M "\x03\xf7"), "E1002"},
    {BYTES("\x88\x82" M "\x03\xf8"), "E1002"},
    {BYTES("\x88\x82" M "\x07\xd0"), "E1002"},
    {BYTES("\x88\x82" M "\x0b\xb7"), "E1002"},
    {BYTES("\x88\x82" M "\x13\x88"), "E1002"},
    {BYTES("\x88\x82" M "\xff\xff"), "E1002"},
    {BYTES("\x88\x83" M "\x03\xe8\xff"), "E1007"},
    {BYTES("\x88\x84" M "\x03\xe8\xe2\x82"), "E1007"},
    {BYTES("\x88\x83" M "\x03\xec\xff"), "E1002"},
    /* UTF-8, as soon as it cannot become valid */
    {BYTES("\x81\x81" M "\xff"), "E1007"},
    {BYTES("\x81\xfd" M "\xff"), "E1007"},
    {BYTES("\x81\x82" M "a\x80"), "E1007"},
    {BYTES("\x81\x82" M "\xc0\xaf"), "E1007"},
    {BYTES("\x81\x83" M "\xe0\x80\xaf"), "E1007"},
    {BYTES("\x81\x83" M "\xed\xa0\x80"), "E1007"},
    {BYTES("\x81\x84" M "\xf4\x90\x80\x80"), "E1007"},
    {BYTES("\x81\x82" M "\xe2\x82"), "E1007"},
    {BYTES("\x01\x81" M "\xe2\x80\x80" M), "E1007"},
    {BYTES("\x01\x81" M "\xe2\x80\x81" M "a"), "E1007"},
    {BYTES("\x01\x82" M "a\xff"), "E1007"},
    {BYTES("\x01\x81" M "\xe2\x89\x80" M "\x80\x81" M "\xff"), "I()E1007"},
};

static void write_down(struct buffer *log, const struct websocket_event *event)
{
    static const char LETTERS[] = "?TBIOCE";
    int len = (int)event->payload.len;
    const char *payload = len ? event->payload.data : "";
    if (event->type == WEBSOCKET_EVENT_BINARY)
        buffer_append_string(log, "B");
    else if (event->type == WEBSOCKET_EVENT_ERROR)
        buffer_printf(log, "E%u", event->code);
    else if (event->type == WEBSOCKET_EVENT_CLOSE)
        buffer_printf(log, "C%u(%.*s)", event->code, len, payload);
    else
        buffer_printf(log, "%c(%.*s)", LETTERS[event->type], len, payload);
}

/* Decodes a copy of one piece (in which a sanitizer sees any byte read past the end) until nothing
 * is left; false after an error. */
static bool feed(struct websocket_decoder *decoder, const char *bytes, size_t len,
                 struct buffer *log)
{
    char *copy = malloc(len ? len : 1);
    memcpy(copy, bytes, len);
    struct slice in = slice_of(copy, len);
    struct websocket_event event;
    do {
        websocket_decode(decoder, &in, MAX_MESSAGE, &event);
        if (event.type != WEBSOCKET_EVENT_NONE)
            write_down(log, &event);
        if (event.type == WEBSOCKET_EVENT_ERROR)
            ck_assert(event.why && strlen(event.why) <= 123 && !decoder->partial);
    } while (event.type != WEBSOCKET_EVENT_NONE && event.type != WEBSOCKET_EVENT_ERROR);
    if (event.type == WEBSOCKET_EVENT_NONE)
        ck_assert_uint_eq(in.len, 0);
    free(copy);
    return event.type != WEBSOCKET_EVENT_ERROR;
}

/* In two pieces, or (first = 0) byte by byte. */
static void check_fed(const struct sample *sample, size_t first)
{
    struct websocket_decoder decoder = {0};
    struct buffer log = {0};
    bool goes_on = true;
    for (size_t at = 0; goes_on && at < sample->len;) {
        size_t piece = first == 0 ? 1 : at == 0 ? first : sample->len - at;
        goes_on = feed(&decoder, sample->bytes + at, piece, &log);
        at += piece;
    }
    ck_assert_slice_eq(buffer_slice(&log), sample->log);
    buffer_free(&log);
    websocket_decoder_free(&decoder);
    ck_assert_ptr_null(decoder.partial);
}

static void check_at_any_split(const struct sample *sample)
{
    for (size_t first = 0; first <= sample->len; first++)
        check_fed(sample, first);
}

START_TEST(frames_decode_at_any_split)
{
    check_at_any_split(&GOOD[_i]);
}
END_TEST

START_TEST(malformed_frames_get_their_code)
{
    check_at_any_split(&BAD[_i]);
}
END_TEST

/* A text frame from a client, in its shortest form. */
static struct buffer client_frame(const char *text, size_t len, const unsigned char mask[4])
{
    struct buffer frame = {0};
    ck_assert_int_eq(websocket_put_header(&frame, WEBSOCKET_TEXT, len), 0);
    buffer_bytes(&frame)[1] = (char)(buffer_bytes(&frame)[1] | 0x80);
    ck_assert_int_eq(buffer_append(&frame, mask, 4), 0);
    for (size_t i = 0; i < len; i++) {
        char masked = (char)(text[i] ^ mask[i % 4]);
        ck_assert_int_eq(buffer_append(&frame, &masked, 1), 0);
    }
    return frame;
}

START_TEST(masks_are_taken_off_at_any_length_and_split)
{
    static const unsigned char MASK[4] = {0x12, 0xff, 0x80, 0x01};
    char text[MAX_MESSAGE];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)('a' + i % 26);
    for (size_t len = 0; len <= sizeof text; len += len < 40 ? 1 : 65) {
        struct buffer frame = client_frame(text, len, MASK), log = {0};
        ck_assert_int_eq(buffer_printf(&log, "T(%.*s)", (int)len, text), 0);
        ck_assert_int_eq(buffer_append(&log, "", 1), 0);
        struct sample sample = {buffer_bytes(&frame), buffer_len(&frame), buffer_bytes(&log)};
        check_at_any_split(&sample);
        buffer_free(&frame);
        buffer_free(&log);
    }
}
END_TEST

START_TEST(an_idle_connection_holds_no_memory)
{
    static const char WHOLE[] = "\x81\x85" M "hello", FRAGMENTS[] = "\x01\x81" M "a\x80\x81" M "b";
    struct websocket_decoder decoder = {0};
    struct buffer log = {0};
    ck_assert(feed(&decoder, BYTES(WHOLE), &log));
    ck_assert_ptr_null(decoder.partial);
    ck_assert(feed(&decoder, BYTES(FRAGMENTS), &log));
    ck_assert_ptr_null(decoder.partial);
    for (size_t cut = 1; cut < sizeof WHOLE - 1; cut++) {
        ck_assert(feed(&decoder, WHOLE, cut, &log));
        ck_assert_ptr_nonnull(decoder.partial);
        ck_assert(feed(&decoder, WHOLE + cut, sizeof WHOLE - 1 - cut, &log));
        ck_assert_ptr_null(decoder.partial);
    }
    buffer_free(&log);
}
END_TEST

START_TEST(a_whole_text_stays_where_it_is)
{
    char bytes[] = "\x81\x82" M "ab";
    struct slice in = slice_of(bytes, sizeof bytes - 1);
    struct websocket_decoder decoder = {0};
    struct websocket_event event;
    websocket_decode(&decoder, &in, MAX_MESSAGE, &event);
    ck_assert_int_eq(event.type, WEBSOCKET_EVENT_TEXT);
    ck_assert_ptr_eq(event.payload.data, bytes + 6);
    in = SLICE_EMPTY;
    websocket_decode(&decoder, &in, MAX_MESSAGE, &event);
    ck_assert_int_eq(event.type, WEBSOCKET_EVENT_NONE);
}
END_TEST

START_TEST(headers_are_in_their_shortest_form)
{
    static const struct {
        uint64_t len;
        const char *bytes;
        size_t size;
    } HEADERS[] = {{0, BYTES("\x81\0")},
                   {125, BYTES("\x81\x7d")},
                   {126, BYTES("\x81\x7e\0\x7e")},
                   {65535, BYTES("\x81\x7e\xff\xff")},
                   {65536, BYTES("\x81\x7f\0\0\0\0\0\x01\0\0")},
                   {0x0102030405060708, BYTES("\x81\x7f\x01\x02\x03\x04\x05\x06\x07\x08")}};
    for (size_t i = 0; i < sizeof HEADERS / sizeof *HEADERS; i++) {
        struct buffer out = {0};
        ck_assert_int_eq(websocket_put_header(&out, WEBSOCKET_TEXT, HEADERS[i].len), 0);
        ck_assert(slice_equal(buffer_slice(&out), slice_of(HEADERS[i].bytes, HEADERS[i].size)));
        buffer_free(&out);
    }
}
END_TEST

static void check_close(uint16_t code, const char *reason, struct slice wanted)
{
    struct buffer out = {0};
    ck_assert_int_eq(websocket_put_close(&out, code, reason), 0);
    ck_assert(slice_equal(buffer_slice(&out), wanted));
    buffer_free(&out);
}

START_TEST(close_frames_keep_to_their_limit)
{
    static const char CUT[] = "\x88\x7d\x03\xea" X25 X25 X25 X25 "xxxxxxxxxxxxxxxxxxxxxxx";
    static const char CUT_EARLIER[] = "\x88\x7c\x03\xea" X25 X25 X25 X25 "xxxxxxxxxxxxxxxxxxxxxx";
    check_close(WEBSOCKET_CLOSE_NO_STATUS, "unused", slice_of("\x88\0", 2));
    check_close(WEBSOCKET_CLOSE_NORMAL, NULL, slice_of("\x88\x02\x03\xe8", 4));
    check_close(WEBSOCKET_CLOSE_SUPERSEDED, "x", slice_of("\x88\x03\x0f\xa1x", 5));
    check_close(WEBSOCKET_CLOSE_PROTOCOL, X125, slice_of(BYTES(CUT)));
    check_close(WEBSOCKET_CLOSE_PROTOCOL, X25 X25 X25 X25 "xxxxxxxxxxxxxxxxxxxxxx\xc3\xa9",
                slice_of(BYTES(CUT_EARLIER)));
}
END_TEST

START_TEST(keys_are_accepted)
{
    static const char *const BAD_KEYS[] = {
        "",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZSE=",
        "dGhlIHNhbXBsZSBub25jZSEh",
        "dGhlIHNhbXBsZSBub25jZR==",
        "dGhlIHNhbXBsZSBub25jZ\x80==",
        "dGhlIHNhbXBsZSBub25jZQ==AAAA",
    };
    char accept[WEBSOCKET_ACCEPT_ROOM];
    ck_assert(websocket_accept(SLICE_LITERAL("dGhlIHNhbXBsZSBub25jZQ=="), accept));
    ck_assert_str_eq(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    for (size_t i = 0; i < sizeof BAD_KEYS / sizeof *BAD_KEYS; i++)
        ck_assert(!websocket_accept(slice_from_string(BAD_KEYS[i]), accept));
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_loop_test(cases, frames_decode_at_any_split, 0, sizeof GOOD / sizeof *GOOD);
    tcase_add_loop_test(cases, malformed_frames_get_their_code, 0, sizeof BAD / sizeof *BAD);
    tcase_add_test(cases, masks_are_taken_off_at_any_length_and_split);
    tcase_add_test(cases, an_idle_connection_holds_no_memory);
    tcase_add_test(cases, a_whole_text_stays_where_it_is);
    tcase_add_test(cases, headers_are_in_their_shortest_form);
    tcase_add_test(cases, close_frames_keep_to_their_limit);
    tcase_add_test(cases, keys_are_accepted);
}

UNIT_MAIN("websocket", add_tests)
