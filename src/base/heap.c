#include "base/heap.h"

#include <stdlib.h>

#include "base/invariant.h"

enum { FIRST_ROOM = 16 };

int heap_reserve(struct heap *heap, size_t count)
{
    size_t wanted = heap->room > 0 ? heap->room : FIRST_ROOM;
    while (wanted < heap->count + count)
        wanted *= 2;
    if (wanted == heap->room)
        return 0;
    struct heap_node **grown = reallocarray(heap->nodes, wanted, sizeof(struct heap_node *));
    if (!grown)
        return -1;
    heap->nodes = grown;
    heap->room = wanted;
    return 0;
}

static void put(struct heap *heap, size_t index, struct heap_node *node)
{
    heap->nodes[index] = node;
    node->place = index + 1;
}

/* Finds the place for `node`, which is to be at `index` or nearer to the root. */
static void rise(struct heap *heap, size_t index, struct heap_node *node)
{
    while (index > 0) {
        size_t parent = (index - 1) / 2;
        if (heap->nodes[parent]->key <= node->key)
            break;
        put(heap, index, heap->nodes[parent]);
        index = parent;
    }
    put(heap, index, node);
}

/* The same, farther from the root. */
static void sink(struct heap *heap, size_t index, struct heap_node *node)
{
    for (;;) {
        size_t child = 2 * index + 1;
        if (child >= heap->count)
            break;
        if (child + 1 < heap->count && heap->nodes[child + 1]->key < heap->nodes[child]->key)
            child++;
        if (heap->nodes[child]->key >= node->key)
            break;
        put(heap, index, heap->nodes[child]);
        index = child;
    }
    put(heap, index, node);
}

void heap_set(struct heap *heap, struct heap_node *node, uint64_t key)
{
    if (node->place == 0) {
        INVARIANT(heap->count < heap->room, "a heap without room reserved");
        node->key = key;
        rise(heap, heap->count++, node);
        return;
    }
    uint64_t old = node->key;
    node->key = key;
    if (key < old)
        rise(heap, node->place - 1, node);
    else
        sink(heap, node->place - 1, node);
}

void heap_remove(struct heap *heap, struct heap_node *node)
{
    if (node->place == 0)
        return;
    size_t index = node->place - 1;
    struct heap_node *last = heap->nodes[--heap->count];
    node->place = 0;
    if (last == node)
        return;
    if (last->key < node->key)
        rise(heap, index, last);
    else
        sink(heap, index, last);
}

void heap_free(struct heap *heap)
{
    free(heap->nodes);
    *heap = (struct heap){0};
}
