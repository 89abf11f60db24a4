/* The command line of msgserverd. */
#ifndef MSGSERVER_MASTER_OPTIONS_H
#define MSGSERVER_MASTER_OPTIONS_H

#include <stdbool.h>

enum action {
    ACTION_SERVE,
    ACTION_CHECK,         /* -t */
    ACTION_PRINT,         /* -T */
    ACTION_PUBLIC_CONFIG, /* --public-config */
    ACTION_SETTING,       /* --setting */
    ACTION_VERSION,       /* -V */
    ACTION_HELP           /* -h */
};

struct options {
    enum action action;
    const char *config_directory;
    bool config_directory_given;
    const char *environments; /* NULL when none is named anywhere */
    const char *setting;      /* the key, with ACTION_SETTING */
};

/* Strings point into `argv` and the environment. Returns 0, or -1 when the command line is wrong:
 * what and how it is right was written to stderr. */
int options_parse(int argc, char **argv, struct options *options);

/* The text of --help, to stdout. */
void options_print_help(void);

#endif
