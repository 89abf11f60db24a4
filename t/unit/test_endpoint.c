#include "unit.h"

#include <stdio.h>
#include <unistd.h>

#include "master/config/endpoint.h"

/* The canonical form of a bind value, or the number of errors as text. */
static void assert_endpoint(const char *yaml, const char *expected)
{
    struct pool pool = {0};
    struct diagnostics diagnostics = {0};
    char errors[16];
    struct yaml_node *node =
        yaml_tree_parse(slice_from_string(yaml), "x.yaml", &pool, &diagnostics);
    ck_assert_msg(node != NULL, "%s", yaml);
    const char *text =
        endpoint_parse(node, setting_row_find("server.clientHost.bind"), &pool, &diagnostics);
    ck_assert_int_eq(text == NULL, diagnostics.errors > 0);
    snprintf(errors, sizeof errors, "%zu", diagnostics.errors);
    ck_assert_msg(strcmp(text ? text : errors, expected) == 0, "%s gives %s, not %s", yaml,
                  text ? text : errors, expected);
    diagnostics_free(&diagnostics);
    pool_free(&pool);
}

START_TEST(forms)
{
    static const struct {
        const char *yaml, *expected;
    } CASES[] = {
        {"{port: 8080}", "http://0.0.0.0:8080"},
        {"{port: '8080'}", "http://0.0.0.0:8080"},
        {"{port: 0080}", "http://0.0.0.0:80"},
        {"{host: '*', port: 1}", "http://0.0.0.0:1"},
        {"{host: ~, port: 65535}", "http://0.0.0.0:65535"},
        {"{host: localhost, port: 80}", "http://127.0.0.1:80"},
        {"{host: 10.1.2.3, port: 80}", "http://10.1.2.3:80"},
        {"{host: '::', port: 80}", "http://[::]:80"},
        {"{host: '[::1]', port: 80}", "http://[::1]:80"},
        {"{host: 'FE80:0:0:0:0:0:0:1', port: 80}", "http://[fe80::1]:80"},
        {"{file: /run/x.sock}", "unix:/run/x.sock"},
        {"{file: /run/x.sock, host: '*', port: 80}", "unix:/run/x.sock"},
        {"{file: ~, port: 80}", "http://0.0.0.0:80"},
        {"http://127.0.0.1:80", "http://127.0.0.1:80"},
        {"http://127.0.0.1:80/", "http://127.0.0.1:80"},
        {"'http://*:80'", "http://0.0.0.0:80"},
        {"tcp://0.0.0.0:5000", "http://0.0.0.0:5000"},
        {"'http://[::1]:80'", "http://[::1]:80"},
        {"'tcp://[2001:DB8::1]:80/'", "http://[2001:db8::1]:80"},
        {"unix:/run/x.sock", "unix:/run/x.sock"},
        {"unix:///run/x.sock", "unix:/run/x.sock"},
        {"{host: 1.2.3, port: 80}", "1"},
        {"{host: 'a b', port: x}", "2"},
        {"{host: [], port: {}}", "2"},
        {"'http://'", "1"},
        {"'http://:80'", "1"},
        {"'http://x:'", "1"},
        {"'http://[::1]80'", "1"},
        {"'http://[]:80'", "1"},
        {"'http://[127.0.0.1:80'", "1"},
        {"'http://a@b:80'", "1"},
        {"''", "1"},
        {"'unix:'", "1"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++)
        assert_endpoint(CASES[i].yaml, CASES[i].expected);
}
END_TEST

START_TEST(ports_from_the_environment)
{
    setenv("PORT", "31000", 1);
    setenv("PORT1", "31001", 1);
    setenv("PORT2", "many", 1);
    setenv("PORT3", "70000", 1);
    setenv("PORTX", "1", 1);
    unsetenv("PORT0");
    assert_endpoint("{port: PORT}", "http://0.0.0.0:31000");
    assert_endpoint("{port: 'PORT1'}", "http://0.0.0.0:31001");
    assert_endpoint("http://127.0.0.1:PORT1", "http://127.0.0.1:31001");
    assert_endpoint("{port: PORT0}", "1");
    assert_endpoint("{port: PORT2}", "1");
    assert_endpoint("{port: PORT3}", "1");
    assert_endpoint("{port: PORTX}", "1");
    assert_endpoint("{port: $PORT}", "1");
}
END_TEST

START_TEST(a_relative_file_is_below_the_working_directory)
{
    ck_assert_int_eq(chdir("/tmp"), 0);
    assert_endpoint("{file: x.sock}", "unix:/tmp/x.sock");
}
END_TEST

START_TEST(the_longest_path_fits)
{
    char yaml[160], expected[160], path[108];
    memset(path, 'x', 107);
    path[0] = '/';
    path[107] = '\0';
    snprintf(yaml, sizeof yaml, "{file: %s}", path);
    snprintf(expected, sizeof expected, "unix:%s", path);
    assert_endpoint(yaml, expected);
    snprintf(yaml, sizeof yaml, "{file: %sx}", path);
    assert_endpoint(yaml, "1");
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, forms);
    tcase_add_test(cases, ports_from_the_environment);
    tcase_add_test(cases, a_relative_file_is_below_the_working_directory);
    tcase_add_test(cases, the_longest_path_fits);
}

UNIT_MAIN("endpoint", add_tests)
