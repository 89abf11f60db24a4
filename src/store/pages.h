/* Whether an LMDB file is sound, read without LMDB, which trusts every byte and would crash.
 *
 * Source: the layout of LMDB's data file, version 1 (its lmdb.h and mdb.c). Only what the store's
 * own files can hold is accepted: one unnamed database without duplicates. */
#ifndef MSGSERVER_STORE_PAGES_H
#define MSGSERVER_STORE_PAGES_H

#include <stdint.h>

#include "base/slice.h"

enum store_soundness {
    STORE_SOUND,
    STORE_CUT_OFF, /* the newest commit is not sound, and the one before it is: undo the newest */
    STORE_DAMAGED,
    STORE_UNKNOWN, /* there was no memory to check it */
};

struct store_verdict {
    enum store_soundness is;
    const char *why; /* it is not sound; of STORE_CUT_OFF: the newest commit */
    /* Of STORE_CUT_OFF: the newest commit, and the 8 bytes with which LMDB knows the file as of the
     * one before, and makes its next commit in the place of this. */
    uint64_t transaction;
    uint64_t undo_at, undo_value;
};

/* Checks both trees of the newest commit: every page is used once, keys are in order and in their
 * pages, the counts are right, and no page in use is listed as free. When they are not sound, looks
 * at those of the commit before in the same way.
 *
 * LMDB writes the newest commit's number before the last bytes of what it names (on x86, as Debian
 * compiled it: before the root and the count of the records). A process that is killed between the
 * two leaves a commit that is none. The one before is untouched then: its pages are not used anew
 * before the next commit, and the other meta page is its own. So it is also when the newest commit
 * was damaged otherwise.
 *
 * `file` is the whole file. Memory: one bit per page. */
struct store_verdict store_pages_check(struct slice file);

extern const char STORE_NO_MEMORY[];

#endif
