/* Which keys a configuration may have: those of the settings table, and what files written for MAGE
 * contain beside them. */
#ifndef MSGSERVER_MASTER_CONFIG_KNOWN_KEYS_H
#define MSGSERVER_MASTER_CONFIG_KNOWN_KEYS_H

#include "master/config/yaml_tree.h"

/* Warns of unknown keys below `server`, each with its place and the nearest known key, and of a
 * mistyped `server` or `logging`; complains where a mapping is expected and something else is
 * there. Other top-level keys are MAGE's own; those of a transport are passed to clients; both are
 * let through, unless they look mistyped. */
void known_keys_check(const struct yaml_node *top, struct diagnostics *diagnostics);

/* The one of `names` that takes the fewest edits (insert, delete, replace, swap two neighbours) to
 * become `name`; `*distance` (may be NULL) is their number. NULL when there are no names. */
const char *nearest_name(const char *name, const char *const *names, size_t count,
                         unsigned *distance);

#endif
