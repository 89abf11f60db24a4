/* msgserverctl: looks after what msgserver keeps on its disk. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "ctl/commands.h"
#include "io/child_contract.h"
#include "store/bus_guard.h"

struct command {
    const char *name;
    int (*run)(const struct store_options *options);
};
static const struct command STORE_COMMANDS[] = {{"check", store_check_command},
                                                {"compact", store_compact_command}};

static int store_command(int argc, char **argv)
{
    static const char KNOWN[] = "it has 'store check' and 'store compact'";
    struct store_options options;
    if (argc < 2)
        return usage_error("store what? %s", KNOWN);
    if (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0) {
        options_print_help();
        return EXIT_OK;
    }
    for (size_t i = 0; i < sizeof STORE_COMMANDS / sizeof *STORE_COMMANDS; i++) {
        if (strcmp(argv[1], STORE_COMMANDS[i].name) != 0)
            continue;
        if (store_options_parse(argc - 1, argv + 1, &options) != 0)
            return EXIT_USAGE;
        if (!options.help)
            return STORE_COMMANDS[i].run(&options);
        options_print_help();
        return EXIT_OK;
    }
    return usage_error("'store %s' is no command; %s", argv[1], KNOWN);
}

/* A result that did not reach its reader, as on a full disk, is none. */
static int finish(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    perror("msgserverctl: cannot write");
    return EXIT_OS;
}

int main(int argc, char **argv)
{
    const char *command = argc > 1 ? argv[1] : "";
    log_open("msgserverctl");
    bus_guard_say("event=store-failed why=\"the disk cannot give a page of the store\"");
    if (strcmp(command, "store") == 0)
        return finish(store_command(argc - 1, argv + 1));
    if (strcmp(command, "help") == 0 || strcmp(command, "-h") == 0 ||
        strcmp(command, "--help") == 0) {
        options_print_help();
        return finish(EXIT_OK);
    }
    if (strcmp(command, "-V") == 0 || strcmp(command, "--version") == 0) {
        printf("msgserverctl %s\n", PACKAGE_VERSION);
        return finish(EXIT_OK);
    }
    if (!*command)
        return usage_error("a command is missing: store check, store compact or help");
    return usage_error("'%s' is no command; it has store check, store compact and help", command);
}
