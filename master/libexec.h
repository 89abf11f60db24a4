/* Where the workers' binaries are. */
#ifndef MSGSERVER_MASTER_LIBEXEC_H
#define MSGSERVER_MASTER_LIBEXEC_H

/* $MSGSERVER_LIBEXECDIR, else the directory given to configure. */
const char *libexec_directory(void);

#endif
