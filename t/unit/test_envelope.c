#include "unit.h"

#include "base/buffer.h"
#include "codecs/envelope.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* --- frames as the MMRP facts write them: "A|<>|addr|<>|\x01type", the escapes spelled out --- */

enum { FRAMES_ROOM = 64 };

struct frames {
    struct slice list[FRAMES_ROOM];
    size_t count;
    char flags[FRAMES_ROOM][128]; /* frames whose first byte is spelled \xNN */
};

static struct slice unescape(struct frames *frames, struct slice frame)
{
    if (!slice_starts_with(frame, "\\x"))
        return frame;
    char *copy = frames->flags[frames->count];
    ck_assert_uint_lt(frame.len, sizeof frames->flags[0]);
    char digits[3] = {frame.data[2], frame.data[3], 0};
    copy[0] = (char)strtoul(digits, NULL, 16);
    memcpy(copy + 1, frame.data + 4, frame.len - 4);
    return slice_of(copy, frame.len - 3);
}

/* NULL is no frame at all. */
static void frames_from(struct frames *frames, const char *text)
{
    frames->count = 0;
    while (text) {
        const char *bar = strchr(text, '|');
        struct slice frame = slice_of(text, bar ? (size_t)(bar - text) : strlen(text));
        ck_assert_uint_lt(frames->count, FRAMES_ROOM);
        frames->list[frames->count] =
            slice_equals_string(frame, "<>") ? SLICE_EMPTY : unescape(frames, frame);
        frames->count++;
        text = bar ? bar + 1 : NULL;
    }
}

/* Builds such a text again from what envelope_emit() gives. */
struct emitted {
    struct buffer text;
    size_t frames;
    size_t stop_at; /* number of frames after which emit() fails */
    bool ended;
};

static int emit(void *context, struct slice frame, bool more)
{
    struct emitted *emitted = context;
    ck_assert(!emitted->ended);
    if (emitted->frames == emitted->stop_at)
        return 42;
    emitted->frames++;
    int failed = 0;
    if (more)
        failed = frame.len == 0 ? buffer_append_string(&emitted->text, "<>")
                                : buffer_append_slice(&emitted->text, frame);
    else
        failed = buffer_printf(&emitted->text, "\\x%02x%.*s", (unsigned char)*frame.data,
                               (int)frame.len - 1, frame.data + 1);
    ck_assert_int_eq(failed, 0);
    if (more)
        ck_assert_int_eq(buffer_append_string(&emitted->text, "|"), 0);
    emitted->ended = !more;
    return 0;
}

static void assert_emits(const struct envelope *envelope, size_t first_hop, const char *wanted)
{
    struct emitted emitted = {.stop_at = SIZE_MAX};
    ck_assert_int_eq(envelope_emit(envelope, first_hop, emit, &emitted), 0);
    ck_assert(emitted.ended);
    ck_assert_slice_eq(buffer_slice(&emitted.text), wanted);
    buffer_free(&emitted.text);
}

static void put_list(struct buffer *out, const struct slice *list, size_t count, const char *end)
{
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            ck_assert_int_eq(buffer_append_string(out, ","), 0);
        ck_assert_int_eq(buffer_append_slice(out, list[i]), 0);
    }
    ck_assert_int_eq(buffer_append_string(out, end), 0);
}

/* "route; messages; return route; flags type", or the text of the error. */
static void assert_means(const char *text, const char *wanted)
{
    struct frames frames;
    struct envelope envelope;
    struct buffer out = {0};
    frames_from(&frames, text);
    enum envelope_error error = envelope_parse(frames.list, frames.count, &envelope);
    if (error != ENVELOPE_OK) {
        ck_assert_int_eq(buffer_append_string(&out, envelope_error_text(error)), 0);
    } else {
        put_list(&out, envelope.route, envelope.route_len, "; ");
        put_list(&out, envelope.messages, envelope.message_count, "; ");
        put_list(&out, envelope.return_route, envelope.return_route_len, "; ");
        ck_assert_int_eq(
            buffer_printf(&out, "%02x %s", envelope.flags, envelope_type_name(envelope.type)), 0);
    }
    ck_assert_msg(slice_equals_string(buffer_slice(&out), wanted), "%s: got \"%.*s\"", text,
                  (int)buffer_len(&out), buffer_bytes(&out));
    buffer_free(&out);
}

