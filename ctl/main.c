/* msgserverctl: shows what a running msgserver sees, looks after what it keeps on its disk, and
 * makes the keys of the mesh. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "ctl/commands.h"
#include "io/child_contract.h"
#include "store/bus_guard.h"

struct command {
    const char *name;
    enum argument_kind argument;
    int (*run)(const struct ctl_options *options);
};
static const struct command COMMANDS[] = {{"peers", ARGUMENT_NONE, peers_command},
                                          {"session", ARGUMENT_KEY, session_command}};
static const struct command STORE_COMMANDS[] = {{"check", ARGUMENT_PATH, store_check_command},
                                                {"compact", ARGUMENT_PATH, store_compact_command}};
#define COUNT(commands) (sizeof(commands) / sizeof *(commands))

static const struct command *find_command(const struct command *commands, size_t count,
                                          const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(name, commands[i].name) == 0)
            return &commands[i];
    return NULL;
}

static bool is_help(const char *word)
{
    return strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0;
}

static int run(const struct command *command, int argc, char **argv)
{
    struct ctl_options options;
    if (ctl_options_parse(argc, argv, command->argument, &options) != 0)
        return EXIT_USAGE;
    if (!options.help)
        return command->run(&options);
    options_print_help();
    return EXIT_OK;
}

static int store_command(int argc, char **argv)
{
    static const char KNOWN[] = "it has 'store check' and 'store compact'";
    if (argc < 2)
        return usage_error("store what? %s", KNOWN);
    if (is_help(argv[1])) {
        options_print_help();
        return EXIT_OK;
    }
    const struct command *command = find_command(STORE_COMMANDS, COUNT(STORE_COMMANDS), argv[1]);
    return command ? run(command, argc - 1, argv + 1)
                   : usage_error("'store %s' is no command; %s", argv[1], KNOWN);
}

static const struct {
    const char *name;
    int (*run)(const char *path);
} MESH_COMMANDS[] = {{"keygen", mesh_keygen_command}, {"public-key", mesh_public_key_command}};

static int mesh_command(int argc, char **argv)
{
    static const char KNOWN[] = "it has 'mesh keygen FILE' and 'mesh public-key FILE'";
    if (argc < 2)
        return usage_error("mesh what? %s", KNOWN);
    for (int i = 1; i < argc; i++) {
        if (is_help(argv[i])) {
            options_print_help();
            return EXIT_OK;
        }
    }
    for (size_t i = 0; i < COUNT(MESH_COMMANDS); i++) {
        if (strcmp(argv[1], MESH_COMMANDS[i].name) != 0)
            continue;
        if (argc != 3 || !*argv[2])
            return usage_error("mesh %s takes one FILE", argv[1]);
        return MESH_COMMANDS[i].run(argv[2]);
    }
    return usage_error("'mesh %s' is no command; %s", argv[1], KNOWN);
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
    static const char KNOWN[] = "peers, session, store check, store compact, mesh keygen, mesh "
                                "public-key and help";
    const char *name = argc > 1 ? argv[1] : "";
    const struct command *command = find_command(COMMANDS, COUNT(COMMANDS), name);
    log_open("msgserverctl");
    bus_guard_say("event=store-failed why=\"the disk cannot give a page of the store\"");
    if (command)
        return finish(run(command, argc - 1, argv + 1));
    if (strcmp(name, "store") == 0)
        return finish(store_command(argc - 1, argv + 1));
    if (strcmp(name, "mesh") == 0)
        return finish(mesh_command(argc - 1, argv + 1));
    if (strcmp(name, "help") == 0 || is_help(name)) {
        options_print_help();
        return finish(EXIT_OK);
    }
    if (strcmp(name, "-V") == 0 || strcmp(name, "--version") == 0) {
        printf("msgserverctl %s\n", PACKAGE_VERSION);
        return finish(EXIT_OK);
    }
    if (!*name)
        return usage_error("a command is missing; it has %s", KNOWN);
    return usage_error("'%s' is no command; it has %s", name, KNOWN);
}
