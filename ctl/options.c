#include "ctl/options.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>

#include "io/child_contract.h"

static const char HELP[] =
    "Usage: msgserverctl COMMAND [OPTION]... [PATH | KEY | FILE]\n"
    "\n"
    "Shows what a running msgserver sees, looks after the store of one that is stopped, and makes\n"
    "the keys of an encrypted mesh.\n"
    "\n"
    "Commands, while the server runs:\n"
    "  peers                   this host, the other hosts that it knows, and how it stands with "
    "them\n"
    "  session KEY             where a session's mailbox is, where its client is, what waits for "
    "it\n"
    "\n"
    "Commands, while the server is stopped:\n"
    "  store check             say whether the store is sound, and what is in it; changes nothing\n"
    "  store compact           write the store's file anew, without holes\n"
    "\n"
    "Commands at any time:\n"
    "  mesh keygen FILE        make FILE with a new secret key, and print its public key\n"
    "  mesh public-key FILE    print the public key of the secret key in FILE\n"
    "\n"
    "PATH is the store's directory, or for `store check` also any of its files, like one that was\n"
    "set aside. Without PATH it is what msgserverd's configuration says. That also says where the\n"
    "running server is asked: server.backendHost.bind, and tokenFile when it is no Unix socket.\n"
    "  -c, --config-dir DIR    directory of the configuration files, as msgserverd takes it\n"
    "  -e, --environment LIST  layers of it, as msgserverd takes them\n"
    "\n"
    "Other options:\n"
    "      --json              print the result as one JSON object\n"
    "  -V, --version           print the version, and exit\n"
    "  -h, --help, help        print this, and exit\n"
    "\n"
    "Exit status: 0 sound, compacted, or answered; 1 damaged; 64 wrong command line, or KEY is no\n"
    "session key; 66 there is no such store, session or FILE; 69 no server answers, or it cannot\n"
    "reach the session's home; 71 the system refuses something (a permission, room on the disk, a\n"
    "FILE that is there already); 75 a server is using the store: stop it, or check a copy that "
    "was\n"
    "made while it was stopped; 76 what answers is no msgserver, or an older one; 77 the server\n"
    "refuses the token; 78 wrong configuration.\n";

static const char SHORT_OPTIONS[] = "c:e:h";
enum { OPTION_JSON = 256 };
static const struct option LONG_OPTIONS[] = {{"config-dir", required_argument, NULL, 'c'},
                                             {"environment", required_argument, NULL, 'e'},
                                             {"json", no_argument, NULL, OPTION_JSON},
                                             {"help", no_argument, NULL, 'h'},
                                             {NULL, 0, NULL, 0}};

void options_print_help(void)
{
    fputs(HELP, stdout);
}

int usage_error(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("msgserverctl: ", stderr);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputs("\nTry 'msgserverctl --help' for what it takes.\n", stderr);
    return EXIT_USAGE;
}

/* Returns 0, or -1 for an unknown option. */
static int take_option(int option, struct ctl_options *options)
{
    switch (option) {
    case 'c':
        options->config_directory = optarg;
        return 0;
    case 'e':
        options->environments = optarg;
        return 0;
    case OPTION_JSON:
        options->json = true;
        return 0;
    case 'h':
        options->help = true;
        return 0;
    default:
        return -1;
    }
}

__attribute__((format(printf, 1, 0))) static int refuse(const char *why, const char *what)
{
    usage_error(why, what);
    return -1;
}

static int take_argument(const char *argument, enum argument_kind kind, struct ctl_options *options)
{
    bool configured = options->config_directory || options->environments;
    options->argument = argument;
    if (kind == ARGUMENT_NONE && argument)
        return refuse("it takes no '%s'", argument);
    if (kind == ARGUMENT_KEY && (!argument || !*argument))
        return refuse("%s", "KEY is missing: the key of a session, as its client presents it");
    if (argument && !*argument)
        return refuse("%s", "PATH is empty");
    if (kind == ARGUMENT_PATH && argument && configured)
        return refuse("PATH '%s' and a configuration exclude each other", argument);
    return 0;
}

int ctl_options_parse(int argc, char **argv, enum argument_kind kind, struct ctl_options *options)
{
    *options = (struct ctl_options){0};
    int option;
    opterr = 0;
    while ((option = getopt_long(argc, argv, SHORT_OPTIONS, LONG_OPTIONS, NULL)) != -1)
        if (take_option(option, options) != 0)
            return refuse("'%s' is no option of it, or lacks its value", argv[optind - 1]);
    if (options->help)
        return 0;
    if (argc - optind > 1)
        return refuse("there is one argument too many: '%s'", argv[optind + 1]);
    return take_argument(optind < argc ? argv[optind] : NULL, kind, options);
}
