#include "store/store.h"

#include <string.h>

static const struct store_engine *const ENGINES[] = {&STORE_MEMORY, &STORE_LMDB, NULL};

const struct store_engine *store_engine_find(const char *name)
{
    const struct store_engine *const *engine = ENGINES;
    while (*engine && strcmp((*engine)->name, name) != 0)
        engine++;
    return *engine;
}
