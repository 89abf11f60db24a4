/* One YAML (or JSON) document as a tree of nodes, each with its place in the file. */
#ifndef MSGSERVER_MASTER_CONFIG_YAML_TREE_H
#define MSGSERVER_MASTER_CONFIG_YAML_TREE_H

#include <stdbool.h>

#include "base/slice.h"
#include "master/config/diagnostics.h"
#include "master/config/pool.h"

enum yaml_kind {
    YAML_NULL,   /* nothing, ~ or null, unquoted */
    YAML_SCALAR, /* any other scalar; its text is kept as written: 10 is not a number here */
    YAML_LIST,
    YAML_MAP
};

/* Where aliases are expanded and what a file may cost at most. */
enum { YAML_DEPTH_MAX = 32, YAML_NODES_MAX = 8192, YAML_FILE_MAX = 1 << 20 };

/* Nodes and their texts live in the pool they were parsed into. */
struct yaml_node {
    enum yaml_kind kind;
    bool quoted;          /* the scalar is certainly a string: quoted, block style, or !!str */
    struct mark mark;     /* where the value starts */
    struct mark key_mark; /* where the key starts; in a list: the value */
    const char *key;      /* NULL in a list and at the top */
    const char *text;     /* of a scalar: no NUL inside */
    const char *variable; /* the environment variable it came from, or NULL */
    struct yaml_node *children;
    struct yaml_node *prev, *next; /* utlist: among its siblings, in the order of the file */
};

/* Parses one document of at most YAML_FILE_MAX bytes. Anchors and aliases are expanded; merge keys
 * (<<), tags beyond the core ones, keys that are no scalars and a second document are errors.
 * `file` is for marks and must outlive the tree. Returns the top node (an empty document: a
 * YAML_NULL); or NULL with the mistake added to `diagnostics`. Duplicate keys are added there too,
 * but the first one's value is kept and the tree returned, so that the rest can be checked. */
struct yaml_node *yaml_tree_parse(struct slice text, const char *file, struct pool *pool,
                                  struct diagnostics *diagnostics);

/* The child of a mapping, or NULL (also when `map` is NULL or no mapping). */
struct yaml_node *yaml_child(const struct yaml_node *map, struct slice key);
/* The descendant named by a path of keys joined by dots, or NULL. */
struct yaml_node *yaml_at(const struct yaml_node *top, const char *path);

size_t yaml_child_count(const struct yaml_node *node);

/* "a mapping", "an empty list", "null"… or the scalar's text in quotes, shortened: for sentences.
 */
enum { YAML_DESCRIPTION_ROOM = 96 };
const char *yaml_describe(const struct yaml_node *node, char out[YAML_DESCRIPTION_ROOM]);
#define YAML_DESCRIBE(node) yaml_describe((node), (char[YAML_DESCRIPTION_ROOM]){0})

#endif
