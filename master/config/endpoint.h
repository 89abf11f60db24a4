/* Where to listen, in all the forms that files contain (configuration fact: Keys). */
#ifndef MSGSERVER_MASTER_CONFIG_ENDPOINT_H
#define MSGSERVER_MASTER_CONFIG_ENDPOINT_H

#include "codecs/settings.h"
#include "master/config/yaml_tree.h"

/* Turns {host, port}, {port}, {file}, http://host:port, tcp://host:port or unix:/path into the
 * canonical "http://HOST:PORT" (IPv6 in brackets) or "unix:/PATH", which lives in the pool. Returns
 * NULL with the mistake added to `diagnostics`. `row` names the key and what is accepted. */
const char *endpoint_parse(const struct yaml_node *bind, const struct setting_row *row,
                           struct pool *pool, struct diagnostics *diagnostics);

/* A port from 1 to 65535: decimal, or PORT, PORT0, PORT1… whose value is then taken from the
 * environment (Marathon fact). Returns 0; or -1 with `why` a sentence part. */
enum { ENDPOINT_WHY_ROOM = 192 };
int endpoint_port(const char *text, unsigned *port, char why[ENDPOINT_WHY_ROOM]);

/* The IP address of a bind host: "*" is 0.0.0.0 and localhost 127.0.0.1; IPv6 is given without
 * brackets; other names are refused, so that starting never waits for DNS. Returns 0, or -1. */
enum { ENDPOINT_HOST_ROOM = 46 };
int endpoint_host(struct slice text, char host[ENDPOINT_HOST_ROOM], bool *is_ipv6);

#endif