/* --- every envelope that the MMRP facts show --- */

#define HANDSHAKE_B "{\"clusterId\":\"B\",\"identity\":\"B\",\"isRelay\":true,\"isClient\":false}"
#define HANDSHAKE_W "{\"clusterId\":\"A\",\"identity\":\"W\",\"isRelay\":false,\"isClient\":true}"
#define ADDR        "sess/bob:AbCdEfGh01234567"
#define CONFIRMED   "{\"msgIds\":[\"1\",\"2\"],\"address\":\"" ADDR "\"}"
#define M           "[[\"a\",{\"x\":1}]]"

static const struct {
    const char *frames, *meaning;
} FACTS[] = {
    {"A|<>|" HANDSHAKE_B "|<>|B|\\x01mmrp.handshake", "A; " HANDSHAKE_B "; B; 01 mmrp.handshake"},
    {"<>|" HANDSHAKE_B "|<>|B|\\x01mmrp.handshake", "; " HANDSHAKE_B "; B; 01 mmrp.handshake"},
    {"A|<>|" HANDSHAKE_W "|<>|\\x01mmrp.handshake", "A; " HANDSHAKE_W "; ; 01 mmrp.handshake"},
    {"A|<>|" ADDR "|never|<>|W|\\x01msgServer.connect",
     "A; " ADDR ",never; W; 01 msgServer.connect"},
    {"A|<>|" ADDR "|ondelivery|<>|W|\\x01msgServer.connect",
     "A; " ADDR ",ondelivery; W; 01 msgServer.connect"},
    {"A|<>|" ADDR "|always|<>|W|\\x01msgServer.connect",
     "A; " ADDR ",always; W; 01 msgServer.connect"},
    {"<>|" ADDR "|never|<>|B|V|\\x01msgServer.connect",
     "; " ADDR ",never; B,V; 01 msgServer.connect"},
    {"A|<>|" ADDR "|" M "|[]|" M "|<>|\\x00msgServer.send",
     "A; " ADDR "," M ",[]," M "; ; 00 msgServer.send"},
    {"<>|" ADDR "|" M "|[]|" M "|<>|\\x00msgServer.send",
     "; " ADDR "," M ",[]," M "; ; 00 msgServer.send"},
    {"W|<>|" ADDR "|1|" M "|2|[]|<>|\\x00msgServer.messagepack",
     "W; " ADDR ",1," M ",2,[]; ; 00 msgServer.messagepack"},
    {"B|V|<>|" ADDR "|4|" M "|<>|\\x00msgServer.messagepack",
     "B,V; " ADDR ",4," M "; ; 00 msgServer.messagepack"},
    {"V|<>|" ADDR "|4|" M "|<>|\\x00msgServer.messagepack",
     "V; " ADDR ",4," M "; ; 00 msgServer.messagepack"},
    {"W|<>|" ADDR "|<>|\\x00msgServer.messagepack", "W; " ADDR "; ; 00 msgServer.messagepack"},
    {"A|<>|" CONFIRMED "|<>|\\x00msgServer.confirm", "A; " CONFIRMED "; ; 00 msgServer.confirm"},
    {"A|<>|" ADDR "|<>|\\x00msgServer.disconnect", "A; " ADDR "; ; 00 msgServer.disconnect"},
    {"B|*|<>|" M "|<>|\\x01msgServer.broadcast", "B,*; " M "; ; 01 msgServer.broadcast"},
    {"A|*:c|<>|" M "|<>|B|V|\\x01msgServer.broadcast", "A,*:c; " M "; B,V; 01 msgServer.broadcast"},
    {"W|<>|" M "|<>|A|B|V|\\x01msgServer.broadcast", "W; " M "; A,B,V; 01 msgServer.broadcast"},
    {"A|*:c|<>|" M "|<>|B|\\x01msgServer.broadcast", "A,*:c; " M "; B; 01 msgServer.broadcast"},
    {"W|<>|Host unreachable|msgServer.connect|" ADDR "|never|<>|\\x00mmrp.sendError",
     "W; Host unreachable,msgServer.connect," ADDR ",never; ; 00 mmrp.sendError"},
    {"B|V|<>|" ADDR "|<>|\\x00msgServer.hostGone", "B,V; " ADDR "; ; 00 msgServer.hostGone"},
    {"A|<>|B|payload|<>|B|\\x01msgserver.request", "A; B,payload; B; 01 msgserver.request"},
    {"B|<>|payload|<>|\\x00msgserver.reply", "B; payload; ; 00 msgserver.reply"},
};

