/* What the publisher of limit-server sends: a record, then its payload. In the machine's own byte
 * order; both ends are on it. */
#ifndef MSGSERVER_BENCH_RECORD_H
#define MSGSERVER_BENCH_RECORD_H

#include <stdint.h>

enum { RECORD_TO_ALL = 0xffffffffU };

struct record {
    uint32_t to;  /* the client that connected with the path /N, or RECORD_TO_ALL */
    uint32_t len; /* of the payload */
};

#endif
