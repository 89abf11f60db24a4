/* The engine for one host: no peers, nobody to tell. */
#include "master/discovery/engine.h"

#include <stdlib.h>

struct single_engine {
    const struct engine_handlers *handlers;
    void *context;
};

static void *single_start(struct ev_loop *loop, const struct settings *settings,
                          const char *cluster_id, const struct engine_handlers *handlers,
                          void *context)
{
    (void)loop, (void)settings, (void)cluster_id;
    struct single_engine *engine = malloc(sizeof *engine);
    if (engine)
        *engine = (struct single_engine){handlers, context};
    return engine;
}

static int single_announce(void *engine, struct slice announcement)
{
    (void)engine, (void)announcement;
    return 0;
}

static void single_withdraw(void *engine)
{
    const struct single_engine *single = engine;
    single->handlers->on_withdrawn(single->context);
}

const struct discovery_engine DISCOVERY_SINGLE = {"single", single_start, single_announce,
                                                  single_withdraw, free};
