/* fork and exec of a child, with nothing inherited but what io/child_contract.h lists. */
#ifndef MSGSERVER_MASTER_SPAWN_H
#define MSGSERVER_MASTER_SPAWN_H

#include <sys/types.h>

/* `control` becomes the child's descriptor 3; it stays the caller's. Returns the process ID, or -1
 * with errno of fork. If the binary cannot be executed the new process sends FAILED with the reason
 * on `control` and exits with EXIT_OS. */
pid_t spawn_child(const char *path, int control);

#endif
