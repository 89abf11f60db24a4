/* The files of a configuration directory, merged into one tree (configuration fact: Layers). */
#ifndef MSGSERVER_MASTER_CONFIG_LAYERS_H
#define MSGSERVER_MASTER_CONFIG_LAYERS_H

#include "master/config/config.h"
#include "master/config/yaml_tree.h"

/* `layer` over `base`, both mappings: mappings merge key by key; lists and scalars replace; null
 * over a scalar or a list clears it, null over a mapping changes nothing. Nodes move from `layer`
 * to `base`. */
void layers_merge(struct yaml_node *base, struct yaml_node *layer);

/* Reads default, each environment, custom and environment, each from NAME.yaml or NAME.json, and
 * merges them. Missing layers are only logged. Returns the merged mapping, or NULL when memory is
 * short; `*complete` is false when a layer could not be read, and so the merged tree lacks it. */
struct yaml_node *layers_load(const struct config_source *source, struct pool *pool,
                              struct diagnostics *diagnostics, bool *complete);

#endif
