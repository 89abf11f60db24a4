#include "master/config/environment_layer.h"

#include <stdlib.h>

#include "base/table.h"
#include "codecs/utf8.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static size_t count_digits(const char *text)
{
    size_t count = 0;
    while (is_digit(text[count]))
        count++;
    return count;
}

static bool is_int(const char *text)
{
    text += *text == '-';
    size_t digits = count_digits(text);
    return digits > 0 && text[digits] == '\0';
}

static bool is_float(const char *text)
{
    text += *text == '-';
    size_t digits = count_digits(text);
    if (digits == 0)
        return false;
    text += digits;
    if (*text == '.') {
        digits = count_digits(text + 1);
        if (digits == 0)
            return false;
        text += 1 + digits;
    }
    return *text == '\0';
}

static bool is_bool(const char *text)
{
    return strcmp(text, "true") == 0 || strcmp(text, "false") == 0;
}

static bool is_variable_name(struct slice name)
{
    if (name.len == 0 || is_digit(name.data[0]))
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.data[i];
        if (!is_digit(c) && c != '_' && !(c >= 'A' && c <= 'Z') && !(c >= 'a' && c <= 'z'))
            return false;
    }
    return true;
}

static const struct leaf_type {
    const char *name;
    const char *accepts;
    bool (*matches)(const char *text);
} LEAF_TYPES[] = {
    {"int", "a whole number", is_int},
    {"float", "a number", is_float},
    {"bool", "true or false", is_bool},
};

static const struct leaf_type *find_type(const char *name)
{
    for (size_t i = 0; i < sizeof LEAF_TYPES / sizeof *LEAF_TYPES; i++)
        if (strcmp(LEAF_TYPES[i].name, name) == 0)
            return &LEAF_TYPES[i];
    return NULL;
}

static bool refuse_leaf(const struct yaml_node *leaf, struct diagnostics *diagnostics)
{
    diagnostics_add(diagnostics, DIAGNOSTIC_ERROR, leaf->mark,
                    "%s does not name an environment variable; accepted: NAME, NAME:int, "
                    "NAME:float or NAME:bool",
                    YAML_DESCRIBE(leaf));
    return false;
}

/* Returns whether the leaf now has a value. */
static bool resolve_leaf(struct yaml_node *leaf, struct pool *pool, struct diagnostics *diagnostics)
{
    if (leaf->kind != YAML_SCALAR)
        return false;
    const char *colon = strchr(leaf->text, ':');
    struct slice name = slice_from_string(leaf->text);
    const struct leaf_type *type = NULL;
    if (colon) {
        name.len = (size_t)(colon - leaf->text);
        type = find_type(colon + 1);
    }
    if (!is_variable_name(name) || (colon && !type))
        return refuse_leaf(leaf, diagnostics);
    char *variable = pool_text(pool, name);
    const char *value = variable ? getenv(variable) : NULL;
    if (!value || !*value)
        return false;
    if (type && !type->matches(value)) {
        diagnostics_add(diagnostics, DIAGNOSTIC_ERROR, leaf->mark,
                        "the environment variable %s is \"%.64s\"; accepted: %s", variable, value,
                        type->accepts);
        return false;
    }
    if (!utf8_is_valid(slice_from_string(value))) {
        diagnostics_add(diagnostics, DIAGNOSTIC_ERROR, leaf->mark,
                        "the environment variable %s is not UTF-8 text; accepted: UTF-8", variable);
        return false;
    }
    leaf->text = pool_text(pool, slice_from_string(value));
    leaf->variable = variable;
    leaf->quoted = !type;
    return leaf->text != NULL;
}

static bool resolve(struct yaml_node *node, struct pool *pool, struct diagnostics *diagnostics)
{
    if (node->kind != YAML_MAP && node->kind != YAML_LIST)
        return resolve_leaf(node, pool, diagnostics);
    struct yaml_node *child, *after;
    DL_FOREACH_SAFE(node->children, child, after)
        if (!resolve(child, pool, diagnostics))
            DL_DELETE(node->children, child);
    return node->children != NULL;
}

void environment_layer_resolve(struct yaml_node *map, struct pool *pool,
                               struct diagnostics *diagnostics)
{
    resolve(map, pool, diagnostics);
}