START_TEST(facts_are_parsed_and_emitted)
{
    struct frames frames;
    struct envelope envelope;
    assert_means(FACTS[_i].frames, FACTS[_i].meaning);
    frames_from(&frames, FACTS[_i].frames);
    ck_assert_int_eq(envelope_parse(frames.list, frames.count, &envelope), ENVELOPE_OK);
    assert_emits(&envelope, 0, FACTS[_i].frames);
    if (envelope.route_len > 0)
        assert_emits(&envelope, 1, strchr(FACTS[_i].frames, '|') + 1);
}
END_TEST

/* --- odd and broken frame lists --- */

#define NO_META       "the last frame does not hold flags and a type"
#define NO_SEPARATOR  "no empty frame after the route"
#define LONG_ROUTE    "a route is too long"
#define LONG_TYPE     "the type's name is too long"
#define HOP_TOO_LONG  "an entry of a route is too long"
#define EMPTY_HOP     "an empty frame in the return route"
#define HOPS_8        "a|b|c|d|e|f|g|h"
#define HOPS_16       HOPS_8 "|" HOPS_8
#define HOPS_16_COMMA "a,b,c,d,e,f,g,h,a,b,c,d,e,f,g,h"
#define NAME_16       "0123456789abcdef"
#define NAME_64       NAME_16 NAME_16 NAME_16 NAME_16
#define HOP_255       NAME_64 NAME_64 NAME_64 NAME_16 NAME_16 NAME_16 "0123456789abcde"

