#include "unit.h"

#include <errno.h>
#include <inttypes.h>

#include "codecs/message_pack.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void add(struct buffer *run, uint64_t id, const char *body)
{
    ck_assert_int_eq(put_message(run, id, slice_from_string(body)), 0);
}

static void assert_pack(struct buffer *run, const char *wanted)
{
    struct buffer out = {0};
    ck_assert_int_eq(message_pack_put(&out, buffer_slice(run)), 0);
    ck_assert_slice_eq(buffer_slice(&out), wanted);
    ck_assert_uint_eq(message_pack_len(buffer_slice(run)), strlen(wanted));
    buffer_free(&out);
    buffer_free(run);
}

START_TEST(packs_are_spliced)
{
    struct buffer run = {0};
    add(&run, 1, "[[\"a.b\",{\"x\":1}],[\"c\"]]");
    add(&run, 2, "[[\"d\"]]");
    assert_pack(&run, "{\"1\":[[\"a.b\",{\"x\":1}],[\"c\"]],\"2\":[[\"d\"]]}");
    assert_pack(&run, "{}");
    add(&run, 7, " [ [\"a\" ,\n1] ] ");
    assert_pack(&run, "{\"7\": [ [\"a\" ,\n1] ] }");
    add(&run, 9, "[]");
    add(&run, 10, "[]");
    add(&run, 99, "[]");
    add(&run, 100, "[]");
    add(&run, UINT64_MAX, "[]");
    assert_pack(&run, "{\"9\":[],\"10\":[],\"99\":[],\"100\":[],\"18446744073709551615\":[]}");
}
END_TEST

START_TEST(packs_are_appended)
{
    struct buffer run = {0}, out = {0};
    add(&run, 3, "[[\"a\"]]");
    ck_assert_int_eq(buffer_append_string(&out, "head:"), 0);
    ck_assert_int_eq(message_pack_put(&out, buffer_slice(&run)), 0);
    ck_assert_int_eq(message_pack_put_unset(&out, "hostGone"), 0);
    ck_assert_slice_eq(buffer_slice(&out),
                       "head:{\"3\":[[\"a\"]]}{\"0\":[[\"session.unset\",\"hostGone\"]]}");
    buffer_free(&out);
    buffer_free(&run);
}
END_TEST

START_TEST(a_broken_run_leaves_the_buffer_as_it_was)
{
    struct buffer run = {0}, out = {0};
    add(&run, 3, "[[\"a\"]]");
    const size_t whole = buffer_len(&run);
    add(&run, 4, "[[\"b\"]]");
    ck_assert_int_eq(buffer_append_string(&out, "head:"), 0);
    for (size_t cut = 1; cut < buffer_len(&run); cut++) {
        if (cut == whole)
            continue;
        struct slice broken = slice_of(buffer_bytes(&run), cut);
        errno = 0;
        ck_assert_int_eq(message_pack_put(&out, broken), -1);
        ck_assert_int_eq(errno, EPROTO);
        ck_assert_slice_eq(buffer_slice(&out), "head:");
        ck_assert_int_eq(event_stream_put(&out, broken), -1);
        ck_assert_int_eq(errno, EPROTO);
        ck_assert_slice_eq(buffer_slice(&out), "head:");
    }
    buffer_free(&out);
    buffer_free(&run);
}
END_TEST

START_TEST(event_streams)
{
    static const struct {
        const char *body, *event;
    } EVENTS[] = {
        {"[[\"a\"]]", "id: 5\ndata: {\"5\":[[\"a\"]]}\n\n"},
        {"[[\"a\",\"b\\n\"]]", "id: 5\ndata: {\"5\":[[\"a\",\"b\\n\"]]}\n\n"},
        {"[\n[\"a\"]]", "id: 5\ndata: {\"5\":[\ndata: [\"a\"]]}\n\n"},
        {"[\r[\"a\"]]", "id: 5\ndata: {\"5\":[\ndata: [\"a\"]]}\n\n"},
        {"[\r\n[\"a\"]]", "id: 5\ndata: {\"5\":[\ndata: [\"a\"]]}\n\n"},
        {"[\n\r[\"a\"]]", "id: 5\ndata: {\"5\":[\ndata: \ndata: [\"a\"]]}\n\n"},
        {"[\n\n[\"a\"]]", "id: 5\ndata: {\"5\":[\ndata: \ndata: [\"a\"]]}\n\n"},
        {"\r\n[]\r\n", "id: 5\ndata: {\"5\":\ndata: []\ndata: }\n\n"},
        {"[]\r", "id: 5\ndata: {\"5\":[]\ndata: }\n\n"},
    };
    for (size_t i = 0; i < COUNT(EVENTS); i++) {
        struct buffer run = {0}, out = {0};
        add(&run, 5, EVENTS[i].body);
        ck_assert_int_eq(event_stream_put(&out, buffer_slice(&run)), 0);
        ck_assert_slice_eq(buffer_slice(&out), EVENTS[i].event);
        buffer_free(&out);
        buffer_free(&run);
    }
}
END_TEST

