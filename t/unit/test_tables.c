/* The tables with an element per client or session, against plain arrays. */
#include "unit.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/handle_table.h"
#include "base/slab.h"
#include "base/roster.h"

enum { ELEMENTS = 5000 };

static size_t elements_of(const struct handle_table *table)
{
    size_t place = 0, found = 0;
    while (handle_table_next(table, &place))
        found++;
    return found;
}

/* Handles of several workers, of which some ends early and some late. */
START_TEST(handles_are_found_as_long_as_they_are_in)
{
    static uint64_t handles[ELEMENTS];
    struct handle_table table = {0};
    ck_assert_ptr_null(handle_table_find(&table, 1));
    for (uint64_t i = 0; i < ELEMENTS; i++) {
        handles[i] = (1700000000 + i % 3) << 32 | (i + 1);
        ck_assert_int_eq(handle_table_add(&table, &handles[i]), 0);
    }
    ck_assert_uint_eq(elements_of(&table), ELEMENTS);
    for (size_t i = 0; i < ELEMENTS; i += 2)
        handle_table_remove(&table, &handles[i]);
    for (size_t i = 0; i < ELEMENTS; i++)
        ck_assert_ptr_eq(handle_table_find(&table, handles[i]), i % 2 ? &handles[i] : NULL);
    ck_assert_uint_eq(elements_of(&table), ELEMENTS / 2);
    for (size_t i = 1; i < ELEMENTS; i += 2)
        handle_table_remove(&table, &handles[i]);
    ck_assert_ptr_null(table.places);
}
END_TEST

/* At every moment of a random life; collisions at the array's end are among it. */
START_TEST(a_table_of_handles_agrees_with_an_array)
{
    enum { FEW = 40, STEPS = 100000 };
    uint64_t handles[FEW];
    bool in[FEW] = {0};
    struct handle_table table = {0};
    for (size_t i = 0; i < FEW; i++)
        handles[i] = i * 0x10001;
    srand(1);
    for (int step = 0; step < STEPS; step++) {
        size_t i = (size_t)rand() % FEW;
        if (in[i])
            handle_table_remove(&table, &handles[i]);
        else
            ck_assert_int_eq(handle_table_add(&table, &handles[i]), 0);
        in[i] = !in[i];
        size_t other = (size_t)rand() % FEW;
        ck_assert_ptr_eq(handle_table_find(&table, handles[other]),
                         in[other] ? &handles[other] : NULL);
    }
    handle_table_free(&table);
}
END_TEST

START_TEST(a_table_of_handles_shrinks_as_it_empties)
{
    static uint64_t handles[ELEMENTS];
    struct handle_table table = {0};
    for (uint64_t i = 0; i < ELEMENTS; i++) {
        handles[i] = i;
        ck_assert_int_eq(handle_table_add(&table, &handles[i]), 0);
    }
    ck_assert_uint_le((size_t)1 << table.bits, ELEMENTS * 8 / 3);
    while (table.count > 10)
        handle_table_remove(&table, &handles[table.count - 1]);
    ck_assert_uint_le((size_t)1 << table.bits, 128);
    handle_table_free(&table);
}
END_TEST

START_TEST(a_handle_cannot_be_in_twice)
{
    uint64_t handle = 7, same = 7;
    struct handle_table table = {0};
    ck_assert_int_eq(handle_table_add(&table, &handle), 0);
    handle_table_add(&table, &same);
}
END_TEST

struct named {
    struct roster_member member;
    bool in;
    char name[32];
};

static struct slice name_of(const struct roster_member *member)
{
    return slice_from_string(((const struct named *)member)->name);
}

static struct named *make_named(size_t count)
{
    struct named *named = calloc(count, sizeof *named);
    ck_assert_ptr_nonnull(named);
    for (size_t i = 0; i < count; i++)
        snprintf(named[i].name, sizeof named[i].name, "player-%zu", i);
    return named;
}

static void must_agree(const struct roster *roster, const struct named *named)
{
    ck_assert_ptr_eq(roster_find(roster, slice_from_string(named->name)),
                     named->in ? &named->member : NULL);
}

