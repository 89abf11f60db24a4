/* conf/ against the table: the sample shows every key and is what the table says; what is shown as
 * a default is the default. With UPDATE_EXPECTED=1 conf/default.yaml is written anew. */
#include "config_files.h"

#include <limits.h>

#include "master/config/read_file.h"

static const char *conf_path(const char *name)
{
    static char below[PATH_MAX], path[PATH_MAX];
    const char *top = getenv("srcdir");
    snprintf(below, sizeof below, "%s/conf/%s", top ? top : ".", name);
    ck_assert_msg(realpath(below, path) != NULL, "%s is not there", below);
    return path;
}

START_TEST(the_sample_is_what_the_table_says)
{
    struct buffer sample = {0}, file = {0};
    ck_assert_int_eq(config_print_sample(&sample), 0);
    if (getenv("UPDATE_EXPECTED")) {
        FILE *out = fopen(conf_path("default.yaml"), "w");
        ck_assert_ptr_nonnull(out);
        fwrite(buffer_bytes(&sample), 1, buffer_len(&sample), out);
        fclose(out);
    }
    ck_assert_int_eq(read_file(conf_path("default.yaml"), 1 << 20, &file, NULL), 0);
    ck_assert_msg(slice_equal(buffer_slice(&sample), buffer_slice(&file)),
                  "conf/default.yaml is older than src/codecs/settings.def: run this test with "
                  "UPDATE_EXPECTED=1");
    buffer_free(&sample);
    buffer_free(&file);
}
END_TEST

/* "    #key: value" becomes "    key: value"; comments have a blank after the #. */
static void uncomment(struct buffer *text)
{
    char *bytes = buffer_bytes(text);
    size_t kept = 0;
    for (size_t i = 0; i < buffer_len(text); i++)
        if (bytes[i] != '#' || bytes[i + 1] == ' ')
            bytes[kept++] = bytes[i];
    buffer_truncate(text, kept);
}

static void assert_same_settings(const struct settings *a, const struct settings *b)
{
    struct buffer first = {0}, second = {0};
    ck_assert_int_eq(settings_encode(a, &first), 0);
    ck_assert_int_eq(settings_encode(b, &second), 0);
    ck_assert(slice_equal(buffer_slice(&first), buffer_slice(&second)));
    buffer_free(&first);
    buffer_free(&second);
}

START_TEST(its_values_are_the_defaults)
{
    struct config_files empty, commented, uncommented;
    struct buffer text = {0};
    config_files_open(&empty);
    config_files_write(&empty, "default.yaml", "{}");
    config_files_expect_good(&empty, NULL);
    config_files_open(&commented);
    config_files_link(&commented, "default.yaml", conf_path("default.yaml"));
    config_files_expect_good(&commented, NULL);
    assert_same_settings(&empty.settings, &commented.settings);

    ck_assert_int_eq(config_print_sample(&text), 0);
    uncomment(&text);
    ck_assert_int_eq(buffer_append(&text, "", 1), 0);
    config_files_open(&uncommented);
    config_files_write(&uncommented, "default.yaml", buffer_bytes(&text));
    config_files_expect_good(&uncommented, NULL);
    ck_assert_uint_eq(uncommented.diagnostics.warnings, 0);
    /* Naming sse offers it to clients; all the rest is the same. */
    ck_assert_ptr_nonnull(strstr(uncommented.settings.public_config, "\"sse\""));
    ck_assert_int_eq(setting_set(&uncommented.settings, setting_row_find("derived.publicConfig"),
                                 slice_from_string(empty.settings.public_config)),
                     0);
    assert_same_settings(&empty.settings, &uncommented.settings);
    buffer_free(&text);
    config_files_close(&empty);
    config_files_close(&commented);
    config_files_close(&uncommented);
}
END_TEST

START_TEST(the_environments_beside_it_load)
{
    struct config_files files;
    config_files_open(&files);
    setenv("PORT0", "31000", 1);
    setenv("PORT1", "31001", 1);
    config_files_link(&files, "default.yaml", conf_path("default.yaml"));
    config_files_link(&files, "production.yaml", conf_path("production.yaml"));
    config_files_link(&files, "marathon.yaml", conf_path("marathon.yaml"));
    config_files_expect_good(&files, "production,marathon");
    ck_assert_uint_eq(files.diagnostics.warnings, 0);
    ck_assert_str_eq(files.settings.client_bind, "http://0.0.0.0:31000");
    ck_assert_str_eq(files.settings.mmrp_port, "31001");
    config_files_close(&files);
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, the_sample_is_what_the_table_says);
    tcase_add_test(cases, its_values_are_the_defaults);
    tcase_add_test(cases, the_environments_beside_it_load);
}

UNIT_MAIN("sample_config", add_tests)