START_TEST(event_streams_have_one_event_per_message)
{
    struct buffer run = {0}, out = {0};
    add(&run, 9, "[[\"a\"]]");
    add(&run, 10, "[[\"b\"]]");
    ck_assert_int_eq(event_stream_put(&out, buffer_slice(&run)), 0);
    ck_assert_int_eq(event_stream_put_unset(&out, "expired"), 0);
    ck_assert_slice_eq(buffer_slice(&out), "id: 9\ndata: {\"9\":[[\"a\"]]}\n\n"
                                           "id: 10\ndata: {\"10\":[[\"b\"]]}\n\n"
                                           "data: {\"0\":[[\"session.unset\",\"expired\"]]}\n\n");
    buffer_free(&out);
    buffer_free(&run);
    ck_assert_int_eq(event_stream_put(&out, SLICE_EMPTY), 0);
    ck_assert_uint_eq(buffer_len(&out), 0);
}
END_TEST

/* `ids` as "1 2 3", or "refused". */
static const struct {
    const char *text, *ids;
} LISTS[] = {
    {"", ""},
    {",", ""},
    {",,,", ""},
    {"0", ""},
    {"0,0", ""},
    {"5", "5"},
    {"1,2,3", "1 2 3"},
    {"12,3,", "12 3"},
    {",12,,3", "12 3"},
    {"3,3,3", "3"},
    {"0,1,0", "1"},
    {"007", "7"},
    {"18446744073709551615", "18446744073709551615"},
    {"1,2,3,4", "1 2 3 4"},
    {"1,2,3,4,5", "5 2 3 4"},
    {"9,8,7,6,5,4,3", "9 8 7 6"},
    {"1,2,3,4,4,4,4", "1 2 3 4"},
    {"18446744073709551616", "refused"},
    {"99999999999999999999999", "refused"},
    {" ", "refused"},
    {"1, 2", "refused"},
    {"1 ,2", "refused"},
    {"1;2", "refused"},
    {"-1", "refused"},
    {"+1", "refused"},
    {"1.0", "refused"},
    {"1e3", "refused"},
    {"0x1", "refused"},
    {"a", "refused"},
    {"1,2,x", "refused"},
    {"[1]", "refused"},
    {"%2C", "refused"},
    {"1,2\n", "refused"},
};

START_TEST(id_lists)
{
    enum { ROOM = 4 };
    uint64_t ids[ROOM];
    struct buffer text = {0};
    errno = 0;
    long count = id_list_parse(slice_from_string(LISTS[_i].text), ids, ROOM);
    if (count < 0) {
        ck_assert_int_eq(errno, EINVAL);
        ck_assert_str_eq(LISTS[_i].ids, "refused");
        return;
    }
    ck_assert_int_le(count, ROOM);
    for (long i = 0; i < count; i++)
        ck_assert_int_eq(buffer_printf(&text, "%s%" PRIu64, i > 0 ? " " : "", ids[i]), 0);
    ck_assert_slice_eq(buffer_slice(&text), LISTS[_i].ids);
    buffer_free(&text);
}
END_TEST

START_TEST(id_lists_without_room)
{
    ck_assert_int_eq(id_list_parse(SLICE_LITERAL("1,2"), NULL, 0), 0);
    ck_assert_int_eq(id_list_parse(SLICE_LITERAL("1,x"), NULL, 0), -1);
    ck_assert_int_eq(id_list_parse(slice_of("1\0", 2), NULL, 0), -1);
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, packs_are_spliced);
    tcase_add_test(cases, packs_are_appended);
    tcase_add_test(cases, a_broken_run_leaves_the_buffer_as_it_was);
    tcase_add_test(cases, event_streams);
    tcase_add_test(cases, event_streams_have_one_event_per_message);
    tcase_add_loop_test(cases, id_lists, 0, COUNT(LISTS));
    tcase_add_test(cases, id_lists_without_room);
}

UNIT_MAIN("message_pack", add_tests)
