/* Descriptors kept back for those that the master passes to this process. While a process is at its
 * limit, which clients or strangers can bring about by connecting, a passed descriptor would be
 * lost, and with it the channel between relay and workers. */
#ifndef MSGSERVER_IO_DESCRIPTOR_RESERVE_H
#define MSGSERVER_IO_DESCRIPTOR_RESERVE_H

#include <stdint.h>

/* Raises the soft limit to the hard one, less the reserve. Returns what the process may open. */
uint64_t descriptor_reserve_make(void);

/* Around what may use the reserve; nothing happens in a process that made none. */
void descriptor_reserve_open(void);
void descriptor_reserve_close(void);

#endif
