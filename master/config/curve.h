/* The files of CURVE: this host's secret key, and the keys of those that may take part. */
#ifndef MSGSERVER_MASTER_CONFIG_CURVE_H
#define MSGSERVER_MASTER_CONFIG_CURVE_H

#include "master/config/config.h"
#include "master/config/yaml_tree.h"

/* Makes relative paths of the files whole: they are below `directory`. Returns 0, or -1 with errno
 * ENOMEM. */
int curve_find_files(const char *directory, struct settings *settings);

/* Reads server.mmrp.curve.keyFile, if any, into derived.meshSecretKey and derived.meshPublicKey,
 * and checks peersFile, which the relay reads again; their paths are whole. `top` is for places
 * only. Mistakes are added to `diagnostics`; none of them quotes the secret. Returns 0, or -1 with
 * errno ENOMEM. */
int curve_read_files(const struct yaml_node *top, struct settings *settings,
                     struct diagnostics *diagnostics);

#endif
