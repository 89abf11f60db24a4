#include "master/config/config.h"

#include <errno.h>

#include "master/config/apply.h"
#include "master/config/backend_host.h"
#include "master/config/curve.h"
#include "master/config/layers.h"

static int load(const struct config_source *source, struct settings *out, struct pool *pool,
                struct diagnostics *diagnostics)
{
    bool complete;
    const struct yaml_node *top = layers_load(source, pool, diagnostics, &complete);
    if (!top || config_apply(top, out, pool, diagnostics) != 0)
        return -1;
    if (backend_host_default_bind(out) != 0 ||
        backend_host_read_token(top, source->directory, out, diagnostics) != 0 ||
        curve_find_files(source->directory, out) != 0)
        return -1;
    if (!source->without_mesh_keys && curve_read_files(top, out, diagnostics) != 0)
        return -1;
    /* What a layer lacks may stand in one that could not be read. */
    if (complete)
        config_check_together(top, out, diagnostics);
    return 0;
}

int config_load(const struct config_source *source, struct settings *out,
                struct diagnostics *diagnostics)
{
    struct pool pool = {0};
    size_t errors = diagnostics->errors;
    int result = settings_init(out);
    if (result == 0)
        result = load(source, out, &pool, diagnostics);
    if (result != 0)
        diagnostics_add(diagnostics, DIAGNOSTIC_ERROR, (struct mark){0}, "%s",
                        errno == ENAMETOOLONG ? "the path of the runtime directory is too long"
                                              : "out of memory");
    pool_free(&pool);
    return diagnostics->errors == errors ? 0 : -1;
}
