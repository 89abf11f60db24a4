/* Writes the store's file anew, without the holes that removed records left. */
#ifndef MSGSERVER_STORE_COMPACT_H
#define MSGSERVER_STORE_COMPACT_H

#include "store/directory.h"
#include "store/inspect.h"

/* The new file takes the old one's place when it is whole, checked and on the disk, so that at
 * every instant one of the two is there. It gets `size` bytes, or as many as its contents need; 0:
 * as many as the old one has. The directory is locked by the caller, and the old file was inspected
 * and is sound. Returns 0 with `after`, or -1 with `why` filled and the old file as it was. */
int store_compact(const struct store_directory *directory, uint64_t size,
                  const struct store_findings *before, struct store_findings *after, char *why,
                  size_t why_room);

#endif
