/* Elements by a 64-bit handle, for tables with an element per client.
 *
 * uthash costs 56 bytes per element beside its buckets, and a look-up walks a chain of elements,
 * each a cache miss. Here an element costs one pointer of an array that is at most three quarters
 * full, and a look-up rarely touches another element than the one it is for. Handles are given out
 * by our own processes, one after the other, so that spreading them needs no secret key: what
 * others choose belongs into base/table.h or base/roster.h.
 *
 * An element holds its handle as a uint64_t, and the table points to that. */
#ifndef MSGSERVER_BASE_HANDLE_TABLE_H
#define MSGSERVER_BASE_HANDLE_TABLE_H

#include <stddef.h>
#include <stdint.h>

/* All-zero is a valid empty table. */
struct handle_table {
    uint64_t **places;
    size_t count;
    unsigned bits; /* the table has 1 << bits places; 0: none */
};

/* The element must stay where it is, and its handle as it is, while it is in the table; no other
 * may have the same. Returns 0, or -1 with errno ENOMEM. */
int handle_table_add(struct handle_table *table, uint64_t *handle);
/* NULL when there is none. */
uint64_t *handle_table_find(const struct handle_table *table, uint64_t handle);
/* One that is in the table. Memory is given back as the table empties. */
void handle_table_remove(struct handle_table *table, const uint64_t *handle);

/* All elements in turn, in no order: start with *place 0; NULL at the end. Neither add nor remove
 * meanwhile. */
uint64_t *handle_table_next(const struct handle_table *table, size_t *place);

/* Frees the table, not its elements. */
void handle_table_free(struct handle_table *table);

#endif
