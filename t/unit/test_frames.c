#include "unit.h"

#include <errno.h>

#include "codecs/control_frames.h"
#include "codecs/data_frames.h"
#include "codecs/requests.h"

static struct buffer sample(void)
{
    struct buffer out = {0};
    struct frame_attach attach = {.handle = 7ull << 32 | 9,
                                  .style = STYLE_LONG_POLL,
                                  .address = SLICE_LITERAL("sess/bob:abc"),
                                  .home = SLICE_LITERAL("e2dd6de0a6166a3f:15001")};
    struct frame_end end = {.handle = 1, .reason = END_HOST_GONE};
    ck_assert_int_eq(put_attach(&out, &attach), 0);
    ck_assert_int_eq(put_end(&out, &end), 0);
    return out;
}

START_TEST(what_is_put_is_what_one_gets)
{
    struct buffer out = sample();
    struct frame frame;
    long len = frame_parse(buffer_slice(&out), 1024, &frame);
    ck_assert_int_gt(len, 0);
    ck_assert_int_eq(frame.type, FRAME_ATTACH);
    struct frame_attach attach;
    ck_assert_int_eq(get_attach(frame.payload, &attach), 0);
    ck_assert_uint_eq(attach.handle, 7ull << 32 | 9);
    ck_assert_int_eq(attach.style, STYLE_LONG_POLL);
    ck_assert_slice_eq(attach.address, "sess/bob:abc");
    ck_assert_uint_eq(attach.confirmed.len, 0);
    buffer_consume(&out, (size_t)len);
    ck_assert_int_eq(frame_parse(buffer_slice(&out), 1024, &frame), (long)buffer_len(&out));
    struct frame_end end;
    ck_assert_int_eq(get_end(frame.payload, &end), 0);
    ck_assert_int_eq(end.reason, END_HOST_GONE);
    buffer_free(&out);
}
END_TEST

START_TEST(every_cut_of_a_frame_needs_more_bytes)
{
    struct buffer out = sample();
    struct frame frame;
    size_t first = (size_t)frame_parse(buffer_slice(&out), 1024, &frame);
    for (size_t cut = 0; cut < first; cut++)
        ck_assert_int_eq(frame_parse(slice_of(buffer_bytes(&out), cut), 1024, &frame), 0);
    buffer_free(&out);
}
END_TEST

START_TEST(payloads_are_consumed_exactly)
{
    struct buffer out = sample();
    struct frame frame;
    frame_parse(buffer_slice(&out), 1024, &frame);
    struct frame_attach attach;
    for (size_t cut = 0; cut < frame.payload.len; cut++) {
        errno = 0;
        ck_assert_int_eq(get_attach(slice_of(frame.payload.data, cut), &attach), -1);
        ck_assert_int_eq(errno, EPROTO);
    }
    ck_assert_int_eq(get_attach(slice_of(frame.payload.data, frame.payload.len + 1), &attach), -1);
    buffer_free(&out);
}
END_TEST

START_TEST(headers_out_of_rule_are_refused)
{
    struct frame frame;
    static const char TOO_LONG[8] = {0, 5, 0, 0, 1, 0, 0, 0},
                      RESERVED[8] = {0, 0, 0, 0, 1, 0, 1, 0};
    ck_assert_int_eq(frame_parse(slice_of(TOO_LONG, 8), 1024, &frame), -1);
    ck_assert_int_eq(frame_parse(slice_of(RESERVED, 8), 1024, &frame), -1);
    ck_assert_ptr_null(data_frame_rule(0));
    ck_assert_ptr_null(data_frame_rule(FRAME_DATA_TYPES));
    ck_assert_str_eq(data_frame_rule(FRAME_DELIVER)->name, "deliver");
    ck_assert_ptr_null(control_frame_rule(999));
    ck_assert_ptr_null(request_rule(0));
}
END_TEST

START_TEST(runs_of_messages_and_results)
{
    struct buffer out = {0};
    ck_assert_int_eq(put_message(&out, 4, SLICE_LITERAL("[]")), 0);
    ck_assert_int_eq(put_message(&out, 5, SLICE_LITERAL("[[\"a\"]]")), 0);
    struct frame_reader reader = reader_of(buffer_slice(&out));
    struct message message;
    ck_assert(get_message(&reader, &message) && message.id == 4);
    ck_assert(get_message(&reader, &message) && message.id == 5);
    ck_assert_slice_eq(message.body, "[[\"a\"]]");
    ck_assert(!get_message(&reader, &message));
    ck_assert_int_eq(reader_finish(&reader), 0);
    buffer_free(&out);

    struct recipient_result in = {.outcome = OUTCOME_OVER_LIMIT,
                                  .limit = LIMIT_STORE,
                                  .first_id = 12,
                                  .count = 3,
                                  .dropped = 4},
                            result;
    ck_assert_int_eq(put_recipient_result(&out, &in), 0);
    reader = reader_of(buffer_slice(&out));
    ck_assert(get_recipient_result(&reader, &result));
    ck_assert_str_eq(outcome_code(result.outcome), "overLimit");
    ck_assert_uint_eq(result.first_id, 12);
    buffer_free(&out);
}
END_TEST

START_TEST(end_reasons_have_the_names_that_clients_know)
{
    ck_assert_str_eq(end_reason_unset(END_NO_SESSION), "noSession");
    ck_assert_ptr_null(end_reason_unset(END_SUPERSEDED));
    ck_assert_int_eq(end_reason_from_unset(SLICE_LITERAL("hostGone")), END_HOST_GONE);
    ck_assert_int_eq(end_reason_from_unset(SLICE_LITERAL("")), -1);
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, what_is_put_is_what_one_gets);
    tcase_add_test(cases, every_cut_of_a_frame_needs_more_bytes);
    tcase_add_test(cases, payloads_are_consumed_exactly);
    tcase_add_test(cases, headers_out_of_rule_are_refused);
    tcase_add_test(cases, runs_of_messages_and_results);
    tcase_add_test(cases, end_reasons_have_the_names_that_clients_know);
}

UNIT_MAIN("frames", add_tests)
