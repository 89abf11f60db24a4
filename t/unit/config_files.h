/* A configuration directory that lives for one test, and what it is found to say. */
#ifndef MSGSERVER_UNIT_CONFIG_FILES_H
#define MSGSERVER_UNIT_CONFIG_FILES_H

#include "unit.h"

#include <stdio.h>
#include <unistd.h>

#include "master/config/config.h"

struct config_files {
    char directory[64];
    struct settings settings;
    struct diagnostics diagnostics;
    char names[16][64];
    size_t count;
};

static inline void config_files_open(struct config_files *files)
{
    memset(files, 0, sizeof *files);
    strcpy(files->directory, "/tmp/msgserver-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(files->directory));
}

/* The name is kept for removal. */
static inline void config_files_path(struct config_files *files, const char *name, char path[192])
{
    ck_assert_uint_lt(files->count, 16);
    snprintf(files->names[files->count++], 64, "%s", name);
    snprintf(path, 192, "%s/%s", files->directory, name);
}

static inline void config_files_write(struct config_files *files, const char *name,
                                      const char *text)
{
    char path[192];
    config_files_path(files, name, path);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
}

static inline void config_files_link(struct config_files *files, const char *name,
                                     const char *target)
{
    char path[192];
    config_files_path(files, name, path);
    ck_assert_int_eq(symlink(target, path), 0);
}

static inline int config_files_load(struct config_files *files, const char *environments)
{
    const struct config_source source = {.directory = files->directory,
                                         .environments = environments};
    settings_free(&files->settings);
    diagnostics_free(&files->diagnostics);
    return config_load(&source, &files->settings, &files->diagnostics);
}

static inline void config_files_expect_good(struct config_files *files, const char *environments)
{
    struct buffer text = {0};
    int result = config_files_load(files, environments);
    ck_assert_int_eq(diagnostics_print(&files->diagnostics, &text), 0);
    ck_assert_int_eq(buffer_append(&text, "", 1), 0);
    ck_assert_msg(result == 0, "%s", buffer_bytes(&text));
    buffer_free(&text);
}

static inline void config_files_close(struct config_files *files)
{
    for (size_t i = 0; i < files->count; i++) {
        char path[192];
        snprintf(path, sizeof path, "%s/%s", files->directory, files->names[i]);
        unlink(path);
    }
    rmdir(files->directory);
    settings_free(&files->settings);
    diagnostics_free(&files->diagnostics);
}

#endif
