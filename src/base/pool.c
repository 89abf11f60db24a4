#include "base/pool.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/invariant.h"
#include "base/table.h"

#ifdef __SANITIZE_ADDRESS__
/* Whoever uses an object after its end is found out only when each is an allocation of its own. */
void *pool_allocate(struct pool *pool)
{
    return calloc(1, pool->object_size);
}

void pool_release(struct pool *pool, void *object)
{
    (void)pool;
    free(object);
}
#else

/* Blocks lie at multiples of their size, so that an object's block is found by its address. Not
 * from posix_memalign(), which in glibc leaves a hole beside each. Pages that no object was in yet
 * take no memory. */
enum { BLOCK_SIZE = 128 << 10 };

struct free_object {
    struct free_object *next;
};

struct pool_block {
    struct pool_block *prev, *next; /* in pool.blocks */
    struct free_object *freed;
    uint32_t live;
    uint32_t unused; /* where what was never given out begins */
};

static struct pool_block *block_of(void *object)
{
    return (struct pool_block *)((uintptr_t)object & ~((uintptr_t)BLOCK_SIZE - 1));
}

static bool is_full(const struct pool *pool, const struct pool_block *block)
{
    return !block->freed && block->unused + pool->object_size > BLOCK_SIZE;
}

static struct pool_block *add_block(struct pool *pool)
{
    char *memory = mmap(NULL, (size_t)2 * BLOCK_SIZE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    struct pool_block *block = block_of(memory + BLOCK_SIZE - 1);
    size_t before = (size_t)((char *)block - memory);
    if (before > 0)
        munmap(memory, before);
    munmap((char *)block + BLOCK_SIZE, BLOCK_SIZE - before);
    *block = (struct pool_block){.unused = sizeof *block};
    DL_APPEND(pool->blocks, block);
    return block;
}

static void *take_object(struct pool *pool, struct pool_block *block)
{
    void *object = block->freed;
    if (object) {
        block->freed = block->freed->next;
    } else {
        object = (char *)block + block->unused;
        block->unused += (uint32_t)pool->object_size;
    }
    block->live++;
    return object;
}

void *pool_allocate(struct pool *pool)
{
    INVARIANT(pool->object_size % 8 == 0 && pool->object_size <= POOL_OBJECT_MAX,
              "a pool of objects of a wrong size");
    struct pool_block *block = pool->blocks ? pool->blocks : add_block(pool);
    if (!block)
        return NULL;
    void *object = take_object(pool, block);
    if (is_full(pool, block))
        DL_DELETE(pool->blocks, block);
    return memset(object, 0, pool->object_size);
}

void pool_release(struct pool *pool, void *object)
{
    if (!object)
        return;
    struct pool_block *block = block_of(object);
    bool was_full = is_full(pool, block);
    struct free_object *freed = object;
    freed->next = block->freed;
    block->freed = freed;
    /* At the end: those before it are filled first, so that this one may become empty. */
    if (was_full)
        DL_APPEND(pool->blocks, block);
    if (--block->live > 0)
        return;
    DL_DELETE(pool->blocks, block);
    munmap(block, BLOCK_SIZE);
}
#endif
