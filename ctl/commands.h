/* What msgserverctl can do. Each command writes its result to stdout and mistakes to stderr, and
 * returns an exit status of io/child_contract.h. */
#ifndef MSGSERVER_CTL_COMMANDS_H
#define MSGSERVER_CTL_COMMANDS_H

#include "ctl/options.h"

int peers_command(const struct ctl_options *options);
int session_command(const struct ctl_options *options);
int store_check_command(const struct ctl_options *options);
int store_compact_command(const struct ctl_options *options);

/* Makes the file `path` with a new secret key, for its owner alone to read, and prints the public
 * key. A file that is there stays as it is. */
int mesh_keygen_command(const char *path);
/* Prints the public key of the secret key in `path`. */
int mesh_public_key_command(const char *path);

#endif
