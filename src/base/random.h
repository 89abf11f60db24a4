/* Bytes from the kernel's cryptographic random source. */
#ifndef MSGSERVER_BASE_RANDOM_H
#define MSGSERVER_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* Cannot fail on a supported kernel; aborts if it does. */
void random_bytes(void *bytes, size_t len);

#endif
