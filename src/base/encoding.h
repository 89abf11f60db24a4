/* Bytes as text: hexadecimal and base64. */
#ifndef MSGSERVER_BASE_ENCODING_H
#define MSGSERVER_BASE_ENCODING_H

#include "base/slice.h"

/* Writes 2 × len digits, lower case, and a NUL. `text` has room for 2 × len + 1. */
void encode_hex(const void *bytes, size_t len, char *text);

/* RFC 4648 §4, padded. `text` has room for 4 × ((len + 2) / 3) + 1. Returns the text's length. */
size_t encode_base64(const void *bytes, size_t len, char *text);

/* RFC 4648 §5 (URL-safe alphabet), not padded. Same room. Returns the text's length. */
size_t encode_base64url(const void *bytes, size_t len, char *text);

/* RFC 4648 §4, padded, strict. `bytes` has room for 3 × (text.len / 4). Returns the number of
 * bytes, or -1 when `text` is not base64. */
long decode_base64(struct slice text, void *bytes);

#endif
