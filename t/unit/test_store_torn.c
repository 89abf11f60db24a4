/* Commits that were cut off by a kill, byte by byte, and newest commits that were damaged. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "store/compact.h"
#include "store/inspect.h"
#include "store_fixture.h"

enum { PAGE = 4096, META = 16, META_LEN = 136 };
/* In a meta page's contents; the depth is in the upper 16 bits of what is there. */
enum { DEPTH = 0x48, ROOT = 0x70, TRANSACTION = 0x80 };

/* How Debian's LMDB 0.9.24 writes a meta page on x86-64, in its order: the number of the
 * transaction comes before the root of the records and their count. */
static const struct {
    size_t at, len;
} STORES[] = {
    {0x10, 8},  {0x18, 16}, {0x28, 16},       {0x38, 16}, {0x48, 16},
    {0x58, 16}, {0x78, 8},  {TRANSACTION, 8}, {0x68, 16},
};
enum { STEPS = sizeof STORES / sizeof *STORES, WHOLE = STEPS, TORN = STEPS - 1 };

/* One commit: what its meta page was before, and with it; and the model likewise. */
struct change {
    uint64_t number;
    char before[META_LEN], after[META_LEN];
    struct model model_before, model_after;
    uint64_t done_before, done_after; /* operations */
};

/* --- the file's bytes ------------------------------------------------------------------------- */

