#include "master/options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static const char DEFAULT_CONFIG_DIRECTORY[] = PKGSYSCONFDIR;

enum { OPTION_PUBLIC_CONFIG = 256, OPTION_SETTING };

static const char HELP[] =
    "Usage: msgserverd [OPTION]...\n"
    "\n"
    "The master of msgserver: carries messages from a backend to its clients, and keeps\n"
    "each until the client has confirmed it. Runs in the foreground and logs to stderr.\n"
    "\n"
    "  -c, --config-dir DIR    directory of the configuration files (default\n"
    "                          " PKGSYSCONFDIR ";\n"
    "                          without that directory: built-in defaults)\n"
    "  -e, --environment LIST  layers between default and custom, like production,marathon\n"
    "                          (default: $NODE_ENV, else $MSGSERVER_ENV)\n"
    "  -t, --check-config      check the configuration, name every mistake, and exit\n"
    "  -T, --print-config      print the effective configuration as YAML, and exit\n"
    "      --public-config     print the configuration for clients as JSON, and exit\n"
    "      --setting KEY       print one value, like that of server.store.path, and exit\n"
    "  -V, --version           print the versions of msgserver and its libraries, and exit\n"
    "  -h, --help              print this, and exit\n"
    "\n"
    "Environment:\n"
    "  NODE_ENV, MSGSERVER_ENV  see --environment\n"
    "  MSGSERVER_LIBEXECDIR     directory of relay-worker and client-worker\n"
    "  RUNTIME_DIRECTORY        directory of the default Unix socket for backends\n"
    "  STATE_DIRECTORY          directory in which the default store is\n"
    "  NOTIFY_SOCKET            told when msgserver is ready (set by systemd)\n"
    "\n"
    "Signals: SIGTERM and SIGINT stop gracefully, a second SIGINT at once; SIGHUP checks the\n"
    "configuration again and says what a restart would change.\n"
    "\n"
    "Exit status: 0 stopped in good order, 64 wrong command line, 69 a worker cannot be\n"
    "started, 71 the system refuses something (an address in use), 78 wrong configuration.\n";

static const char SHORT_OPTIONS[] = "c:e:tTVh";
static const struct option LONG_OPTIONS[] = {
    {"config-dir", required_argument, NULL, 'c'},
    {"environment", required_argument, NULL, 'e'},
    {"check-config", no_argument, NULL, 't'},
    {"print-config", no_argument, NULL, 'T'},
    {"public-config", no_argument, NULL, OPTION_PUBLIC_CONFIG},
    {"setting", required_argument, NULL, OPTION_SETTING},
    {"version", no_argument, NULL, 'V'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0}};

static const char *environment_list(void)
{
    const char *list = getenv("NODE_ENV");
    if (!list || !*list)
        list = getenv("MSGSERVER_ENV");
    return list && *list ? list : NULL;
}

static int usage_error(const char *what)
{
    if (what)
        fprintf(stderr, "msgserverd: %s\n", what);
    fputs("Try 'msgserverd --help' for what it takes.\n", stderr);
    return -1;
}

/* Returns 0, or -1 for an unknown option. */
static int take_option(int option, struct options *options)
{
    switch (option) {
    case 'c':
        options->config_directory = optarg;
        options->config_directory_given = true;
        return 0;
    case 'e':
        options->environments = optarg;
        return 0;
    case 't':
        options->action = ACTION_CHECK;
        return 0;
    case 'T':
        options->action = ACTION_PRINT;
        return 0;
    case OPTION_PUBLIC_CONFIG:
        options->action = ACTION_PUBLIC_CONFIG;
        return 0;
    case OPTION_SETTING:
        options->action = ACTION_SETTING;
        options->setting = optarg;
        return 0;
    case 'V':
        options->action = ACTION_VERSION;
        return 0;
    case 'h':
        options->action = ACTION_HELP;
        return 0;
    default:
        return -1;
    }
}

int options_parse(int argc, char **argv, struct options *options)
{
    *options = (struct options){.action = ACTION_SERVE,
                                .config_directory = DEFAULT_CONFIG_DIRECTORY,
                                .environments = environment_list()};
    int option;
    while ((option = getopt_long(argc, argv, SHORT_OPTIONS, LONG_OPTIONS, NULL)) != -1)
        if (take_option(option, options) != 0)
            return usage_error(NULL); /* getopt_long() has named the option */
    if (optind < argc) {
        fprintf(stderr, "msgserverd: '%s' is not an option\n", argv[optind]);
        return usage_error(NULL);
    }
    if (!*options->config_directory)
        return usage_error("--config-dir needs a directory");
    return 0;
}

void options_print_help(void)
{
    fputs(HELP, stdout);
}
