/* The load generator's checker: a measurement is only worth something when it would notice that
 * messages are lost, repeated or swapped. */
#include "unit.h"

#include "bench/load/message.h"
#include "bench/load/sequence.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const struct {
    uint64_t numbers[5]; /* 0 ends them; all but the last are in order or told before */
    enum sequence_verdict last;
} SEQUENCES[] = {
    {{1}, SEQUENCE_IN_ORDER},
    {{1, 2, 3, 4, 5}, SEQUENCE_IN_ORDER},
    {{2}, SEQUENCE_GAP},
    {{1, 3}, SEQUENCE_GAP},
    {{1, 1000}, SEQUENCE_GAP},
    {{1, 1}, SEQUENCE_DUPLICATE},
    {{1, 2, 3, 1}, SEQUENCE_DUPLICATE},
    {{1, 2, 4, 3}, SEQUENCE_LATE},
    {{1, 2, 4, 3, 3}, SEQUENCE_DUPLICATE},
    {{1, 3, 4, 2, 5}, SEQUENCE_IN_ORDER},
    {{1, 65, 2}, SEQUENCE_LATE},
    {{1, 66, 2}, SEQUENCE_DUPLICATE},
};

START_TEST(gaps_duplicates_and_wrong_order_are_found)
{
    struct sequence sequence = {0};
    enum sequence_verdict verdict = SEQUENCE_IN_ORDER;
    for (size_t i = 0; i < 5 && SEQUENCES[_i].numbers[i] > 0; i++)
        verdict = sequence_take(&sequence, SEQUENCES[_i].numbers[i]);
    ck_assert_str_eq(sequence_word(verdict), sequence_word(SEQUENCES[_i].last));
}
END_TEST

START_TEST(a_pack_gives_back_its_messages)
{
    struct buffer pack = {0};
    char body[MESSAGE_BYTES];
    message_put_pack(&pack, &(struct message){MESSAGE_BROADCAST, 15, 7, 1});
    buffer_truncate(&pack, buffer_len(&pack) - 1);
    message_write(body, &(struct message){MESSAGE_SINGLE, 0, 8, 123456});
    ck_assert_int_eq(buffer_append_string(&pack, ",\"9\":"), 0);
    ck_assert_int_eq(buffer_append(&pack, body, sizeof body), 0);
    ck_assert_int_eq(buffer_append_string(&pack, "}"), 0);
    struct slice rest = buffer_slice(&pack);
    struct message message;
    uint64_t id;
    ck_assert(message_read(&rest, &id, &message));
    ck_assert_uint_eq(id, 7);
    ck_assert_int_eq(message.kind, MESSAGE_BROADCAST);
    ck_assert_uint_eq(message.lane, 15);
    ck_assert_uint_eq(message.number, 7);
    ck_assert(message_read(&rest, &id, &message));
    ck_assert_uint_eq(id, 9);
    ck_assert_int_eq(message.kind, MESSAGE_SINGLE);
    ck_assert_uint_eq(message.number, 8);
    ck_assert_uint_eq(message.due_us, 123456);
    ck_assert(!message_read(&rest, &id, &message));
    buffer_free(&pack);
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_loop_test(cases, gaps_duplicates_and_wrong_order_are_found, 0, COUNT(SEQUENCES));
    tcase_add_test(cases, a_pack_gives_back_its_messages);
}

UNIT_MAIN("bench checker", add_tests)