static void access_file(off_t at, void *bytes, size_t len, bool write)
{
    int fd = open(fixture_file, O_RDWR | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ssize_t done = write ? pwrite(fd, bytes, len, at) : pread(fd, bytes, len, at);
    ck_assert_int_eq(done, (ssize_t)len);
    close(fd);
}

static off_t meta_at(uint64_t transaction)
{
    return (off_t)(transaction % 2 * PAGE + META);
}

static uint64_t meta_value(int page, size_t at)
{
    uint64_t value;
    access_file((off_t)page * PAGE + META + (off_t)at, &value, sizeof value, false);
    return value;
}

static uint64_t newest(void)
{
    uint64_t a = meta_value(0, TRANSACTION), b = meta_value(1, TRANSACTION);
    return a > b ? a : b;
}

/* Where the root page of a commit's records is. */
static off_t root_at(uint64_t transaction)
{
    return (off_t)meta_value((int)(transaction % 2), ROOT) * PAGE;
}

static void flip(off_t at)
{
    unsigned char byte;
    access_file(at, &byte, 1, false);
    byte ^= 0x55;
    access_file(at, &byte, 1, true);
}

/* --- commits ---------------------------------------------------------------------------------- */

/* The store is open, and stays so. */
static void make_change(struct change *change, uint64_t operations)
{
    change->model_before = change->model_after;
    change->done_before = change->done_after;
    change->number = newest() + 1;
    access_file(meta_at(change->number), change->before, META_LEN, false);
    for (uint64_t i = 0; i < operations; i++)
        operate(&change->model_after, change->done_after++, true);
    commit(change->done_after);
    access_file(meta_at(change->number), change->after, META_LEN, false);
    ck_assert_uint_eq(newest(), change->number);
}

/* A new store with `commits` commits, closed; of the last one: `change`. */
static void make_store(struct change *change, unsigned commits)
{
    fixture_files("store.", true);
    *change = (struct change){0};
    open_store();
    for (unsigned i = 0; i < commits; i++)
        make_change(change, 4);
    close_store();
}

/* The meta page with the first `steps` stores of the commit. */
static void tear(const struct change *change, size_t steps)
{
    char bytes[META_LEN];
    memcpy(bytes, change->before, sizeof bytes);
    for (size_t i = 0; i < steps; i++)
        memcpy(bytes + STORES[i].at, change->after + STORES[i].at, STORES[i].len);
    access_file(meta_at(change->number), bytes, sizeof bytes, true);
}

static void read_metas(char metas[2 * PAGE])
{
    access_file(0, metas, (size_t)2 * PAGE, false);
}

/* --- what must come of it --------------------------------------------------------------------- */

static void expect(const struct change *change, bool with_commit)
{
    ck_assert_int_eq(fixture_files("store.damaged", false), 0);
    ck_assert_uint_eq(fixture_totals, with_commit ? change->done_after : change->done_before);
    expect_model(with_commit ? &change->model_after : &change->model_before, fixture_totals);
}

static void expect_set_aside(void)
{
    char metas[2 * PAGE], aside[2 * PAGE];
    char command[256];
    read_metas(metas);
    open_store();
    ck_assert_int_eq(fixture_files("store.damaged", false), 1);
    ck_assert_ptr_null(buffer_bytes(&fixture_found));
    close_store();
    snprintf(command, sizeof command, "mv %s/store.damaged-* %s", fixture_directory, fixture_file);
    ck_assert_int_eq(system(command), 0);
    read_metas(aside);
    ck_assert_mem_eq(metas, aside, sizeof metas);
}

/* That a look at the store says what the server will do, and changes nothing. */
static void expect_inspected(const struct change *change, bool cut_off)
{
    struct store_findings findings;
    char before[2 * PAGE], after[2 * PAGE];
    read_metas(before);
    ck_assert_int_eq(store_inspect(fixture_file, &findings), 0);
    ck_assert_ptr_null(findings.damage);
    ck_assert_int_eq(findings.pages.is, cut_off ? STORE_CUT_OFF : STORE_SOUND);
    if (cut_off) {
        ck_assert_uint_eq(findings.pages.transaction, change->number);
        ck_assert_ptr_nonnull(findings.pages.why);
    }
    store_findings_free(&findings);
    read_metas(after);
    ck_assert_mem_eq(before, after, sizeof before);
}

/* After each step, the store is as with the commit or as without it. */
static void try_every_step(const struct change *change)
{
    char before[2 * PAGE], after[2 * PAGE];
    for (size_t steps = 0; steps <= WHOLE; steps++) {
        tear(change, steps);
        expect_inspected(change, steps == TORN);
        read_metas(before);
        open_store();
        expect(change, steps == WHOLE);
        close_store();
        read_metas(after);
        if (steps != TORN)
            ck_assert_mem_eq(before, after, sizeof before);
        ck_assert_uint_eq(newest(), change->number - (steps != WHOLE));
    }
}

START_TEST(a_commit_that_is_cut_off_is_undone)
{
    enum { COMMITS = 60 };
    struct change change;
    fixture_prepare();
    make_store(&change, 2);
    for (unsigned i = 0; i < COMMITS; i++) {
        open_store();
        expect(&change, true);
        make_change(&change, 1 + scatter(i) % 30);
        close_store();
        try_every_step(&change);
        if (i % 2 == 0)
            continue;
        /* It goes on from there, and the next commit takes the place of this. */
        tear(&change, TORN);
        open_store();
        expect(&change, false);
        change.model_after = change.model_before;
        change.done_after = change.done_before;
        uint64_t number = change.number;
        make_change(&change, 1 + scatter(i) % 7);
        ck_assert_uint_eq(change.number, number);
        close_store();
    }
    fixture_finish();
}
END_TEST

/* --- other damage ----------------------------------------------------------------------------- */

START_TEST(a_damaged_newest_commit_is_undone)
{
    struct change change;
    fixture_prepare();
    make_store(&change, 20);
    flip(root_at(change.number));
    expect_inspected(&change, true);
    open_store();
    expect(&change, false);
    close_store();
    expect_inspected(&change, false);
    fixture_finish();
}
END_TEST

START_TEST(with_the_commit_before_damaged_as_well_it_is_set_aside)
{
    struct change change;
    fixture_prepare();
    for (int what = 0; what < 4; what++) {
        make_store(&change, what == 1 ? 2 : 20);
        off_t older = meta_at(change.number - 1), root = root_at(change.number - 1);
        tear(&change, TORN);
        if (what == 0)
            flip(root);
        else if (what == 1)
            flip(root + PAGE - 2); /* a record's last byte, or the one before: pages are sound */
        else if (what == 2)
            flip(older); /* LMDB's mark */
        else
            flip(older + TRANSACTION);
        if (what == 1)
            ck_assert_uint_eq(meta_value((int)(change.number - 1) % 2, DEPTH) >> 48, 1);
        expect_set_aside();
    }
    fixture_finish();
}
END_TEST

static void compact(void)
{
    struct store_directory directory;
    struct store_findings before, after;
    ck_assert_int_eq(store_directory_find(&directory, fixture_directory), 0);
    ck_assert_int_eq(store_directory_lock(&directory, false), 0);
    ck_assert_int_eq(store_inspect(fixture_file, &before), 0);
    int result = store_compact(&directory, 0, &before, &after, fixture_why, sizeof fixture_why);
    ck_assert_msg(result == 0, "%s", fixture_why);
    store_findings_free(&before);
    store_findings_free(&after);
    store_directory_close(&directory);
}

START_TEST(a_compaction_leaves_it_out)
{
    struct change change;
    fixture_prepare();
    make_store(&change, 20);
    tear(&change, TORN);
    compact();
    expect_inspected(&change, false);
    open_store();
    expect(&change, false);
    close_store();
    fixture_finish();
}
END_TEST

/* Before the first commit there is an empty store: to undo that is to lose all. A compacted store
 * has all in its first one. */
START_TEST(the_first_commit_is_never_undone)
{
    struct change change;
    fixture_prepare();
    make_store(&change, 20);
    compact();
    ck_assert_uint_eq(newest(), 1);
    flip(root_at(1));
    expect_set_aside();
    make_store(&change, 1);
    tear(&change, TORN);
    expect_set_aside();
    fixture_finish();
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, a_commit_that_is_cut_off_is_undone);
    tcase_add_test(cases, a_damaged_newest_commit_is_undone);
    tcase_add_test(cases, with_the_commit_before_damaged_as_well_it_is_set_aside);
    tcase_add_test(cases, a_compaction_leaves_it_out);
    tcase_add_test(cases, the_first_commit_is_never_undone);
}

UNIT_MAIN("store_torn", add_tests)
