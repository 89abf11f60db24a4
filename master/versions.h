/* msgserverd --version. */
#ifndef MSGSERVER_MASTER_VERSIONS_H
#define MSGSERVER_MASTER_VERSIONS_H

/* Prints to stdout: our version and those of the libraries that this process runs with, then what
 * each worker's binary says of itself. A worker that cannot be asked is named with the reason. */
void versions_print(void);

#endif
