/* YAML to settings: any bytes give settings or diagnostics, and settings without errors read back
 * the same from what is printed of them. No file is touched. */
#include <stdint.h>
#include <stdlib.h>

#include "base/log.h"
#include "master/config/apply.h"
#include "master/config/config.h"

/* Returns the number of errors; `settings` is to be freed in any case. */
static size_t load(struct slice yaml, struct settings *settings)
{
    struct pool pool = {0};
    struct diagnostics diagnostics = {0};
    struct buffer printed = {0};
    if (settings_init(settings) != 0)
        abort();
    struct yaml_node *top = yaml_tree_parse(yaml, "fuzz.yaml", &pool, &diagnostics);
    if (!top && diagnostics.errors == 0)
        abort();
    if (top) {
        if (config_apply(top, settings, &pool, &diagnostics) != 0)
            abort();
        config_check_together(top, settings, &diagnostics);
    }
    if (diagnostics_print(&diagnostics, &printed) != 0)
        abort();
    size_t errors = diagnostics.errors;
    buffer_free(&printed);
    diagnostics_free(&diagnostics);
    pool_free(&pool);
    return errors;
}

static void assert_reads_back(const struct settings *settings)
{
    struct settings again;
    struct buffer printed = {0}, first = {0}, second = {0};
    if (config_print_effective(settings, &printed) != 0 ||
        load(buffer_slice(&printed), &again) != 0 || settings_encode(settings, &first) != 0 ||
        settings_encode(&again, &second) != 0 ||
        !slice_equal(buffer_slice(&first), buffer_slice(&second)))
        abort();
    settings_free(&again);
    buffer_free(&printed);
    buffer_free(&first);
    buffer_free(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct settings settings;
    setenv("PORT0", "31000", 1);
    log_set_levels(0);
    if (load(slice_of(data, size), &settings) == 0)
        assert_reads_back(&settings);
    settings_free(&settings);
    return 0;
}
