/* Every file of t/unit/config/bad/ against t/unit/config/bad.expected: all that is said of it, with
 * its place. With UPDATE_EXPECTED=1 in the environment the file is written anew, for review. */
#include "config_files.h"

#include <dirent.h>
#include <limits.h>

static void tests_directory(char path[PATH_MAX])
{
    char below[PATH_MAX];
    const char *top = getenv("srcdir");
    snprintf(below, sizeof below, "%s/t/unit/config", top ? top : ".");
    ck_assert_msg(realpath(below, path) != NULL, "%s is not there", below);
}

static int is_yaml(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');
    return dot && strcmp(dot, ".yaml") == 0;
}

/* What is said of one file, each line with the file's own name in front. */
static void append_verdict(const char *directory, const char *name, struct buffer *out)
{
    char target[PATH_MAX + 300];
    struct config_files files;
    config_files_open(&files);
    snprintf(target, sizeof target, "%s/bad/%s", directory, name);
    config_files_link(&files, "default.yaml", target);
    config_files_load(&files, NULL);
    size_t count = files.diagnostics.count;
    ck_assert_msg(count > 0, "%s is found good", name);
    for (size_t i = 0; i < count; i++) {
        const struct diagnostic *item = &files.diagnostics.items[i];
        ck_assert_msg(item->file && item->line > 0 && item->column > 0, "%s: %s has no place", name,
                      item->sentence);
        buffer_printf(out, "%s:%u:%u: %s: %s\n", name, item->line, item->column,
                      item->severity == DIAGNOSTIC_ERROR ? "error" : "warning", item->sentence);
    }
    config_files_close(&files);
}

static size_t append_verdicts(struct buffer *out)
{
    char directory[PATH_MAX], bad[PATH_MAX + 8];
    struct dirent **entries;
    unsetenv("PORT0");
    unsetenv("PORT1");
    tests_directory(directory);
    snprintf(bad, sizeof bad, "%s/bad", directory);
    int count = scandir(bad, &entries, is_yaml, alphasort);
    ck_assert_int_gt(count, 0);
    for (int i = 0; i < count; i++) {
        append_verdict(directory, entries[i]->d_name, out);
        free(entries[i]);
    }
    free(entries);
    return (size_t)count;
}

START_TEST(each_mistake_is_named_with_its_place)
{
    char directory[PATH_MAX], path[PATH_MAX + 16], expected[2048];
    struct buffer verdicts = {0};
    ck_assert_uint_ge(append_verdicts(&verdicts), 60);
    tests_directory(directory);
    snprintf(path, sizeof path, "%s/bad.expected", directory);
    bool update = getenv("UPDATE_EXPECTED") != NULL;
    FILE *file = fopen(path, update ? "w+" : "r");
    ck_assert_ptr_nonnull(file);
    if (update && buffer_len(&verdicts) > 0)
        fwrite(buffer_bytes(&verdicts), 1, buffer_len(&verdicts), file);
    rewind(file);
    struct slice rest = buffer_slice(&verdicts);
    while (fgets(expected, sizeof expected, file)) {
        const char *end = rest.data ? memchr(rest.data, '\n', rest.len) : NULL;
        size_t len = end ? (size_t)(end - rest.data) + 1 : rest.len;
        ck_assert_slice_eq(slice_of(rest.data, len), expected);
        rest = slice_of(rest.data + len, rest.len - len);
    }
    ck_assert_slice_eq(rest, "");
    fclose(file);
    buffer_free(&verdicts);
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, each_mistake_is_named_with_its_place);
}

UNIT_MAIN("bad_config", add_tests)
