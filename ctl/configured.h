/* What msgserverd's configuration says; msgserverd itself is asked. */
#ifndef MSGSERVER_CTL_CONFIGURED_H
#define MSGSERVER_CTL_CONFIGURED_H

#include "base/buffer.h"
#include "ctl/options.h"

/* Appends the value of a setting as text with its NUL; an empty one when it is not set. `what` ends
 * the sentence that it does not tell. Returns EXIT_OK; or another exit status, when why was written
 * to stderr. */
int configured_value(const struct ctl_options *options, const char *what, const char *key,
                     struct buffer *value);

#endif
