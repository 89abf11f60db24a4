/* Memory of one configuration load: many small pieces with one end of life. */
#ifndef MSGSERVER_MASTER_CONFIG_POOL_H
#define MSGSERVER_MASTER_CONFIG_POOL_H

#include <stddef.h>

#include "base/slice.h"

struct pool_piece;

/* All-zero is a valid empty pool. */
struct pool {
    struct pool_piece *pieces;
};

/* Zeroed memory that lives as long as the pool. Return NULL with errno ENOMEM. */
void *pool_alloc(struct pool *pool, size_t size);
/* A copy that ends with NUL. */
char *pool_text(struct pool *pool, struct slice text);
char *pool_printf(struct pool *pool, const char *format, ...) __attribute__((format(printf, 2, 3)));

void pool_free(struct pool *pool);

#endif
