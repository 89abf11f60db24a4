/* Hash tables: uthash with a keyed hash, so that nobody outside can choose colliding keys, and
 * without exit() when memory is short: the `*_OOM` form below tells.
 *
 * Include this, never <uthash.h>. After HASH_ADD*, an element whose hh.tbl is NULL was not added.
 */
#ifndef MSGSERVER_BASE_TABLE_H
#define MSGSERVER_BASE_TABLE_H

#include <stddef.h>
#include <stdint.h>

/* SipHash-2-4 under a key drawn once per process. */
uint64_t table_hash(const void *bytes, size_t len);

#define HASH_NONFATAL_OOM                 1
#define uthash_nonfatal_oom(element)      ((element)->hh.tbl = NULL)
#define HASH_FUNCTION(key, keylen, hashv) ((hashv) = (unsigned)table_hash((key), (keylen)))

#include <uthash.h>
#include <utlist.h>

#endif
