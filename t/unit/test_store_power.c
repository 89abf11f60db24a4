/* Power cuts under durability: disk. This program has its own msync() and fsync(), which take the
 * place of libc's also for LMDB: what they are given is on the platter. Of everything else that was
 * written, a cut leaves any pages there that the kernel may just have written by itself. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "store_fixture.h"

enum { PAGE = 4096, PAGES = 1024, CUTS = 600 };

static char platter[PAGES][PAGE], present[PAGES][PAGE], image[PAGES][PAGE];
static bool on;           /* the platter follows the store */
static bool cut;          /* the image is what a cut left */
static bool in_commit;    /* when it came */
static uint64_t seed;     /* of all that is left to chance */
static unsigned syncs[3]; /* cuts within a commit, before its n-th sync and after the last one */
static unsigned sync_number;

static uint64_t chance(uint64_t below)
{
    return scatter(seed++) % below;
}

static void read_present(void)
{
    int fd = open(fixture_file, O_RDONLY | O_CLOEXEC);
    must(fd >= 0 && pread(fd, present, sizeof present, 0) >= 0);
    close(fd);
}

/* Now and then, while no other image waits to be looked at. */
static void maybe_cut(uint64_t one_of, bool committing)
{
    if (!on || cut || chance(one_of) != 0)
        return;
    uint64_t share = chance(5); /* of the written pages that came to the platter, in quarters */
    read_present();
    for (size_t i = 0; i < PAGES; i++)
        memcpy(image[i], chance(4) < share ? present[i] : platter[i], PAGE);
    cut = true;
    in_commit = committing;
    if (committing)
        syncs[sync_number < 2 ? sync_number : 2]++;
}

int msync(void *start, size_t len, int flags)
{
    uint64_t page; /* every page of LMDB's that is synced from begins with its number */
    (void)flags;
    if (!on)
        return 0;
    maybe_cut(4, true);
    memcpy(&page, start, sizeof page);
    must(len % PAGE == 0 && page + len / PAGE <= PAGES);
    memcpy(platter[page], start, len);
    sync_number++;
    maybe_cut(4, true);
    return 0;
}

int fsync(int fd)
{
    struct stat state, store;
    if (on && fstat(fd, &state) == 0 && stat(fixture_file, &store) == 0 &&
        state.st_ino == store.st_ino) {
        read_present();
        memcpy(platter, present, sizeof platter);
    }
    return 0;
}

int fdatasync(int fd)
{
    return fsync(fd);
}

/* Opens the image in a directory of its own and compares: `before` had `done` operations, and `now`
 * has those of the batch that was being committed. */
static void look_at_image(const char *directory, const struct model *before, uint64_t done,
                          const struct model *now, uint64_t begun)
{
    struct store *store = fixture_store;
    char *path = fixture_settings.store_path, kept[2][128];
    memcpy(kept[0], fixture_directory, sizeof fixture_directory);
    memcpy(kept[1], fixture_file, sizeof fixture_file);
    on = false;
    fixture_settings.store_path = strdup(directory);
    snprintf(fixture_directory, sizeof fixture_directory, "%s", directory);
    snprintf(fixture_file, sizeof fixture_file, "%s/store.mdb", directory);
    int fd = open(fixture_file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_eq(write(fd, image, sizeof image), (ssize_t)sizeof image);
    close(fd);
    open_store();
    ck_assert_int_eq(fixture_files("store.damaged", true), 0);
    ck_assert(fixture_totals == done || (in_commit && fixture_totals == begun));
    expect_model(fixture_totals == done ? before : now, fixture_totals);
    close_store();
    free(fixture_settings.store_path);
    fixture_settings.store_path = path;
    memcpy(fixture_directory, kept[0], sizeof fixture_directory);
    memcpy(fixture_file, kept[1], sizeof fixture_file);
    fixture_store = store;
    cut = false;
    on = true;
}

START_TEST(a_power_cut_loses_nothing_that_was_committed)
{
    char directory[] = "/tmp/test-image.XXXXXX", file[64];
    struct model before = {0}, now = {0};
    uint64_t done = 0;
    fixture_prepare();
    ck_assert_ptr_nonnull(mkdtemp(directory));
    fixture_settings.store_size = sizeof platter;
    free(fixture_settings.store_durability);
    fixture_settings.store_durability = strdup("disk");
    seed = clock_monotonic_ms();
    on = true;
    open_store();
    commit(0);
    for (unsigned cuts = 0; cuts < CUTS;) {
        uint64_t end = done + 1 + chance(12);
        for (uint64_t i = done; i < end; i++) {
            operate(&now, i, true);
            maybe_cut(100, false);
        }
        sync_number = 0;
        commit(end);
        if (cut) {
            look_at_image(directory, &before, done, &now, end);
            cuts++;
        }
        before = now;
        done = end;
    }
    on = false;
    printf("# %u cuts, %" PRIu64 " operations; of the cuts in a commit %u came before its first "
           "sync, %u between the two, %u after\n",
           (unsigned)CUTS, done, syncs[0], syncs[1], syncs[2]);
    ck_assert(syncs[0] > CUTS / 20 && syncs[1] > CUTS / 20 && syncs[2] > CUTS / 20);
    close_store();
    fixture_finish();
    snprintf(file, sizeof file, "%s/store.mdb", directory);
    unlink(file);
    snprintf(file, sizeof file, "%s/lock", directory);
    unlink(file);
    rmdir(directory);
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, a_power_cut_loses_nothing_that_was_committed);
}

UNIT_MAIN("store_power", add_tests)
