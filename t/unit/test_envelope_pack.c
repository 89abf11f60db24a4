#include <errno.h>

#include "unit.h"

#include "codecs/envelope_pack.h"

/* To the peer "to", which is left out, and on to `route`, if it is not empty. */
static void put(struct buffer *pack, const char *route, const struct slice *messages, size_t count,
                const char *return_hop, enum envelope_type type)
{
    struct envelope envelope = {.route = {SLICE_LITERAL("to"), slice_from_string(route)},
                                .route_len = *route ? 2 : 1,
                                .messages = messages,
                                .message_count = count,
                                .return_route = {slice_from_string(return_hop)},
                                .return_route_len = *return_hop ? 1 : 0,
                                .flags = ENVELOPE_TRACK_ROUTE,
                                .type = type};
    size_t before = buffer_len(pack), len = envelope_pack_len(&envelope, 1);
    ck_assert_int_eq(envelope_pack_put(pack, &envelope, 1), 0);
    ck_assert_uint_eq(buffer_len(pack), before + len);
}

/* Takes the next envelope of `rest` and parses it. */
static void take(struct slice *rest, struct frame_list *list, struct envelope *envelope)
{
    ck_assert_int_eq(envelope_pack_take(rest, list), 1);
    ck_assert_int_eq(envelope_parse(list->frames, list->count, envelope), ENVELOPE_OK);
}

START_TEST(what_was_packed_comes_out_in_order)
{
    struct buffer pack = {0};
    struct frame_list list = {0};
    struct envelope envelope;
    const struct slice messages[] = {SLICE_LITERAL("sess/bob:key"), SLICE_LITERAL("[[\"a\"]]")};
    put(&pack, "", messages, 2, "", ENVELOPE_SEND);
    put(&pack, "A:1:7", messages, 1, "B:1", ENVELOPE_CONNECT);
    put(&pack, "", NULL, 0, "", ENVELOPE_BROADCAST);
    struct slice rest = buffer_slice(&pack);
    take(&rest, &list, &envelope);
    ck_assert_uint_eq(envelope.route_len, 0);
    ck_assert_uint_eq(envelope.message_count, 2);
    ck_assert_slice_eq(envelope.messages[0], "sess/bob:key");
    ck_assert_slice_eq(envelope.messages[1], "[[\"a\"]]");
    ck_assert_int_eq(envelope.type, ENVELOPE_SEND);
    take(&rest, &list, &envelope);
    ck_assert_uint_eq(envelope.route_len, 1);
    ck_assert_slice_eq(envelope.route[0], "A:1:7");
    ck_assert_slice_eq(envelope.return_route[0], "B:1");
    ck_assert_int_eq(envelope.type, ENVELOPE_CONNECT);
    take(&rest, &list, &envelope);
    ck_assert_uint_eq(envelope.message_count, 0);
    ck_assert_int_eq(envelope_pack_take(&rest, &list), 0);
    frame_list_free(&list);
    buffer_free(&pack);
}
END_TEST

/* Lengths on both sides of where a number gets longer. */
START_TEST(long_and_many_frames_come_out)
{
    enum { MANY = 300 };
    static const size_t LENGTHS[] = {1, 254, 255, 256, 65535, 65536};
    static char bytes[65536];
    struct slice messages[MANY];
    struct buffer pack = {0};
    struct frame_list list = {0};
    struct envelope envelope;
    memset(bytes, 'x', sizeof bytes);
    for (size_t i = 0; i < sizeof LENGTHS / sizeof *LENGTHS; i++) {
        messages[0] = slice_of(bytes, LENGTHS[i]);
        put(&pack, "", messages, 1, "", ENVELOPE_SEND);
    }
    for (size_t i = 0; i < MANY; i++)
        messages[i] = slice_of(bytes, 1);
    put(&pack, "", messages, MANY, "", ENVELOPE_SEND);
    struct slice rest = buffer_slice(&pack);
    for (size_t i = 0; i < sizeof LENGTHS / sizeof *LENGTHS; i++) {
        take(&rest, &list, &envelope);
        ck_assert_uint_eq(envelope.messages[0].len, LENGTHS[i]);
        ck_assert_int_eq(memcmp(envelope.messages[0].data, bytes, LENGTHS[i]), 0);
    }
    take(&rest, &list, &envelope);
    ck_assert_uint_eq(envelope.message_count, MANY);
    ck_assert_int_eq(envelope_pack_take(&rest, &list), 0);
    frame_list_free(&list);
    buffer_free(&pack);
}
END_TEST

