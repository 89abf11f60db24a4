/* Whether others than our own network can reach the mesh's port unasked. */
#ifndef MSGSERVER_MASTER_MESH_EXPOSURE_H
#define MSGSERVER_MASTER_MESH_EXPOSURE_H

#include <stdbool.h>
#include <stdint.h>

#include "codecs/settings.h"

/* RFC 1918, loopback, link-local, and 100.64.0.0/10; host byte order. */
bool address_is_private(uint32_t address);

/* Logs one warning when MMRP is bound to an address that is not private, and CURVE is off. */
void mesh_exposure_warn(const struct settings *settings);

#endif
