#include "config_files.h"

#include "master/config/layers.h"

/* The tree as one line of text: keys bare, strings quoted. */
static void append_tree(struct buffer *out, const struct yaml_node *node)
{
    if (node->key)
        buffer_printf(out, "%s:", node->key);
    if (node->kind == YAML_NULL)
        buffer_append_string(out, "~");
    if (node->kind == YAML_SCALAR)
        buffer_printf(out, node->quoted ? "'%s'" : "%s", node->text);
    if (node->kind == YAML_NULL || node->kind == YAML_SCALAR)
        return;
    buffer_append_string(out, node->kind == YAML_MAP ? "{" : "[");
    for (const struct yaml_node *child = node->children; child; child = child->next) {
        append_tree(out, child);
        buffer_append_string(out, child->next ? " " : "");
    }
    buffer_append_string(out, node->kind == YAML_MAP ? "}" : "]");
}

static void assert_tree(const struct yaml_node *top, const char *expected)
{
    struct buffer text = {0};
    append_tree(&text, top);
    ck_assert_slice_eq(buffer_slice(&text), expected);
    buffer_free(&text);
}

START_TEST(merging)
{
    static const struct {
        const char *base, *layer, *merged;
    } CASES[] = {
        {"{a: 1}", "{b: 2}", "{a:1 b:2}"},
        {"{a: 1}", "{a: 2}", "{a:2}"},
        {"{a: {x: 1, y: 2}}", "{a: {y: 3, z: 4}}", "{a:{x:1 y:3 z:4}}"},
        {"{a: [1, 2, 3]}", "{a: [4]}", "{a:[4]}"},
        {"{a: 1}", "{a: ~}", "{a:~}"},
        {"{a: [1]}", "{a: ~}", "{a:~}"},
        {"{a: {x: 1}}", "{a: ~}", "{a:{x:1}}"},
        {"{a: {x: {y: 1}}}", "{a: {x: ~}}", "{a:{x:{y:1}}}"},
        {"{a: ~}", "{a: {x: 1}}", "{a:{x:1}}"},
        {"{a: 1}", "{a: {x: 1}}", "{a:{x:1}}"},
        {"{a: {x: 1}}", "{a: 'text'}", "{a:'text'}"},
        {"{a: {x: 1}}", "{a: []}", "{a:[]}"},
        {"{}", "{a: {b: {c: ~}}}", "{a:{b:{c:~}}}"},
        {"{a: 1, b: 2, c: 3}", "{b: 4}", "{a:1 b:4 c:3}"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct pool pool = {0};
        struct diagnostics diagnostics = {0};
        struct yaml_node *base =
            yaml_tree_parse(slice_from_string(CASES[i].base), "base", &pool, &diagnostics);
        layers_merge(
            base, yaml_tree_parse(slice_from_string(CASES[i].layer), "layer", &pool, &diagnostics));
        assert_tree(base, CASES[i].merged);
        pool_free(&pool);
    }
}
END_TEST

static void assert_loads(struct config_files *files, const char *environments, const char *merged)
{
    const struct config_source source = {.directory = files->directory,
                                         .environments = environments};
    struct pool pool = {0};
    bool complete;
    struct yaml_node *top = layers_load(&source, &pool, &files->diagnostics, &complete);
    ck_assert(complete);
    assert_tree(top, merged);
    pool_free(&pool);
}

START_TEST(later_layers_win)
{
    struct config_files files;
    config_files_open(&files);
    config_files_write(&files, "default.yaml", "{a: default, b: default, c: default, d: default}");
    config_files_write(&files, "production.yaml", "{b: production, c: production, d: production}");
    config_files_write(&files, "marathon.json", "{\"c\": \"marathon\", \"d\": \"marathon\"}");
    assert_loads(&files, NULL, "{a:default b:default c:default d:default}");
    assert_loads(&files, "production", "{a:default b:production c:production d:production}");
    assert_loads(&files, " production ,\tmarathon, ,absent",
                 "{a:default b:production c:'marathon' d:'marathon'}");
    assert_loads(&files, "marathon,production",
                 "{a:default b:production c:production d:production}");
    config_files_write(&files, "custom.yaml", "d: custom");
    assert_loads(&files, "production,marathon", "{a:default b:production c:'marathon' d:custom}");
    config_files_close(&files);
}
END_TEST

START_TEST(the_environment_layer_takes_variables)
{
    struct config_files files;
    config_files_open(&files);
    setenv("T_TEXT", "4", 1);
    setenv("T_COUNT", "4", 1);
    setenv("T_FLAG", "false", 1);
    setenv("T_RATE", "-1.5", 1);
    setenv("T_EMPTY", "", 1);
    unsetenv("T_UNSET");
    config_files_write(&files, "default.yaml", "{a: {text: 1, kept: 2, also: 3}}");
    config_files_write(&files, "environment.yaml",
                       "a: {text: T_TEXT, kept: T_UNSET, also: 'T_EMPTY:int', nothing: ~}\n"
                       "b: ['T_COUNT:int', T_UNSET, 'T_FLAG:bool', 'T_RATE:float']\n"
                       "c: {d: {e: T_UNSET}, f: [T_UNSET]}\n");
    assert_loads(&files, NULL, "{a:{text:'4' kept:2 also:3} b:[4 false -1.5]}");
    config_files_close(&files);
}
END_TEST

/* Loads a configuration of one layer of that name and text; the only complaint is `sentence`. */
static void assert_complaint(const char *name, const char *text, unsigned line, unsigned column,
                             const char *sentence)
{
    struct config_files files;
    config_files_open(&files);
    config_files_write(&files, name, text);
    ck_assert_int_eq(config_files_load(&files, NULL), -1);
    ck_assert_uint_eq(files.diagnostics.count, 1);
    const struct diagnostic *item = files.diagnostics.items;
    ck_assert_str_eq(item->sentence, sentence);
    ck_assert_str_eq(strrchr(item->file, '/') + 1, name);
    ck_assert_uint_eq(item->line, line);
    ck_assert_uint_eq(item->column, column);
    config_files_close(&files);
}

START_TEST(mistakes_in_the_environment_layer)
{
    setenv("T_TEXT", "four", 1);
    setenv("T_LATIN", "\xe9", 1);
    assert_complaint("environment.yaml", "server: {workers: 'T_TEXT:int'}", 1, 19,
                     "the environment variable T_TEXT is \"four\"; accepted: a whole number");
    assert_complaint("environment.yaml", "server: {workers: 'T_TEXT:number'}", 1, 19,
                     "\"T_TEXT:number\" does not name an environment variable; accepted: NAME, "
                     "NAME:int, NAME:float or NAME:bool");
    assert_complaint("environment.yaml", "server:\n  workers: 4", 2, 12,
                     "4 does not name an environment variable; accepted: NAME, NAME:int, "
                     "NAME:float or NAME:bool");
    assert_complaint("environment.yaml", "server: {serviceName: T_LATIN}", 1, 23,
                     "the environment variable T_LATIN is not UTF-8 text; accepted: UTF-8");
    setenv("T_TEXT", "true", 1);
    assert_complaint("environment.yaml", "server: {workers: T_TEXT}", 1, 19,
                     "server.workers is \"true\" from the environment variable T_TEXT, a string; "
                     "give the variable a type, like NAME:bool; accepted: true (one client worker "
                     "per CPU), false or 0 (one), or a number from 1 to 256");
}
END_TEST

START_TEST(a_layer_stands_in_one_file)
{
    struct config_files files;
    config_files_open(&files);
    config_files_write(&files, "custom.yaml", "server:\n");
    config_files_write(&files, "custom.json", "{}");
    ck_assert_int_eq(config_files_load(&files, NULL), -1);
    ck_assert_ptr_nonnull(strstr(files.diagnostics.items[0].sentence, "beside a .yaml file"));
    config_files_close(&files);
}
END_TEST

START_TEST(each_broken_layer_is_reported)
{
    struct config_files files;
    config_files_open(&files);
    config_files_write(&files, "default.yaml", "server: {serviceDiscovery: {engine: zookeeper}}");
    config_files_write(&files, "production.yaml", "server: [\n");
    config_files_write(&files, "custom.yaml", "server: {workers: few}\n");
    config_files_link(&files, "environment.yaml", "/");
    ck_assert_int_eq(config_files_load(&files, "production,../production"), -1);
    /* The engine lacks its hosts, but they may stand in a layer that could not be read. */
    ck_assert_uint_eq(files.diagnostics.errors, 4);
    config_files_close(&files);
}
END_TEST

START_TEST(no_file_at_all)
{
    struct config_files files;
    config_files_open(&files);
    ck_assert_int_eq(config_files_load(&files, NULL), 0);
    ck_assert_uint_eq(files.diagnostics.warnings, 1);
    config_files_close(&files);
    ck_assert_int_eq(config_files_load(&files, NULL), -1);
    ck_assert_ptr_nonnull(strstr(files.diagnostics.items[0].sentence, "is not a directory"));
    config_files_close(&files);
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, merging);
    tcase_add_test(cases, later_layers_win);
    tcase_add_test(cases, the_environment_layer_takes_variables);
    tcase_add_test(cases, mistakes_in_the_environment_layer);
    tcase_add_test(cases, a_layer_stands_in_one_file);
    tcase_add_test(cases, each_broken_layer_is_reported);
    tcase_add_test(cases, no_file_at_all);
}

UNIT_MAIN("layers", add_tests)