/* A pack that is cut gives the envelopes before the cut, and then an error; none at a boundary. */
START_TEST(a_cut_pack_ends_in_an_error)
{
    struct buffer pack = {0};
    struct frame_list list = {0};
    static char body[300];
    const struct slice messages[] = {SLICE_LITERAL("sess/bob:key"), slice_of(body, sizeof body)};
    size_t ends[4] = {0};
    memset(body, 'y', sizeof body);
    for (size_t i = 1; i < 4; i++) {
        put(&pack, "A:1:7", messages, 2, "B:1", ENVELOPE_CONNECT);
        ends[i] = buffer_len(&pack);
    }
    for (size_t cut = 0; cut <= buffer_len(&pack); cut++) {
        struct slice rest = slice_of(buffer_bytes(&pack), cut);
        size_t whole = 0, at = 0;
        int rc;
        while ((rc = envelope_pack_take(&rest, &list)) == 1)
            whole++;
        while (at < 3 && ends[at + 1] <= cut)
            at++;
        ck_assert_uint_eq(whole, at);
        ck_assert_int_eq(rc, cut == ends[at] ? 0 : -1);
        ck_assert(rc == 0 || errno == EPROTO);
    }
    frame_list_free(&list);
    buffer_free(&pack);
}
END_TEST

static const struct {
    const char *bytes;
    size_t len;
} BROKEN[] = {
    {"\0", 1},                      /* no frames */
    {"\1", 1},                      /* a frame, but none is there */
    {"\1\2x", 3},                   /* shorter than it says */
    {"\3\1a\1b", 5},                /* one frame less than it says */
    {"\377", 1},                    /* half a number */
    {"\377\1\0\0", 4},              /* half a number */
    {"\377\377\377\377\377\1a", 7}, /* four billion frames */
    {"\377\1\0\1\0\1a", 7},         /* 65,537 frames */
    {"\1\377\377\377\377\377a", 7}, /* a frame of 4 GiB */
    {"\1\377\0\0\0\200a", 7},       /* of 2 GiB */
    {"\2\0\377\1\0\0\0", 7},        /* of one byte that is not there */
};

START_TEST(what_lies_is_refused)
{
    struct frame_list list = {0};
    struct slice rest = slice_of(BROKEN[_i].bytes, BROKEN[_i].len);
    errno = 0;
    ck_assert_int_eq(envelope_pack_take(&rest, &list), -1);
    ck_assert_int_eq(errno, EPROTO);
    ck_assert_uint_le(list.room, 64);
    frame_list_free(&list);
}
END_TEST

/* The long form where the short one would do. */
START_TEST(a_number_may_be_longer_than_it_needs)
{
    struct frame_list list = {0};
    struct slice rest = SLICE_LITERAL("\377\2\0\0\0\0\377\2\0\0\0\1x");
    ck_assert_int_eq(envelope_pack_take(&rest, &list), 1);
    ck_assert_uint_eq(list.count, 2);
    ck_assert_uint_eq(list.frames[0].len, 0);
    ck_assert_uint_eq(list.frames[1].len, 2);
    ck_assert_int_eq(envelope_pack_take(&rest, &list), 0);
    frame_list_free(&list);
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, what_was_packed_comes_out_in_order);
    tcase_add_test(cases, long_and_many_frames_come_out);
    tcase_add_test(cases, a_cut_pack_ends_in_an_error);
    tcase_add_loop_test(cases, what_lies_is_refused, 0, sizeof BROKEN / sizeof *BROKEN);
    tcase_add_test(cases, a_number_may_be_longer_than_it_needs);
}

UNIT_MAIN("envelope_pack", add_tests)
