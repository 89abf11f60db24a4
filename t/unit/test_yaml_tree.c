#include "unit.h"

#include "master/config/yaml_tree.h"

static struct pool pool;
static struct diagnostics diagnostics;

static struct yaml_node *parse(const char *text)
{
    return yaml_tree_parse(slice_from_string(text), "x.yaml", &pool, &diagnostics);
}

static void finish(void)
{
    pool_free(&pool);
    diagnostics_free(&diagnostics);
}

static void assert_at(struct mark mark, unsigned line, unsigned column)
{
    ck_assert_str_eq(mark.file, "x.yaml");
    ck_assert_uint_eq(mark.line, line);
    ck_assert_uint_eq(mark.column, column);
}

START_TEST(nodes_know_their_place_text_and_quoting)
{
    struct yaml_node *top = parse("server:\n"
                                  "    workers: 010\n"
                                  "    names: [a, \"10\", 'x', !!str 5, ~]\n"
                                  "    text: |\n"
                                  "        two\n"
                                  "        lines\n"
                                  "    nothing:\n");
    ck_assert_ptr_nonnull(top);
    ck_assert_int_eq(top->kind, YAML_MAP);
    struct yaml_node *workers = yaml_at(top, "server.workers");
    ck_assert_str_eq(workers->text, "010");
    ck_assert(!workers->quoted);
    assert_at(workers->key_mark, 2, 5);
    assert_at(workers->mark, 2, 14);
    struct yaml_node *names = yaml_at(top, "server.names");
    ck_assert_int_eq(names->kind, YAML_LIST);
    ck_assert_uint_eq(yaml_child_count(names), 5);
    static const bool QUOTED[] = {false, true, true, true, false};
    size_t i = 0;
    for (struct yaml_node *item = names->children; item; item = item->next, i++)
        ck_assert_int_eq(item->quoted, QUOTED[i]);
    ck_assert_ptr_nonnull(names->children);
    ck_assert_int_eq(names->children->prev->kind, YAML_NULL);
    ck_assert_str_eq(yaml_at(top, "server.text")->text, "two\nlines\n");
    ck_assert(yaml_at(top, "server.text")->quoted);
    ck_assert_int_eq(yaml_at(top, "server.nothing")->kind, YAML_NULL);
    ck_assert_ptr_null(yaml_at(top, "server.workers.x"));
    ck_assert_ptr_null(yaml_at(top, "server.absent"));
    finish();
}
END_TEST

START_TEST(json_is_yaml)
{
    struct yaml_node *top = parse("{\n\t\"server\": {\n\t\t\"workers\": 4,\n"
                                  "\t\t\"serviceName\": \"a\\/b\\u00e9\",\n"
                                  "\t\t\"mmrp\": null\n\t}\n}\n");
    ck_assert_ptr_nonnull(top);
    ck_assert_str_eq(yaml_at(top, "server.workers")->text, "4");
    ck_assert_str_eq(yaml_at(top, "server.serviceName")->text, "a/b\xc3\xa9");
    ck_assert_int_eq(yaml_at(top, "server.mmrp")->kind, YAML_NULL);
    finish();
}
END_TEST

START_TEST(an_empty_document_is_null)
{
    static const char *const EMPTY[] = {"", "\n\n", "# only a comment\n", "---\n", "---\n...\n"};
    for (size_t i = 0; i < sizeof EMPTY / sizeof *EMPTY; i++) {
        struct yaml_node *top = parse(EMPTY[i]);
        ck_assert_ptr_nonnull(top);
        ck_assert_int_eq(top->kind, YAML_NULL);
    }
    ck_assert_uint_eq(diagnostics.errors, 0);
    finish();
}
END_TEST

START_TEST(null_in_its_spellings)
{
    struct yaml_node *top = parse("[null, Null, NULL, ~, , \"null\", nUll, '']");
    ck_assert_ptr_null(top);
    top = parse("[null, Null, NULL, ~, \"null\", nUll, '']");
    size_t nulls = 0;
    for (struct yaml_node *item = top->children; item; item = item->next)
        nulls += item->kind == YAML_NULL;
    ck_assert_uint_eq(nulls, 4);
    finish();
}
END_TEST