static const struct {
    const char *frames, *meaning;
} ODD[] = {
    {NULL, NO_META},
    {"<>", NO_META},
    {"<>|<>", NO_META},
    {"<>|<>|<>", NO_META},
    {"A", NO_META},
    {"\\x01", NO_META},
    {"A|<>", NO_META},
    {"A|<>|m", NO_META},
    {"A|<>|m|<>", NO_META},
    {"A|<>|m|<>|W", NO_META},
    {"A|<>|m|<>|W|<>", NO_META},
    {"A|<>|m|<>|W|\\x01", NO_META},
    {"A|<>|m|<>|\\x00", NO_META},
    {"A|m|W", NO_META},
    {"\\x01mmrp.handshake", NO_SEPARATOR},
    {"A|\\x01mmrp.handshake", NO_SEPARATOR},
    {"A|B|m|W|\\x01mmrp.handshake", NO_SEPARATOR},
    {HOPS_16 "|" HOPS_16 "|\\x01mmrp.handshake", NO_SEPARATOR},
    {"AA", NO_SEPARATOR},
    {HOPS_16 "|a|<>|m|<>|\\x00msgServer.send", LONG_ROUTE},
    {HOPS_16 "|" HOPS_16 "|<>|m|<>|\\x00msgServer.send", LONG_ROUTE},
    {HOPS_16 "|a|<>|m|\\x00msgServer.send", LONG_ROUTE},
    {"<>|m|<>|" HOPS_16 "|a|\\x01msgServer.send", LONG_ROUTE},
    {"<>|m|<>|" HOPS_16 "|a|\\x00msgServer.send", LONG_ROUTE},
    {"A|<>|m|<>|" HOPS_16 "|<>|a|\\x01msgServer.send", LONG_ROUTE},
    {HOP_255 "f|<>|m|<>|\\x00msgServer.send", HOP_TOO_LONG},
    {"A|<>|m|<>|" HOP_255 "f|\\x01msgServer.send", HOP_TOO_LONG},
    {"A|<>|m|<>|" HOP_255 "|\\x01msgServer.send", "A; m; " HOP_255 "; 01 msgServer.send"},
    {"A|<>|m|<>|<>|\\x01msgServer.send", EMPTY_HOP},
    {"A|<>|m|<>|<>|\\x00msgServer.send", EMPTY_HOP},
    {"A|<>|m|<>|W|<>|\\x01msgServer.send", EMPTY_HOP},
    {"A|<>|m|<>|<>|W|\\x01msgServer.send", EMPTY_HOP},
    {"A|<>|m|<>|W|<>|forged|<>|\\x01msgServer.connect", EMPTY_HOP},
    {"A|<>|m1|<>|m2|<>|W|\\x01msgServer.send", EMPTY_HOP},
    {"A|<>|<>|<>|\\x01msgServer.send", EMPTY_HOP},
    {"<>|<>|<>|\\x01mmrp.handshake", EMPTY_HOP},
    {"<>|m|<>|\\x01" NAME_64 "0", LONG_TYPE},
    {"m|\\x01" NAME_64 "0", LONG_TYPE},
    {"<>|\\x01mmrp.handshake", "; ; ; 01 mmrp.handshake"},
    {"<>|<>|\\x01mmrp.handshake", "; ; ; 01 mmrp.handshake"},
    {"A|<>|\\x00msgServer.send", "A; ; ; 00 msgServer.send"},
    {"A|<>|<>|\\x00msgServer.send", "A; ; ; 00 msgServer.send"},
    {"A|<>|<>|W|\\x01msgServer.send", "A; ; W; 01 msgServer.send"},
    {"A|<>|m|\\x01msgServer.send", "A; m; ; 01 msgServer.send"},
    {"A|<>|m1|m2|\\x00msgServer.send", "A; m1,m2; ; 00 msgServer.send"},
    {"<>|m|\\x00msgServer.send", "; m; ; 00 msgServer.send"},
    {"<>|m|<>|W|\\x00msgServer.send", "; m; ; 00 msgServer.send"},
    {"<>|m|<>|" HOPS_16 "|\\x00msgServer.send", "; m; ; 00 msgServer.send"},
    {HOPS_16 "|<>|m|<>|" HOPS_16 "|\\x01msgServer.send",
     HOPS_16_COMMA "; m; " HOPS_16_COMMA "; 01 msgServer.send"},
    {"<>|m|<>|W|\\xffmsgServer.send", "; m; W; ff msgServer.send"},
    {"<>|m|<>|W|\\xfemsgServer.send", "; m; ; fe msgServer.send"},
    {"<>|m|<>|W|\\x03msgServer.send", "; m; W; 03 msgServer.send"},
    {"<>|m|<>|W|\\x01msgServer.sen", "; m; W; 01 unknown"},
    {"<>|m|<>|W|\\x01msgServer.send2", "; m; W; 01 unknown"},
    {"<>|m|<>|W|\\x01msgserver.send", "; m; W; 01 unknown"},
    {"<>|m|<>|W|\\x01messagepack", "; m; W; 01 unknown"},
    {"<>|m|<>|W|\\x01unknown", "; m; W; 01 unknown"},
    {"<>|m|<>|W|\\x01x", "; m; W; 01 unknown"},
    {"<>|m|<>|W|\\x01" NAME_64, "; m; W; 01 unknown"},
    {"<>|m|<>|mmrp.handshake", "; m; ; 6d unknown"},
    {"<>|AA", "; ; ; 41 unknown"},
    {"A|A|A|<>|m|<>|\\x00msgServer.send", "A,A,A; m; ; 00 msgServer.send"},
    {"*|<>|m|<>|W|W|\\x01msgServer.broadcast", "*; m; W,W; 01 msgServer.broadcast"},
};

