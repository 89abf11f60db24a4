/* Objects of one size, for kinds of which there is one per client: cut from blocks, so that they
 * take nothing beside their size, lie beside each other, and leave no holes between what else is
 * allocated and freed while clients come. A block whose last object is freed goes back. */
#ifndef MSGSERVER_BASE_SLAB_H
#define MSGSERVER_BASE_SLAB_H

#include <stddef.h>

struct slab_block;

/* All-zero but for the size is a valid empty slab. */
struct slab {
    size_t object_size;        /* a multiple of 8, at most SLAB_OBJECT_MAX */
    struct slab_block *blocks; /* those with room; NULL: none */
};

enum { SLAB_OBJECT_MAX = 1024 };

/* All-zero memory, or NULL with errno ENOMEM. */
void *slab_allocate(struct slab *slab);
/* NULL is accepted. When the last object is freed, the slab holds nothing. */
void slab_release(struct slab *slab, void *object);

#endif
