/* The limit on open files, which bounds the connections of each process. */
#ifndef MSGSERVER_MASTER_DESCRIPTORS_H
#define MSGSERVER_MASTER_DESCRIPTORS_H

#include <stdint.h>

/* Raises the soft limit to the hard one, for this process and its children; logs how many client
 * connections fit, and what to do when those are fewer than `wanted` per client worker. */
void descriptors_raise_limit(uint64_t wanted);

/* Makes sure that 0, 1 and 2 are open, so that no socket of ours takes their place. */
void descriptors_reserve_standard(void);

#endif
