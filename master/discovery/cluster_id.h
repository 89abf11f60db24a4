/* The identity of this host in the mesh, and the addresses that it announces (MAGE: discovery.md).
 *
 * The cluster ID is "<cluster host>:<MMRP port>". The cluster host is made here, before the relay
 * starts (it is the setting derived.clusterHost); the relay appends the port that it bound. */
#ifndef MSGSERVER_MASTER_DISCOVERY_CLUSTER_ID_H
#define MSGSERVER_MASTER_DISCOVERY_CLUSTER_ID_H

#include "codecs/settings.h"

/* 64 characters of a configured cluster host, or 16 digits; and a NUL. */
enum { CLUSTER_HOST_ROOM = 65, CLUSTER_HOST_DIGITS = 16 };

/* First 16 hex digits of HMAC-SHA256, key "secret", over the addresses in string order without
 * separators. The order of `addresses` itself does not matter. Returns 0, or -1 with errno ENOMEM.
 */
int cluster_host_digest(const struct string_list *addresses, char host[CLUSTER_HOST_ROOM]);

/* This host's name for the mesh:
 *   server.mmrp.clusterId's part before the colon, when given. The port after it must equal a
 *   server.mmrp.bind.port that is a number: the ID that peers see always carries the bound port;
 *   else the digest of server.mmrp.advertise; of server.mmrp.bind.host when that is a loopback
 *   address (nobody reaches us elsewhere); of all non-internal IPv4 addresses; of 127.0.0.1.
 * Returns 0, or -1 with `why` filled: a sentence that names the key. */
int cluster_host_of(const struct settings *settings, char host[CLUSTER_HOST_ROOM], char *why,
                    size_t why_room);

/* What we announce, in order: server.mmrp.advertise; a loopback server.mmrp.bind.host; the IPv4
 * addresses of server.serviceDiscovery.options.interface; all non-internal ones; 127.0.0.1.
 * The interface must have an IPv4 address. `addresses` is overwritten; free it with
 * addresses_free(). Returns 0, or -1 with `why` filled and nothing to free. */
int announced_addresses(const struct settings *settings, struct string_list *addresses, char *why,
                        size_t why_room);

void addresses_free(struct string_list *addresses);

#endif
