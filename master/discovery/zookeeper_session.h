/* A ZooKeeper session driven by a libev loop: connects, reconnects, and makes a new session when
 * the server forgot the old one. Never gives up; says once that the service is away, and once that
 * it is back. */
#ifndef MSGSERVER_MASTER_DISCOVERY_ZOOKEEPER_SESSION_H
#define MSGSERVER_MASTER_DISCOVERY_ZOOKEEPER_SESSION_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "master/discovery/zookeeper_client.h"

struct zookeeper_session;

/* A completion's error that comes with the loss of the connection or the end of the session: no
 * answer about what was asked. on_up() is the time to ask anew. */
bool zookeeper_is_away(int result);

/* From the loop. Not to be called back with zookeeper_session_close(). */
struct zookeeper_session_handlers {
    /* Requests can be made now, until on_down(). `fresh`: of the session before, if any, neither
     * watches nor ephemeral nodes are ours any more. */
    void (*on_up)(void *context, zhandle_t *handle, bool fresh);
    /* The connection is lost; all requests in flight have completed with an error. */
    void (*on_down)(void *context);
};

/* `hosts`: "host:port,host:port/chroot", copied. NULL with errno ENOMEM. */
struct zookeeper_session *zookeeper_session_open(struct ev_loop *loop, const char *hosts,
                                                 uint64_t timeout_ms,
                                                 const struct zookeeper_session_handlers *handlers,
                                                 void *context);

/* After requests that were made outside of completions and of the handlers: sends them. */
void zookeeper_session_flush(struct zookeeper_session *session);

/* Ends the session, so that its ephemeral nodes go, unless the server takes no bytes: then it is
 * left to its time-out. Does not wait. Requests in flight complete with ZCLOSING. */
void zookeeper_session_close(struct zookeeper_session *session);

#endif
