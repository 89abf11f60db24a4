/* A kill after any instruction of a commit, with LMDB as it is installed here: a process is traced
 * through commits, and what its file was after each change of a meta page is opened like a store
 * whose server was killed just then. */
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/inspect.h"
#include "store_fixture.h"

enum { COMMITS = 8, METAS = 2 * 4096, IMAGE_BYTES = 1 << 20, IMAGES_MAX = 32 };

static char images[IMAGES_MAX][IMAGE_BYTES];

/* A process that stops before the commit and after it; or ends, when it may not be traced. */
static pid_t start_to_commit(struct model model, uint64_t from, uint64_t to)
{
    pid_t child = fork();
    if (child != 0)
        return child;
    open_store();
    for (uint64_t i = from; i < to; i++)
        operate(&model, i, true);
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
        _exit(0);
    raise(SIGSTOP);
    commit(to);
    raise(SIGSTOP);
    _exit(1);
}

static bool is_stopped_by(pid_t child, int wanted)
{
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return WIFSTOPPED(status) && WSTOPSIG(status) == wanted;
}

static bool makes_a_step(pid_t child)
{
    return ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) == 0 && is_stopped_by(child, SIGTRAP);
}

/* Fills `images`; the first is from before the commit. Returns how many; 0: no tracing here. */
static unsigned trace_commit(const struct model *model, uint64_t from, uint64_t to)
{
    unsigned count = 0;
    pid_t child = start_to_commit(*model, from, to);
    ck_assert_int_gt(child, 0);
    if (!is_stopped_by(child, SIGSTOP))
        return 0;
    int fd = open(fixture_file, O_RDONLY | O_CLOEXEC);
    char *file = mmap(NULL, IMAGE_BYTES, PROT_READ, MAP_SHARED, fd, 0);
    ck_assert_ptr_ne(file, MAP_FAILED);
    close(fd);
    do {
        if (count == 0 || memcmp(images[count - 1], file, METAS) != 0) {
            ck_assert_uint_lt(count, IMAGES_MAX);
            memcpy(images[count++], file, IMAGE_BYTES);
        }
    } while (makes_a_step(child));
    munmap(file, IMAGE_BYTES);
    ck_assert_int_eq(kill(child, SIGKILL), 0);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    return count;
}

/* Returns whether its newest commit is cut off. */
static bool use_image(const char *image)
{
    struct store_findings findings;
    int fd = open(fixture_file, O_WRONLY | O_CLOEXEC);
    ck_assert_int_eq(pwrite(fd, image, IMAGE_BYTES, 0), IMAGE_BYTES);
    close(fd);
    ck_assert_int_eq(store_inspect(fixture_file, &findings), 0);
    ck_assert_msg(!findings.damage, "%s", findings.damage);
    store_findings_free(&findings);
    return findings.pages.is == STORE_CUT_OFF;
}

START_TEST(a_kill_after_any_instruction_loses_nothing)
{
    unsigned count = 1, states = 0, cut_off = 0;
    uint64_t done = 0;
    struct model model = {0};
    fixture_prepare();
    fixture_settings.store_size = IMAGE_BYTES;
    open_store();
    commit(0);
    close_store();
    for (unsigned n = 0; n < COMMITS && count > 0; n++) {
        struct model before = model;
        uint64_t end = done + 1 + scatter(n) % 12;
        count = trace_commit(&before, done, end);
        for (uint64_t i = done; i < end; i++)
            operate(&model, i, false);
        for (unsigned i = 0; i < count; i++) {
            bool is_cut_off = use_image(images[i]), is_last = i + 1 == count;
            open_store();
            ck_assert_int_eq(fixture_files("store.damaged", false), 0);
            ck_assert(fixture_totals == end || (fixture_totals == done && !is_last));
            ck_assert(fixture_totals == done || (i > 0 && !is_cut_off));
            expect_model(fixture_totals == end ? &model : &before, fixture_totals);
            close_store();
            cut_off += is_cut_off;
        }
        states += count;
        done = end;
    }
    if (count == 0)
        printf("# not run: a process may not be traced here\n");
    printf("# %u states of the meta pages, %u of them cut off\n", states, cut_off);
    fixture_finish();
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, a_kill_after_any_instruction_loses_nothing);
}

UNIT_MAIN("store_steps", add_tests)
