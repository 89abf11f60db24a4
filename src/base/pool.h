/* Objects of one size, for kinds of which there is one per client: cut from blocks, so that they
 * take nothing beside their size, lie beside each other, and leave no holes between what else is
 * allocated and freed while clients come. A block whose last object is freed goes back. */
#ifndef MSGSERVER_BASE_POOL_H
#define MSGSERVER_BASE_POOL_H

#include <stddef.h>

struct pool_block;

/* All-zero but for the size is a valid empty pool. */
struct pool {
    size_t object_size;        /* a multiple of 8, at most POOL_OBJECT_MAX */
    struct pool_block *blocks; /* those with room; NULL: none */
};

enum { POOL_OBJECT_MAX = 1024 };

/* All-zero memory, or NULL with errno ENOMEM. */
void *pool_allocate(struct pool *pool);
/* NULL is accepted. When the last object is freed, the pool holds nothing. */
void pool_release(struct pool *pool, void *object);

#endif
