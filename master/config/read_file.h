/* Small regular files, read whole. */
#ifndef MSGSERVER_MASTER_CONFIG_READ_FILE_H
#define MSGSERVER_MASTER_CONFIG_READ_FILE_H

#include <sys/types.h>

#include "base/buffer.h"

/* Appends the file's bytes. `mode`, its permissions, may be NULL. Returns 0; or -1 with open()'s
 * or read()'s errno, EFBIG (more than `max` bytes), EINVAL (not a regular file) or ENOMEM. */
int read_file(const char *path, size_t max, struct buffer *out, mode_t *mode);

#endif