START_TEST(aliases_are_copies)
{
    struct yaml_node *top = parse("a: &a {x: &x 1, y: [2, *x]}\nb: *a\nc: *x\n");
    ck_assert_ptr_nonnull(top);
    ck_assert_str_eq(yaml_at(top, "b.x")->text, "1");
    ck_assert_str_eq(yaml_at(top, "c")->text, "1");
    ck_assert_ptr_ne(yaml_at(top, "a.x"), yaml_at(top, "b.x"));
    ck_assert_str_eq(yaml_at(top, "b.y")->children->next->text, "1");
    assert_at(yaml_at(top, "b.x")->mark, 1, 11);
    finish();
}
END_TEST

START_TEST(a_duplicate_key_is_an_error_that_leaves_a_tree)
{
    struct yaml_node *top = parse("a: 1\nb: 2\na: 3\nb: 4\n");
    ck_assert_ptr_nonnull(top);
    ck_assert_uint_eq(diagnostics.errors, 2);
    ck_assert_uint_eq(diagnostics.items[1].line, 4);
    ck_assert_str_eq(yaml_at(top, "a")->text, "1");
    finish();
}
END_TEST

static void parse_repeated(const char *open, size_t depth, const char *close)
{
    struct buffer text = {0};
    for (size_t i = 0; i < depth; i++)
        buffer_append_string(&text, open);
    for (size_t i = 0; i < depth; i++)
        buffer_append_string(&text, close);
    yaml_tree_parse(buffer_slice(&text), "x.yaml", &pool, &diagnostics);
    buffer_free(&text);
}

START_TEST(depth_and_size_are_bounded)
{
    parse_repeated("[", YAML_DEPTH_MAX, "]");
    ck_assert_uint_eq(diagnostics.errors, 0);
    parse_repeated("[", YAML_DEPTH_MAX + 1, "]");
    ck_assert_uint_eq(diagnostics.errors, 1);
    parse_repeated("{a: ", 20000, "}");
    ck_assert_uint_eq(diagnostics.errors, 2);
    parse_repeated("- x\n", YAML_NODES_MAX, "");
    ck_assert_uint_eq(diagnostics.errors, 3);
    parse_repeated("# a comment of thirty-two bytes\n", YAML_FILE_MAX / 32 + 1, "");
    ck_assert_uint_eq(diagnostics.errors, 4);
    ck_assert_uint_eq(diagnostics.items[3].line, 0);
    finish();
}
END_TEST

START_TEST(descriptions_are_short)
{
    struct yaml_node *top =
        parse("{a: [], b: {c: 1}, d: ~, e: \"x\", f: "
              "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy}");
    ck_assert_str_eq(YAML_DESCRIBE(yaml_at(top, "a")), "an empty list");
    ck_assert_str_eq(YAML_DESCRIBE(yaml_at(top, "b")), "a mapping");
    ck_assert_str_eq(YAML_DESCRIBE(yaml_at(top, "d")), "null");
    ck_assert_str_eq(YAML_DESCRIBE(yaml_at(top, "e")), "\"x\"");
    ck_assert_uint_eq(strlen(YAML_DESCRIBE(yaml_at(top, "f"))), 67);
    finish();
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, nodes_know_their_place_text_and_quoting);
    tcase_add_test(cases, json_is_yaml);
    tcase_add_test(cases, an_empty_document_is_null);
    tcase_add_test(cases, null_in_its_spellings);
    tcase_add_test(cases, aliases_are_copies);
    tcase_add_test(cases, a_duplicate_key_is_an_error_that_leaves_a_tree);
    tcase_add_test(cases, depth_and_size_are_bounded);
    tcase_add_test(cases, descriptions_are_short);
}

UNIT_MAIN("yaml_tree", add_tests)