START_TEST(odd_envelopes_have_a_meaning_or_an_error)
{
    assert_means(ODD[_i].frames, ODD[_i].meaning);
}
END_TEST

START_TEST(frames_are_bounded)
{
    static struct slice frames[ENVELOPE_FRAMES_MAX + 1];
    struct envelope envelope;
    for (size_t i = 0; i <= ENVELOPE_FRAMES_MAX; i++)
        frames[i] = SLICE_LITERAL("m");
    frames[0] = SLICE_EMPTY;
    frames[ENVELOPE_FRAMES_MAX] = SLICE_LITERAL("\1msgServer.send");
    ck_assert_int_eq(envelope_parse(frames, ENVELOPE_FRAMES_MAX + 1, &envelope),
                     ENVELOPE_TOO_MANY_FRAMES);
    frames[ENVELOPE_FRAMES_MAX - 1] = frames[ENVELOPE_FRAMES_MAX];
    ck_assert_int_eq(envelope_parse(frames, ENVELOPE_FRAMES_MAX, &envelope), ENVELOPE_OK);
    ck_assert_uint_eq(envelope.message_count, ENVELOPE_FRAMES_MAX - 2);
    ck_assert_ptr_eq(envelope.messages, frames + 1);
}
END_TEST

/* --- routing --- */

static void parse(struct frames *frames, const char *text, struct envelope *envelope)
{
    frames_from(frames, text);
    ck_assert_int_eq(envelope_parse(frames->list, frames->count, envelope), ENVELOPE_OK);
}

START_TEST(every_leading_copy_of_an_identity_is_consumed)
{
    static const struct {
        const char *before, *after;
    } ROUTES[] = {
        {"A|<>|m|<>|\\x00msgServer.send", "<>|m|<>|\\x00msgServer.send"},
        {"A|A|A|<>|m|<>|\\x00msgServer.send", "<>|m|<>|\\x00msgServer.send"},
        {"A|B|<>|m|<>|\\x00msgServer.send", "B|<>|m|<>|\\x00msgServer.send"},
        {"A|A|B|A|<>|m|<>|\\x00msgServer.send", "B|A|<>|m|<>|\\x00msgServer.send"},
        {"B|A|<>|m|<>|\\x00msgServer.send", "B|A|<>|m|<>|\\x00msgServer.send"},
        {"AA|<>|m|<>|\\x00msgServer.send", "AA|<>|m|<>|\\x00msgServer.send"},
        {"<>|m|<>|\\x00msgServer.send", "<>|m|<>|\\x00msgServer.send"},
    };
    for (size_t i = 0; i < COUNT(ROUTES); i++) {
        struct frames frames;
        struct envelope envelope;
        parse(&frames, ROUTES[i].before, &envelope);
        envelope_consume_identity(&envelope, SLICE_LITERAL("A"));
        assert_emits(&envelope, 0, ROUTES[i].after);
    }
}
END_TEST

START_TEST(return_routes_are_tracked)
{
    struct frames frames;
    struct envelope envelope;
    parse(&frames, "A|<>|m|<>|\\x01msgServer.connect", &envelope);
    ck_assert(envelope_track(&envelope, SLICE_LITERAL("V")));
    ck_assert(envelope_track(&envelope, SLICE_LITERAL("V")));
    assert_emits(&envelope, 0, "A|<>|m|<>|V|\\x01msgServer.connect");
    ck_assert(envelope_track(&envelope, SLICE_LITERAL("B")));
    ck_assert(envelope_track(&envelope, SLICE_LITERAL("V")));
    assert_emits(&envelope, 0, "A|<>|m|<>|V|B|V|\\x01msgServer.connect");

    parse(&frames, "A|<>|m|<>|\\x80msgServer.connect", &envelope);
    ck_assert(envelope_track(&envelope, SLICE_LITERAL("V")));
    assert_emits(&envelope, 0, "A|<>|m|<>|\\x80msgServer.connect");

    parse(&frames, "<>|m|<>|" HOPS_16 "|\\x01msgServer.connect", &envelope);
    ck_assert(envelope_track(&envelope, SLICE_LITERAL("a")));
    ck_assert(!envelope_track(&envelope, SLICE_LITERAL("V")));
    assert_emits(&envelope, 0, "<>|m|<>|" HOPS_16 "|\\x01msgServer.connect");
}
END_TEST