START_TEST(members_are_in_a_row_and_found_by_name)
{
    struct named *named = make_named(ELEMENTS);
    struct roster roster = {.key_of = name_of};
    must_agree(&roster, &named[0]);
    for (size_t i = 0; i < ELEMENTS; i++) {
        ck_assert_int_eq(roster_add(&roster, &named[i].member), 0);
        named[i].in = true;
    }
    ck_assert_uint_eq(roster.count, ELEMENTS);
    for (size_t i = 0; i < ELEMENTS; i++) {
        must_agree(&roster, &named[i]);
        ck_assert_ptr_eq(roster.members[i], &named[i].member);
    }
    ck_assert_ptr_null(roster_find(&roster, SLICE_LITERAL("player-")));
    while (roster.count > 10) {
        struct named *last = (struct named *)roster.members[roster.count - 1];
        roster_remove(&roster, &last->member);
        last->in = false;
    }
    ck_assert_uint_lt(roster.room, 64);
    ck_assert_uint_lt(roster.index_room, 128);
    for (size_t i = 0; i < ELEMENTS; i++)
        must_agree(&roster, &named[i]);
    roster_free(&roster);
    free(named);
}
END_TEST

START_TEST(a_roster_agrees_with_an_array)
{
    enum { FEW = 40, STEPS = 20000 };
    struct named *named = make_named(FEW);
    struct roster roster = {.key_of = name_of};
    srand(2);
    for (int step = 0; step < STEPS; step++) {
        struct named *one = &named[rand() % FEW];
        if (one->in)
            roster_remove(&roster, &one->member);
        else
            ck_assert_int_eq(roster_add(&roster, &one->member), 0);
        one->in = !one->in;
        must_agree(&roster, one);
        must_agree(&roster, &named[rand() % FEW]);
        uint32_t in_place = 0;
        for (uint32_t i = 0; i < roster.count; i++)
            in_place += roster.members[i]->place == i;
        ck_assert_uint_eq(in_place, roster.count);
    }
    roster_free(&roster);
    free(named);
}
END_TEST

/* Who is removed while all are walked over from the last to the first leaves none out. */
START_TEST(members_may_leave_during_a_walk)
{
    struct named *named = make_named(100);
    struct roster roster = {.key_of = name_of};
    for (size_t i = 0; i < 100; i++)
        ck_assert_int_eq(roster_add(&roster, &named[i].member), 0);
    for (uint32_t left = roster.count; left > 0; left--) {
        struct named *one = (struct named *)roster.members[left - 1];
        ck_assert(!one->in);
        one->in = true;
        if (left % 3 == 0)
            roster_remove(&roster, &one->member);
    }
    for (size_t i = 0; i < 100; i++)
        ck_assert(named[i].in);
    roster_free(&roster);
    free(named);
}
END_TEST

struct object {
    uint64_t number, more[20];
};

START_TEST(slab_gives_zeroed_memory_and_takes_it_back)
{
    static struct object *objects[ELEMENTS];
    struct slab slab = {.object_size = sizeof(struct object)};
    for (int round = 0; round < 3; round++) {
        for (uint64_t i = 0; i < ELEMENTS; i++) {
            objects[i] = slab_allocate(&slab);
            ck_assert_ptr_nonnull(objects[i]);
            for (size_t j = 0; j < 20; j++)
                ck_assert_uint_eq(objects[i]->more[j], 0);
            memset(objects[i], 0xff, sizeof *objects[i]);
            objects[i]->number = i;
        }
        /* Half of them go, in another order, and come again. */
        for (size_t i = 0; i < ELEMENTS; i += 2)
            slab_release(&slab, objects[(i * 7) % ELEMENTS]);
        for (uint64_t i = 0; i < ELEMENTS; i += 2) {
            struct object *object = slab_allocate(&slab);
            ck_assert_ptr_nonnull(object);
            ck_assert_uint_eq(object->number, 0);
            object->number = (i * 7) % ELEMENTS;
            objects[(i * 7) % ELEMENTS] = object;
        }
        for (uint64_t i = 0; i < ELEMENTS; i++) {
            ck_assert_uint_eq(objects[i]->number, i);
            slab_release(&slab, objects[i]);
        }
        ck_assert_ptr_null(slab.blocks);
    }
    slab_release(&slab, NULL);
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, slab_gives_zeroed_memory_and_takes_it_back);
    tcase_add_test(cases, handles_are_found_as_long_as_they_are_in);
    tcase_add_test(cases, a_table_of_handles_agrees_with_an_array);
    tcase_add_test(cases, a_table_of_handles_shrinks_as_it_empties);
    tcase_add_test_raise_signal(cases, a_handle_cannot_be_in_twice, SIGABRT);
    tcase_add_test(cases, members_are_in_a_row_and_found_by_name);
    tcase_add_test(cases, a_roster_agrees_with_an_array);
    tcase_add_test(cases, members_may_leave_during_a_walk);
}

UNIT_MAIN("tables", add_tests)
