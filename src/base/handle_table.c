#include "base/handle_table.h"

#include <stdlib.h>

#include "base/invariant.h"

enum { FIRST_BITS = 4 };

static size_t room_of(const struct handle_table *table)
{
    return table->bits > 0 ? (size_t)1 << table->bits : 0;
}

/* Fibonacci hashing: handles that follow each other end up far apart, and evenly. */
static size_t home_of(const struct handle_table *table, uint64_t handle)
{
    return (size_t)(handle * 0x9e3779b97f4a7c15ull >> (64 - table->bits));
}

static size_t after(const struct handle_table *table, size_t place)
{
    return (place + 1) & (room_of(table) - 1);
}

/* Where the handle is, or the empty place where it would go. */
static size_t place_of(const struct handle_table *table, uint64_t handle)
{
    size_t place = home_of(table, handle);
    while (table->places[place] && *table->places[place] != handle)
        place = after(table, place);
    return place;
}

static int resize(struct handle_table *table, unsigned bits)
{
    struct handle_table other = {.count = table->count, .bits = bits};
    other.places = calloc((size_t)1 << bits, sizeof(uint64_t *));
    if (!other.places)
        return -1;
    for (size_t i = 0; i < room_of(table); i++)
        if (table->places[i])
            other.places[place_of(&other, *table->places[i])] = table->places[i];
    free(table->places);
    *table = other;
    return 0;
}

int handle_table_add(struct handle_table *table, uint64_t *handle)
{
    if ((table->count + 1) * 4 > room_of(table) * 3 &&
        resize(table, table->bits > 0 ? table->bits + 1 : FIRST_BITS) != 0)
        return -1;
    size_t place = place_of(table, *handle);
    INVARIANT(!table->places[place], "a handle was given out twice");
    table->places[place] = handle;
    table->count++;
    return 0;
}

uint64_t *handle_table_find(const struct handle_table *table, uint64_t handle)
{
    return table->count > 0 ? table->places[place_of(table, handle)] : NULL;
}

/* Who stands behind the hole because its place was taken moves up, so that no search ends early. */
static void close_hole(struct handle_table *table, size_t hole)
{
    size_t mask = room_of(table) - 1;
    for (size_t place = after(table, hole); table->places[place]; place = after(table, place)) {
        size_t home = home_of(table, *table->places[place]);
        if (((place - home) & mask) < ((place - hole) & mask))
            continue;
        table->places[hole] = table->places[place];
        hole = place;
    }
    table->places[hole] = NULL;
}

void handle_table_remove(struct handle_table *table, const uint64_t *handle)
{
    size_t place = table->count > 0 ? place_of(table, *handle) : 0;
    INVARIANT(table->count > 0 && table->places[place] == handle, "a handle is in no table");
    close_hole(table, place);
    table->count--;
    if (table->count == 0)
        handle_table_free(table);
    else if (table->bits > FIRST_BITS && table->count < room_of(table) / 8)
        resize(table, table->bits - 1); /* a failure leaves the larger one */
}

uint64_t *handle_table_next(const struct handle_table *table, size_t *place)
{
    while (*place < room_of(table)) {
        uint64_t *found = table->places[(*place)++];
        if (found)
            return found;
    }
    return NULL;
}

void handle_table_free(struct handle_table *table)
{
    free(table->places);
    *table = (struct handle_table){0};
}
