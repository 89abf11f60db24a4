#include "base/slab.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/invariant.h"
#include "base/table.h"

#ifdef __SANITIZE_ADDRESS__
/* Whoever uses an object after its end is found out only when each is an allocation of its own. */
void *slab_allocate(struct slab *slab)
{
    return calloc(1, slab->object_size);
}

void slab_release(struct slab *slab, void *object)
{
    (void)slab;
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

struct slab_block {
    struct slab_block *prev, *next; /* in slab.blocks */
    struct free_object *freed;
    uint32_t live;
    uint32_t unused; /* where what was never given out begins */
};

static struct slab_block *block_of(void *object)
{
    return (struct slab_block *)((uintptr_t)object & ~((uintptr_t)BLOCK_SIZE - 1));
}

static bool is_full(const struct slab *slab, const struct slab_block *block)
{
    return !block->freed && block->unused + slab->object_size > BLOCK_SIZE;
}

static struct slab_block *add_block(struct slab *slab)
{
    char *memory = mmap(NULL, (size_t)2 * BLOCK_SIZE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    struct slab_block *block = block_of(memory + BLOCK_SIZE - 1);
    size_t before = (size_t)((char *)block - memory);
    if (before > 0)
        munmap(memory, before);
    munmap((char *)block + BLOCK_SIZE, BLOCK_SIZE - before);
    *block = (struct slab_block){.unused = sizeof *block};
    DL_APPEND(slab->blocks, block);
    return block;
}

static void *take_object(struct slab *slab, struct slab_block *block)
{
    void *object = block->freed;
    if (object) {
        block->freed = block->freed->next;
    } else {
        object = (char *)block + block->unused;
        block->unused += (uint32_t)slab->object_size;
    }
    block->live++;
    return object;
}

void *slab_allocate(struct slab *slab)
{
    INVARIANT(slab->object_size % 8 == 0 && slab->object_size <= SLAB_OBJECT_MAX,
              "a slab of objects of a wrong size");
    struct slab_block *block = slab->blocks ? slab->blocks : add_block(slab);
    if (!block)
        return NULL;
    void *object = take_object(slab, block);
    if (is_full(slab, block))
        DL_DELETE(slab->blocks, block);
    return memset(object, 0, slab->object_size);
}

void slab_release(struct slab *slab, void *object)
{
    if (!object)
        return;
    struct slab_block *block = block_of(object);
    bool was_full = is_full(slab, block);
    struct free_object *freed = object;
    freed->next = block->freed;
    block->freed = freed;
    /* At the end: those before it are filled first, so that this one may become empty. */
    if (was_full)
        DL_APPEND(slab->blocks, block);
    if (--block->live > 0)
        return;
    /* The analyzer does not know that the only element of a list is its own predecessor. */
    DL_DELETE(slab->blocks, block); // NOLINT(*-core.NullDereference)
    munmap(block, BLOCK_SIZE);
}
#endif
