/* What msgserverctl can do. Each command writes its result to stdout and mistakes to stderr, and
 * returns an exit status of io/child_contract.h. */
#ifndef MSGSERVER_CTL_COMMANDS_H
#define MSGSERVER_CTL_COMMANDS_H

#include "ctl/options.h"

int store_check_command(const struct store_options *options);
int store_compact_command(const struct store_options *options);

#endif
