/* The running server: sockets, children, discovery, signals, from start to stop. */
#ifndef MSGSERVER_MASTER_SERVER_H
#define MSGSERVER_MASTER_SERVER_H

#include "codecs/settings.h"
#include "master/config/config.h"

/* Serves until told to stop. `settings` are checked; the cluster's host is put into them. `source`
 * is where they came from, for SIGHUP. Returns the exit status of the process. */
int server_run(struct settings *settings, const struct config_source *source);

#endif