/* V's connect through its relay B to A, and the pack on its way back (MMRP facts). */
START_TEST(a_connect_and_its_pack_travel_through_a_relay)
{
    struct frames frames;
    struct envelope envelope;
    parse(&frames, "B|A|<>|" ADDR "|never|<>|\\x01msgServer.connect", &envelope);
    ck_assert(envelope_track(&envelope, SLICE_LITERAL("V")));
    envelope_consume_identity(&envelope, SLICE_LITERAL("B"));
    ck_assert(envelope_track(&envelope, SLICE_LITERAL("B")));
    assert_emits(&envelope, 1, "<>|" ADDR "|never|<>|B|V|\\x01msgServer.connect");

    struct slice messages[] = {SLICE_LITERAL(ADDR), SLICE_LITERAL("4"), SLICE_LITERAL("[]")};
    struct envelope pack = {.route_len = envelope.return_route_len,
                            .messages = messages,
                            .message_count = COUNT(messages),
                            .type = ENVELOPE_MESSAGEPACK};
    memcpy(pack.route, envelope.return_route, sizeof pack.route);
    assert_emits(&pack, 0, "B|V|<>|" ADDR "|4|[]|<>|\\x00msgServer.messagepack");
    assert_emits(&pack, 1, "V|<>|" ADDR "|4|[]|<>|\\x00msgServer.messagepack");
    assert_emits(&pack, 2, "<>|" ADDR "|4|[]|<>|\\x00msgServer.messagepack");
}
END_TEST

START_TEST(unknown_types_and_flags_are_forwarded)
{
    struct frames frames;
    struct envelope envelope;
    parse(&frames, "A|B|<>|m|<>|W|\\xffsome.type", &envelope);
    envelope_consume_identity(&envelope, SLICE_LITERAL("A"));
    assert_emits(&envelope, 0, "B|<>|m|<>|W|\\xffsome.type");
}
END_TEST

START_TEST(emitting_stops_where_it_fails)
{
    static const char TEXT[] = "A|B|<>|m1|m2|<>|W|V|\\x01msgServer.send";
    struct frames frames;
    struct envelope envelope;
    parse(&frames, TEXT, &envelope);
    for (size_t stop = 0; stop < frames.count; stop++) {
        struct emitted emitted = {.stop_at = stop};
        ck_assert_int_eq(envelope_emit(&envelope, 0, emit, &emitted), 42);
        ck_assert_uint_eq(emitted.frames, stop);
        ck_assert(!emitted.ended);
        buffer_free(&emitted.text);
    }
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_loop_test(cases, facts_are_parsed_and_emitted, 0, COUNT(FACTS));
    tcase_add_loop_test(cases, odd_envelopes_have_a_meaning_or_an_error, 0, COUNT(ODD));
    tcase_add_test(cases, frames_are_bounded);
    tcase_add_test(cases, every_leading_copy_of_an_identity_is_consumed);
    tcase_add_test(cases, return_routes_are_tracked);
    tcase_add_test(cases, a_connect_and_its_pack_travel_through_a_relay);
    tcase_add_test(cases, unknown_types_and_flags_are_forwarded);
    tcase_add_test(cases, emitting_stops_where_it_fails);
}

UNIT_MAIN("envelope", add_tests)
