/* Elements by a text, and in a row, for tables with an element per session.
 *
 * The elements are in one dense array, so that walking over all of them can be told to fetch those
 * that come next; beside it is an index of 8 bytes per place, at most three quarters full, that is
 * searched without touching an element but the right one. uthash costs 56 bytes per element beside
 * its buckets, and either walk goes from element to element, each a cache miss. The hash is keyed,
 * as in base/table.h: nobody outside can choose texts that collide. */
#ifndef MSGSERVER_BASE_ROSTER_H
#define MSGSERVER_BASE_ROSTER_H

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

/* Part of an element. */
struct roster_member {
    uint32_t place; /* in roster.members */
};

/* All-zero but for key_of() is a valid empty roster. */
struct roster {
    /* The text of a member; it stays as it is while the member is in the roster. */
    struct slice (*key_of)(const struct roster_member *member);
    struct roster_member **members;
    uint32_t count, room;
    struct roster_index *index;
    uint32_t index_room; /* a power of two, or 0 */
};

/* No other member may have the same text. Returns 0, or -1 with errno ENOMEM. */
int roster_add(struct roster *roster, struct roster_member *member);
/* NULL when there is none. */
struct roster_member *roster_find(const struct roster *roster, struct slice key);
/* The last member takes the place of the one that leaves: who walks from the last to the first may
 * remove where he is. Memory is given back as the roster empties. */
void roster_remove(struct roster *roster, struct roster_member *member);

/* Frees the roster, not its members. */
void roster_free(struct roster *roster);

#endif
