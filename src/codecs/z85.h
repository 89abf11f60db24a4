/* Z85 (ZeroMQ RFC 32): four bytes as five visible characters; how CURVE keys are written. */
#ifndef MSGSERVER_CODECS_Z85_H
#define MSGSERVER_CODECS_Z85_H

#include "base/slice.h"

/* `len` is a multiple of 4; `text` has room for len / 4 * 5 + 1, and gets a NUL. */
void z85_encode(const void *bytes, size_t len, char *text);

/* Strict: also a group beyond 32 bits is refused. `bytes` has room for text.len / 5 * 4. Returns
 * the number of bytes, or -1 when `text` is not Z85. */
long z85_decode(struct slice text, void *bytes);

#endif
