#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "io/child_contract.h"
#include "master/config/config.h"
#include "master/config_report.h"
#include "master/descriptors.h"
#include "master/discovery/cluster_id.h"
#include "master/options.h"
#include "master/server.h"
#include "master/versions.h"

/* A directory that was asked for must be there; without the usual one, defaults serve. */
static struct config_source choose_source(const struct options *options)
{
    struct stat st;
    struct config_source source = {.directory = options->config_directory,
                                   .environments = options->environments,
                                   .without_mesh_keys = options->action == ACTION_SETTING};
    if (!options->config_directory_given && stat(source.directory, &st) != 0 && errno == ENOENT)
        source.directory = NULL;
    return source;
}

static void print_diagnostics(const struct diagnostics *diagnostics)
{
    struct buffer text = {0};
    if (diagnostics_print(diagnostics, &text) == 0 && buffer_len(&text) > 0)
        fwrite(buffer_bytes(&text), 1, buffer_len(&text), stderr);
    buffer_free(&text);
}

/* What is found only when the server starts, and needs no socket. */
static void check_cluster_host(const struct settings *settings, struct diagnostics *diagnostics)
{
    char host[CLUSTER_HOST_ROOM], why[512];
    if (cluster_host_of(settings, host, why, sizeof why) != 0)
        diagnostics_add(diagnostics, DIAGNOSTIC_ERROR, (struct mark){0}, "%s", why);
}

static int print_text(struct buffer *text, int printed)
{
    int status = EXIT_OS;
    if (printed == 0 &&
        fwrite(buffer_bytes(text), 1, buffer_len(text), stdout) == buffer_len(text) &&
        fflush(stdout) == 0)
        status = EXIT_OK;
    else
        fprintf(stderr, "msgserverd: cannot write: %s\n", strerror(errno));
    buffer_free(text);
    return status;
}

/* Secrets come from files, and go nowhere else. */
static int print_setting(const char *key, const struct settings *settings, struct buffer *text)
{
    const struct setting_row *row = setting_row_find(key);
    if (row && row->effect != EFFECT_DERIVED)
        return print_text(text, setting_print(settings, row, text) != 0 ||
                                    buffer_append_string(text, "\n") != 0);
    fprintf(stderr,
            "msgserverd: --setting: there is no key '%s' with a value; msgserverd -T shows all\n",
            key);
    return EXIT_USAGE;
}

static int print_result(const struct options *options, const struct config_source *source,
                        const struct settings *settings, const struct diagnostics *diagnostics)
{
    struct buffer text = {0};
    int printed;
    if (options->action == ACTION_SETTING)
        return print_setting(options->setting, settings, &text);
    if (options->action == ACTION_PRINT)
        printed = config_print_effective(settings, &text);
    else if (options->action == ACTION_PUBLIC_CONFIG)
        printed = buffer_printf(&text, "%s\n", settings->public_config);
    else
        printed = buffer_printf(&text, "%s: the configuration is valid (%zu warnings)\n",
                                source->directory ? source->directory : "built-in defaults",
                                diagnostics->warnings);
    return print_text(&text, printed);
}

/* For -t, -T, --public-config and --setting: mistakes go to stderr as they are, not as log lines.
 */
static int inspect(const struct options *options, const struct config_source *source)
{
    struct settings settings;
    struct diagnostics diagnostics = {0};
    int status = EXIT_CONFIGURATION;
    if (config_load(source, &settings, &diagnostics) == 0 && options->action != ACTION_SETTING)
        check_cluster_host(&settings, &diagnostics);
    print_diagnostics(&diagnostics);
    if (diagnostics.errors == 0)
        status = print_result(options, source, &settings, &diagnostics);
    settings_free(&settings);
    diagnostics_free(&diagnostics);
    return status;
}

static int serve(const struct config_source *source)
{
    struct settings settings;
    struct diagnostics diagnostics = {0};
    int status = EXIT_CONFIGURATION;
    LOG_NOTICE("starting", "version=%s pid=%d config_dir=%s environments=%s", PACKAGE_VERSION,
               (int)getpid(), source->directory ? source->directory : "none",
               source->environments ? source->environments : "none");
    int loaded = config_load(source, &settings, &diagnostics);
    config_report_diagnostics(&diagnostics);
    diagnostics_free(&diagnostics);
    if (loaded == 0) {
        log_set_levels((uint32_t)settings.log_levels);
        if (!source->directory)
            LOG_NOTICE("configuration-built-in", "reason=\"no directory of configuration files\"");
        status = server_run(&settings, source);
    } else {
        LOG_ERROR("configuration-wrong", "hint=\"msgserverd -t checks without starting\"");
    }
    settings_free(&settings);
    return status;
}

int main(int argc, char **argv)
{
    struct options options;
    descriptors_reserve_standard();
    log_open("master");
    if (options_parse(argc, argv, &options) != 0)
        return EXIT_USAGE;
    struct config_source source = choose_source(&options);
    switch (options.action) {
    case ACTION_HELP:
        options_print_help();
        return EXIT_OK;
    case ACTION_VERSION:
        versions_print();
        return EXIT_OK;
    case ACTION_CHECK:
    case ACTION_PRINT:
    case ACTION_PUBLIC_CONFIG:
    case ACTION_SETTING:
        return inspect(&options, &source);
    case ACTION_SERVE:
        break;
    }
    return serve(&source);
}
