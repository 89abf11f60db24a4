/* What a store's file holds, read without changing anything; for a server that is stopped. */
#ifndef MSGSERVER_STORE_INSPECT_H
#define MSGSERVER_STORE_INSPECT_H

#include "base/buffer.h"
#include "codecs/session_key.h"
#include "store/pages.h"

struct store_findings {
    struct store_verdict pages;
    const char *damage; /* NULL: it is sound, and what follows is filled in; when its last commit is
                           cut off, as of the one before */
    uint64_t sessions;
    uint64_t adopted;                 /* of these, those whose mailbox is on another host */
    uint64_t messages, message_bytes; /* in mailboxes: a broadcast counts in each */
    uint64_t broadcasts;
    uint64_t owed; /* dropped IDs that clients have not confirmed yet */
    uint64_t keys, receipts;
    char cluster_id[CLUSTER_ID_MAX + 1];
    bool was_used;        /* what follows is there */
    uint64_t alive_ms;    /* when it was last in use, since 1970 */
    struct buffer totals; /* as the relay gave them to end_batch() */
    uint64_t page_bytes;
    uint64_t used_pages;  /* hold something */
    uint64_t taken_pages; /* the same, and the holes between them */
    uint64_t file_bytes;
};

/* Checks the file as the server does when it starts. Returns 0 with `findings`; or -1 with errno
 * when it cannot be told: ENOENT without a file, ENODATA when it is empty. */
int store_inspect(const char *path, struct store_findings *findings);
void store_findings_free(struct store_findings *findings);

#endif
