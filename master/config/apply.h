/* From the merged tree to the typed settings, through the settings table. */
#ifndef MSGSERVER_MASTER_CONFIG_APPLY_H
#define MSGSERVER_MASTER_CONFIG_APPLY_H

#include "codecs/settings.h"
#include "master/config/yaml_tree.h"

/* Overlays `settings` (initialised) with every value of the mapping `top` that is accepted, warns
 * of unknown keys, adds the mistakes to `diagnostics` and computes derived.publicConfig. Reads the
 * environment for ports given as PORT, PORT0…, and no file. Returns 0, or -1 with errno ENOMEM
 * (mistakes are no failure here). */
int config_apply(const struct yaml_node *top, struct settings *settings, struct pool *pool,
                 struct diagnostics *diagnostics);

/* A relative path in the value of `key`, an OPTIONAL_STRING, is below `directory`: made whole in
 * the settings. Returns 0, or -1 with errno ENOMEM. */
int config_make_path_whole(const char *key, const char *directory, struct settings *settings);

/* What concerns more than one key: adds mistakes to `diagnostics`. `top` is for places only. */
void config_check_together(const struct yaml_node *top, const struct settings *settings,
                           struct diagnostics *diagnostics);

#endif
