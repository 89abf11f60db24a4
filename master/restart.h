/* When a child that died is started again (io/child_contract.h states the rule). */
#ifndef MSGSERVER_MASTER_RESTART_H
#define MSGSERVER_MASTER_RESTART_H

#include <stdint.h>

/* All-zero before the first death. */
struct restart_throttle {
    uint64_t last_wait_ms;
};

/* Milliseconds to wait after the death of a process that lived for `lived_ms`. */
uint64_t restart_wait(struct restart_throttle *throttle, uint64_t lived_ms);

#endif
