#include "base/roster.h"

#include <errno.h>
#include <stdlib.h>

#include "base/invariant.h"
#include "base/table.h"

enum { FIRST_ROOM = 8, FIRST_INDEX_ROOM = 16, MOST = UINT32_MAX / 4 };

struct roster_index {
    uint32_t hash;
    uint32_t number; /* place in roster.members + 1; 0: empty */
};

static uint32_t hash_of(struct slice key)
{
    return (uint32_t)table_hash(key.data, key.len);
}

static uint32_t after(const struct roster *roster, uint32_t at)
{
    return (at + 1) & (roster->index_room - 1);
}

/* The first place of the index that `hash` may have, and is empty. */
static void enter_index(struct roster_index *index, uint32_t room, struct roster_index entry)
{
    uint32_t at = entry.hash & (room - 1);
    while (index[at].number > 0)
        at = (at + 1) & (room - 1);
    index[at] = entry;
}

static int resize_index(struct roster *roster, uint32_t room)
{
    struct roster_index *index = calloc(room, sizeof *index);
    if (!index)
        return -1;
    for (uint32_t i = 0; i < roster->index_room; i++)
        if (roster->index[i].number > 0)
            enter_index(index, room, roster->index[i]);
    free(roster->index);
    roster->index = index;
    roster->index_room = room;
    return 0;
}

static int resize_members(struct roster *roster, uint32_t room)
{
    struct roster_member **members =
        reallocarray(roster->members, room, sizeof(struct roster_member *));
    if (!members)
        return -1;
    roster->members = members;
    roster->room = room;
    return 0;
}

static int make_room(struct roster *roster)
{
    if (roster->count >= MOST) {
        errno = ENOMEM;
        return -1;
    }
    if (roster->count == roster->room &&
        resize_members(roster, roster->room + roster->room / 2 + FIRST_ROOM) != 0)
        return -1;
    if ((roster->count + 1) * 4ull > roster->index_room * 3ull)
        return resize_index(roster,
                            roster->index_room > 0 ? roster->index_room * 2 : FIRST_INDEX_ROOM);
    return 0;
}

int roster_add(struct roster *roster, struct roster_member *member)
{
    if (make_room(roster) != 0)
        return -1;
    member->place = roster->count;
    roster->members[roster->count++] = member;
    enter_index(roster->index, roster->index_room,
                (struct roster_index){hash_of(roster->key_of(member)), roster->count});
    return 0;
}

struct roster_member *roster_find(const struct roster *roster, struct slice key)
{
    if (roster->count == 0)
        return NULL;
    uint32_t hash = hash_of(key);
    for (uint32_t at = hash & (roster->index_room - 1); roster->index[at].number > 0;
         at = after(roster, at)) {
        if (roster->index[at].hash != hash)
            continue;
        struct roster_member *member = roster->members[roster->index[at].number - 1];
        if (slice_equal(roster->key_of(member), key))
            return member;
    }
    return NULL;
}

/* Where the index has a member. */
static uint32_t index_of(const struct roster *roster, const struct roster_member *member)
{
    uint32_t at = hash_of(roster->key_of(member)) & (roster->index_room - 1);
    while (roster->index[at].number != member->place + 1) {
        INVARIANT(roster->index[at].number > 0, "a member that is not in its roster");
        at = after(roster, at);
    }
    return at;
}

/* Who stands behind the hole because its place was taken moves up, so that no search ends early. */
static void close_hole(struct roster *roster, uint32_t hole)
{
    uint32_t mask = roster->index_room - 1;
    for (uint32_t at = after(roster, hole); roster->index[at].number > 0; at = after(roster, at)) {
        uint32_t home = roster->index[at].hash & mask;
        if (((at - home) & mask) < ((at - hole) & mask))
            continue;
        roster->index[hole] = roster->index[at];
        hole = at;
    }
    roster->index[hole].number = 0;
}

/* A failure leaves the larger arrays. */
static void give_back(struct roster *roster)
{
    if (roster->count == 0) {
        roster_free(roster);
        return;
    }
    if (roster->room > FIRST_ROOM && roster->count < roster->room / 4)
        resize_members(roster, roster->room / 2);
    if (roster->index_room > FIRST_INDEX_ROOM && roster->count < roster->index_room / 8)
        resize_index(roster, roster->index_room / 2);
}

void roster_remove(struct roster *roster, struct roster_member *member)
{
    INVARIANT(member->place < roster->count && roster->members[member->place] == member,
              "a member that is not in its roster");
    close_hole(roster, index_of(roster, member));
    struct roster_member *last = roster->members[roster->count - 1];
    if (last != member) {
        uint32_t at = index_of(roster, last);
        roster->members[member->place] = last;
        last->place = member->place;
        roster->index[at].number = last->place + 1;
    }
    roster->count--;
    give_back(roster);
}

void roster_free(struct roster *roster)
{
    free(roster->members);
    free(roster->index);
    *roster = (struct roster){.key_of = roster->key_of};
}
