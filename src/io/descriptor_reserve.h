/* Descriptors kept back for those that the master passes to this process. While a process is at its
 * limit, which clients or strangers can bring about by connecting, a passed descriptor would be
 * lost, and with it the channel between relay and workers. */
#ifndef MSGSERVER_IO_DESCRIPTOR_RESERVE_H
#define MSGSERVER_IO_DESCRIPTOR_RESERVE_H

#include <stdint.h>

/* Raises the soft limit to the hard one, less the reserve. Returns what the process may open. */
uint64_t descriptor_reserve_make(void);
/* What a process whose hard limit is `limit` may open beside the reserve. */
uint64_t descriptors_beside_reserve(uint64_t limit);
/* How many of those that a client worker may open are for clients: the others are for backends,
 * channels, lent listeners, and clients that are refused in good order. */
uint64_t descriptors_for_clients(uint64_t openable);

/* Around what may use the reserve; nothing happens in a process that made none. */
void descriptor_reserve_open(void);
void descriptor_reserve_close(void);

#endif
