/* Whether an LMDB file is sound, read without LMDB, which trusts every byte and would crash.
 *
 * Source: the layout of LMDB's data file, version 1 (its lmdb.h and mdb.c). Only what the store's
 * own files can hold is accepted: one unnamed database without duplicates. */
#ifndef MSGSERVER_STORE_PAGES_H
#define MSGSERVER_STORE_PAGES_H

#include "base/slice.h"

/* Checks both trees of the newest commit: every page is used once, keys are in order and in their
 * pages, the counts are right, and no page in use is listed as free. `file` is the whole file. NULL
 * when all is well, else what is wrong; STORE_NO_MEMORY when it could not be checked. Memory: one
 * bit per page. */
const char *store_pages_check(struct slice file);

extern const char STORE_NO_MEMORY[];

#endif
