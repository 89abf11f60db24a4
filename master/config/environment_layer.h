/* The layer environment.yaml: its leaves name environment variables (configuration fact). */
#ifndef MSGSERVER_MASTER_CONFIG_ENVIRONMENT_LAYER_H
#define MSGSERVER_MASTER_CONFIG_ENVIRONMENT_LAYER_H

#include "master/config/yaml_tree.h"

/* Replaces each leaf "NAME" or "NAME:int|float|bool" below `map` by the variable's value: a string,
 * or a plain scalar of that type. Where the variable is unset or empty the key is taken out, and so
 * are mappings and lists in which nothing is left. Mistakes are added to `diagnostics`. */
void environment_layer_resolve(struct yaml_node *map, struct pool *pool,
                               struct diagnostics *diagnostics);

#endif
