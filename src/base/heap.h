/* A binary heap of elements that each hold a node: the lowest key is found at once, and any element
 * moves or leaves in logarithmic time. */
#ifndef MSGSERVER_BASE_HEAP_H
#define MSGSERVER_BASE_HEAP_H

#include <stddef.h>
#include <stdint.h>

/* All-zero: in no heap. */
struct heap_node {
    uint64_t key;
    size_t place; /* index + 1; 0: in no heap */
};

/* All-zero is a valid empty heap. */
struct heap {
    struct heap_node **nodes;
    size_t count, room;
};

/* Makes room, so that `count` elements more can be set. Returns 0, or -1 with errno ENOMEM. */
int heap_reserve(struct heap *heap, size_t count);
/* Puts the node in, after heap_reserve(), or moves it. */
void heap_set(struct heap *heap, struct heap_node *node, uint64_t key);
/* A node that is in no heap is left alone. */
void heap_remove(struct heap *heap, struct heap_node *node);
/* The node with the lowest key, or NULL. */
static inline struct heap_node *heap_first(const struct heap *heap)
{
    return heap->count > 0 ? heap->nodes[0] : NULL;
}
/* Frees the heap, not its elements. */
void heap_free(struct heap *heap);

#endif
