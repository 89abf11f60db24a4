/* The backend listener: where it is by default, and its token. */
#ifndef MSGSERVER_MASTER_CONFIG_BACKEND_HOST_H
#define MSGSERVER_MASTER_CONFIG_BACKEND_HOST_H

#include "master/config/config.h"
#include "master/config/yaml_tree.h"

/* Sets server.backendHost.bind, when no file does, to a Unix socket in the runtime directory that
 * is named after the client listener, so that instances on one host do not meet. Returns 0, or -1
 * with errno ENOMEM or ENAMETOOLONG. */
int backend_host_default_bind(struct settings *settings);

/* Reads server.backendHost.tokenFile, if any, into derived.backendToken, without the line ends
 * after it; a relative path is below `directory`, and made whole in the settings. `top` is for
 * places only. Mistakes are added to `diagnostics`. Returns 0, or -1 with errno ENOMEM. */
int backend_host_read_token(const struct yaml_node *top, const char *directory,
                            struct settings *settings, struct diagnostics *diagnostics);

#endif
