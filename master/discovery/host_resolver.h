/* Host names to addresses without blocking the loop: getaddrinfo() runs in a process of its own,
 * which holds nothing of ours open and ends by itself. */
#ifndef MSGSERVER_MASTER_DISCOVERY_HOST_RESOLVER_H
#define MSGSERVER_MASTER_DISCOVERY_HOST_RESOLVER_H

#include <ev.h>
#include <stdbool.h>

struct host_resolver;

enum { RESOLVER_LIMIT_S = 10 };

/* "host:port,host:port", with or without a chroot ("/path") at the end: no name in it? */
bool hosts_are_addresses(const char *hosts);

/* Looks all hosts up. Then `on_resolved`, once and from the loop, with the same list of addresses
 * instead of names (valid during the call), or NULL when none was found within RESOLVER_LIMIT_S.
 * It may start another resolver. NULL with errno: no descriptor, process or memory. */
struct host_resolver *host_resolver_start(struct ev_loop *loop, const char *hosts,
                                          void (*on_resolved)(void *context, const char *addresses),
                                          void *context);
/* Not after on_resolved(); NULL is accepted. */
void host_resolver_cancel(struct host_resolver *resolver);

#endif
