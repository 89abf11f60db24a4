/* The public configuration handed to clients (message stream fact of that name). */
#ifndef MSGSERVER_MASTER_CONFIG_PUBLIC_CONFIG_H
#define MSGSERVER_MASTER_CONFIG_PUBLIC_CONFIG_H

#include "codecs/settings.h"
#include "master/config/yaml_tree.h"

/* Appends it as compact JSON. `transports` is the mapping server.msgStream.transports, or NULL: its
 * keys of others (afterRequestInterval…) are passed on as they are; sse is listed when it stands
 * there or in detect. Returns 0, or -1 with errno ENOMEM. */
int public_config_make(const struct settings *settings, const struct yaml_node *transports,
                       struct buffer *out);

#endif
