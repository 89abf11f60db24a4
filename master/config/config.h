/* The configuration: read from layered files, validated in full, turned into settings.
 *
 * Layers (configuration fact): default, each name of the environment list, custom, environment;
 * later ones win. */
#ifndef MSGSERVER_MASTER_CONFIG_CONFIG_H
#define MSGSERVER_MASTER_CONFIG_CONFIG_H

#include "base/buffer.h"
#include "codecs/settings.h"
#include "master/config/diagnostics.h"

struct config_source {
    const char *directory;    /* like /etc/msgserver; NULL: no files, all defaults */
    const char *environments; /* like "production,marathon" (MAGE: NODE_ENV), or NULL */
    /* Leaves the files of server.mmrp.curve alone. Who asks for a value may not read the key, and
     * the list may be broken while the server runs on. */
    bool without_mesh_keys;
};

/* Reads and validates everything that does not need a socket, and collects every mistake in
 * `diagnostics` (all-zero or with earlier ones). `out` is overwritten: defaults overlaid with the
 * files, the derived rows publicConfig, backendToken and those of CURVE, and the default of
 * server.backendHost.bind. Returns 0, or -1 when there was at least one error; settings_free (out)
 * and diagnostics_free() are due in both cases. */
int config_load(const struct config_source *source, struct settings *out,
                struct diagnostics *diagnostics);

/* Appends the effective configuration as YAML that reads back to the same settings (for -T).
 * Derived rows, and with them the secrets, are left out. Returns 0, or -1 with errno ENOMEM. */
int config_print_effective(const struct settings *settings, struct buffer *out);

/* Appends a file in which every key is shown with its meaning and its default, commented out:
 * conf/default.yaml. Returns 0, or -1 with errno ENOMEM. */
int config_print_sample(struct buffer *out);

/* The directory for sockets of this instance: $RUNTIME_DIRECTORY (systemd), else /run/msgserver
 * when it is ours to use, else $XDG_RUNTIME_DIR/msgserver, else /tmp/msgserver-UID. It may not
 * exist yet; whoever binds there makes it. Returns 0, or -1 with errno ENAMETOOLONG. */
enum { RUNTIME_DIRECTORY_ROOM = 256 };
int config_runtime_directory(char out[RUNTIME_DIRECTORY_ROOM]);

#endif
