/* The command line of msgserverctl. */
#ifndef MSGSERVER_CTL_OPTIONS_H
#define MSGSERVER_CTL_OPTIONS_H

#include <stdbool.h>

/* What may follow a command's options. */
enum argument_kind {
    ARGUMENT_NONE,
    ARGUMENT_PATH, /* of a store; may be left out, and excludes a configuration */
    ARGUMENT_KEY   /* of a session */
};

/* What all commands take. Strings point into `argv`. */
struct ctl_options {
    const char *config_directory; /* NULL: msgserverd's own */
    const char *environments;     /* the same */
    const char *argument;         /* NULL: none was given */
    bool json;
    bool help;
};

/* `argc` and `argv` begin with the command's last word. Returns 0, or -1 when they are wrong: what
 * and how it is right was written to stderr. */
int ctl_options_parse(int argc, char **argv, enum argument_kind kind, struct ctl_options *options);

/* The text of --help, to stdout. */
void options_print_help(void);

/* Writes a sentence and where help is to stderr; returns EXIT_USAGE. */
int usage_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
