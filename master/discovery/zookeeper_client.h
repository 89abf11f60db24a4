/* The ZooKeeper C client, single-threaded. Include this, never <zookeeper/zookeeper.h>: that one
 * defines a struct buffer of its own. */
#ifndef MSGSERVER_MASTER_DISCOVERY_ZOOKEEPER_CLIENT_H
#define MSGSERVER_MASTER_DISCOVERY_ZOOKEEPER_CLIENT_H

#define buffer zookeeper_buffer
#include <zookeeper/zookeeper.h>
#undef buffer

#endif
