/* Netmask entries of server.mmrp.network (configuration fact: the table of entries). */
#ifndef MSGSERVER_CODECS_NETMASK_H
#define MSGSERVER_CODECS_NETMASK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/* Host byte order. */
struct netmask {
    uint32_t address; /* bits outside of the mask are zero */
    uint32_t mask;
};

/* Returns 0; or -1 with errno EINVAL and `*why` (when not NULL) a short text. */
int netmask_parse(struct slice text, struct netmask *netmask, const char **why);
bool netmask_contains(const struct netmask *netmask, uint32_t address);
/* Strict dotted decimal with four bytes and no leading zeros. */
int ipv4_parse(struct slice text, uint32_t *address);

#endif
