#include "store/compact.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "ctl/commands.h"
#include "ctl/store_place.h"
#include "io/child_contract.h"

static void print_result(const struct store_place *place, bool json,
                         const struct store_findings *before, const struct store_findings *after)
{
    if (json)
        printf("{\"pagesBefore\":%" PRIu64 ",\"usedBefore\":%" PRIu64 ",\"pagesAfter\":%" PRIu64
               ",\"sizeBytes\":%" PRIu64 "}\n",
               before->taken_pages, before->used_pages, after->taken_pages, after->file_bytes);
    else
        printf("%s was compacted\n"
               "  before  %" PRIu64 " pages, %" PRIu64 " of them in use\n"
               "  after   %" PRIu64 " pages, all in use\n"
               "  size    %" PRIu64 " bytes\n",
               place->directory.file, before->taken_pages, before->used_pages, after->taken_pages,
               after->file_bytes);
}

static void tell_undone(const struct store_verdict *pages)
{
    if (pages->is == STORE_CUT_OFF)
        fprintf(stderr,
                "msgserverctl: the last commit, %" PRIu64
                ", is not in the new file: it was cut off or damaged (%s)\n",
                pages->transaction, pages->why);
}

static int refuse_damaged(const struct store_place *place, const char *damage)
{
    fprintf(stderr, "msgserverctl: %s is damaged, and stays as it is: %s\n", place->directory.file,
            damage);
    return EXIT_DAMAGED;
}

static int compact(const struct store_place *place, bool json, const struct store_findings *before)
{
    struct store_findings after;
    char why[PATH_MAX + 256];
    int status = EXIT_OK;
    if (store_compact(&place->directory, place->size, before, &after, why, sizeof why) == 0) {
        print_result(place, json, before, &after);
        tell_undone(&before->pages);
    } else {
        fprintf(stderr, "msgserverctl: the store was not compacted: %s\n", why);
        status = EXIT_OS;
    }
    store_findings_free(&after);
    return status;
}

/* Only a store that is there gets a lock. */
static int lock_existing(struct store_place *place)
{
    struct stat state;
    if (stat(place->directory.file, &state) != 0)
        return store_place_unreadable(place);
    return store_place_lock(place, false);
}

int store_compact_command(const struct ctl_options *options)
{
    struct store_place place;
    struct store_findings before;
    int status = store_place_find(&place, options);
    if (status == EXIT_OK && !place.is_own)
        status = usage_error("'%s' stays as it is: store compact is for a store.mdb, or the "
                             "directory of one",
                             options->argument);
    if (status == EXIT_OK)
        status = lock_existing(&place);
    if (status != EXIT_OK)
        return status;
    if (store_inspect(place.directory.file, &before) != 0)
        status = store_place_unreadable(&place);
    else if (before.damage)
        status = refuse_damaged(&place, before.damage);
    else
        status = compact(&place, options->json, &before);
    store_findings_free(&before);
    return status;
}
