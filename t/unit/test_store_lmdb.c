#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "codecs/frame.h"
#include "codecs/settings.h"
#include "unit.h"
#include "store/store.h"

#define HOST SLICE_LITERAL("host-a:1")

static char directory[64], file[128], why[512];
static struct settings settings;
static struct store *store;

static void prepare(void)
{
    snprintf(directory, sizeof directory, "/tmp/test-store.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(file, sizeof file, "%s/store.mdb", directory);
    ck_assert_int_eq(settings_init(&settings), 0);
    free(settings.store_path);
    settings.store_path = strdup(directory);
    settings.store_size = 16 << 20;
    if (!getenv("SHOW_LOG"))
        log_set_levels(0);
}

/* Returns how many files begin with `prefix`, and removes them when `away`. */
static int files(const char *prefix, bool away)
{
    DIR *open = opendir(directory);
    int count = 0;
    char path[512];
    for (struct dirent *entry; open && (entry = readdir(open));) {
        if (entry->d_name[0] == '.' || strncmp(entry->d_name, prefix, strlen(prefix)) != 0)
            continue;
        count++;
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        if (away)
            unlink(path);
    }
    closedir(open);
    return count;
}

static void finish(void)
{
    files("", true);
    rmdir(directory);
    settings_free(&settings);
}

/* --- what a store holds, as text -------------------------------------------------------------- */

static struct buffer found;
static uint64_t found_totals;

static uint64_t digest(struct slice body)
{
    uint64_t sum = body.len;
    for (size_t i = 0; i < body.len; i++)
        sum = sum * 31 + (unsigned char)body.data[i];
    return sum;
}

static void print_session(struct buffer *out, struct slice address, struct slice home, uint64_t ttl,
                          uint64_t confirmed)
{
    buffer_printf(out, "\n%.*s~%.*s %" PRIu64 " %" PRIu64 ":", (int)address.len, address.data,
                  (int)home.len, home.data ? home.data : "", ttl, confirmed);
}

static int on_session(void *context, const struct stored_session *session)
{
    (void)context;
    print_session(&found, session->address, session->home, session->ttl_ms, session->confirmed);
    return 0;
}

static int on_message(void *context, uint64_t id, struct slice body)
{
    (void)context;
    return buffer_printf(&found, " %" PRIu64 "=%" PRIx64, id, digest(body));
}

/* For what also runs in a process that is killed: an assertion of check would write to the file
 * that the test shares with it, and a kill in between would leave that file broken. */
static void must(bool good)
{
    if (!good) {
        fprintf(stderr, "store_lmdb: a step failed: %s\n", why);
        abort();
    }
}

static int on_state(void *context, struct slice totals, uint64_t alive_ms)
{
    (void)context;
    struct frame_reader reader = reader_of(totals);
    found_totals = get_u64(&reader);
    must(reader_finish(&reader) == 0);
    must(alive_ms <= clock_wall_ms());
    return 0;
}

static const struct store_reader READER = {
    .on_session = on_session, .on_message = on_message, .on_state = on_state};

static void commit(uint64_t totals)
{
    struct buffer text = {0};
    put_u64(&text, totals);
    must(STORE_LMDB.end_batch(store, buffer_slice(&text)) == 0);
    buffer_free(&text);
}

static void open_store_as(struct slice host)
{
    buffer_free(&found);
    found_totals = 0;
    store = STORE_LMDB.open(&settings, why, sizeof why);
    must(store != NULL);
    must(STORE_LMDB.recover(store, host, &READER, NULL, why, sizeof why) == 0);
}

static void open_store(void)
{
    open_store_as(HOST);
}

static void close_store(void)
{
    STORE_LMDB.close(store);
    store = NULL;
}

static int accept_body(const char *address, uint64_t id, struct slice body)
{
    struct blob *blob = blob_new(body);
    int result = STORE_LMDB.accepted(store, slice_from_string(address), id, &blob, 1);
    int error = errno;
    blob_release(blob);
    errno = error;
    return result;
}

static void create(const char *address)
{
    must(STORE_LMDB.session_created(store, slice_from_string(address), SLICE_EMPTY, 1000) == 0);
}

/* --- one by one ------------------------------------------------------------------------------- */

START_TEST(everything_comes_back)
{
    static char large[100000];
    prepare();
    memset(large, 'x', sizeof large);
    open_store();
    ck_assert_ptr_null(buffer_bytes(&found));
    create("sess/a:1");
    create("sess/a:12");
    ck_assert_int_eq(STORE_LMDB.session_created(store, SLICE_LITERAL("sess/b:1"),
                                                SLICE_LITERAL("host-b:2"), 5000),
                     0);
    create("sess/c:1");
    ck_assert_int_eq(accept_body("sess/a:1", 1, SLICE_LITERAL("[1]")), 0);
    ck_assert_int_eq(accept_body("sess/a:1", 2, slice_of(large, sizeof large)), 0);
    ck_assert_int_eq(accept_body("sess/a:1", 3, slice_of(large, 1536)), 0);
    ck_assert_int_eq(accept_body("sess/a:12", 1, SLICE_LITERAL("[2]")), 0);
    ck_assert_int_eq(accept_body("sess/c:1", 1, SLICE_LITERAL("[3]")), 0);
    ck_assert_int_eq(STORE_LMDB.confirmed(store, SLICE_LITERAL("sess/a:1"), 1), 0);
    ck_assert_int_eq(STORE_LMDB.confirmed(store, SLICE_LITERAL("sess/a:12"), 1), 0);
    ck_assert_int_eq(STORE_LMDB.session_deleted(store, SLICE_LITERAL("sess/c:1")), 0);
    commit(7);
    /* Not committed: has not happened. */
    ck_assert_int_eq(accept_body("sess/a:12", 2, SLICE_LITERAL("[4]")), 0);
    close_store();
    open_store();
    char wanted[256];
    snprintf(wanted, sizeof wanted,
             "\nsess/a:1~ 1000 1: 2=%" PRIx64 " 3=%" PRIx64
             "\nsess/a:12~ 1000 1:\nsess/b:1~host-b:2 5000 0:",
             digest(slice_of(large, sizeof large)), digest(slice_of(large, 1536)));
    ck_assert_slice_eq(buffer_slice(&found), wanted);
    ck_assert_uint_eq(found_totals, 7);
    ck_assert_int_eq(files("store.damaged", false), 0);
    close_store();
    finish();
}
END_TEST

START_TEST(a_store_is_never_shared)
{
    prepare();
    open_store();
    ck_assert_ptr_null(STORE_LMDB.open(&settings, why, sizeof why));
    ck_assert_ptr_nonnull(strstr(why, "in use by another msgserver"));
    close_store();
    open_store();
    close_store();
    finish();
}
END_TEST

START_TEST(another_cluster_id_gets_a_store_of_its_own)
{
    prepare();
    open_store();
    commit(1);
    close_store();
    open_store_as(SLICE_LITERAL("host-b:1")); /* without sessions, nobody minds */
    create("sess/a:1");
    commit(2);
    close_store();
    ck_assert_int_eq(files("store.other-host-", false), 0);
    open_store();
    ck_assert_ptr_null(buffer_bytes(&found));
    commit(3);
    close_store();
    ck_assert_int_eq(files("store.other-host-", false), 1);
    finish();
}
END_TEST

START_TEST(no_room_on_the_disk_is_told)
{
    prepare();
    pid_t child = fork();
    if (child == 0) {
        struct rlimit limit = {1 << 20, 1 << 20};
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
        store = STORE_LMDB.open(&settings, why, sizeof why);
        _exit(!store && strstr(why, file) ? 0 : 1);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    open_store();
    create("sess/a:1");
    commit(0);
    close_store();
    finish();
}
END_TEST

/* Fills the store through mailbox `which`. Returns its last ID. */
static uint64_t fill(const char *address, uint64_t id, size_t len)
{
    static char body[20000];
    for (unsigned i = 0; accept_body(address, id + 1, slice_of(body, len)) == 0; i++) {
        id++;
        if (i % 16 == 0 || store->batch_is_large)
            commit(id);
    }
    ck_assert_int_eq(errno, ENOSPC);
    commit(id);
    return id;
}

START_TEST(a_full_store_refuses_and_goes_on)
{
    static const size_t SIZES[] = {20000, 30, 1536, 1000, 5000, 200};
    prepare();
    open_store();
    create("sess/a:1");
    create("sess/b:1");
    commit(0);
    uint64_t a = 0, b = 0;
    for (int round = 0; round < 30; round++) {
        uint64_t before = a;
        a = fill("sess/a:1", a, SIZES[round % 6]);
        ck_assert_uint_gt(a, before);
        b += accept_body("sess/b:1", b + 1, SLICE_LITERAL("[]")) == 0;
        /* Everything, or half of it: then the free pages lie all over the file. */
        uint64_t upto = round % 2 ? a : before + (a - before) / 2;
        ck_assert_int_eq(STORE_LMDB.confirmed(store, SLICE_LITERAL("sess/a:1"), upto), 0);
        commit(a);
        commit(a); /* pages are free a commit later */
    }
    ck_assert_int_eq(STORE_LMDB.confirmed(store, SLICE_LITERAL("sess/a:1"), a), 0);
    commit(a);
    close_store();
    open_store();
    ck_assert_int_eq(files("store.damaged", false), 0);
    char wanted[64];
    snprintf(wanted, sizeof wanted, "\nsess/a:1~ 1000 %" PRIu64 ":", a);
    ck_assert(slice_starts_with(buffer_slice(&found), wanted));
    close_store();
    finish();
}
END_TEST

/* --- random operations against a model -------------------------------------------------------- */

enum { MAILBOXES = 6 };

struct model {
    struct {
        bool exists;
        uint64_t last_id, confirmed;
    } mailboxes[MAILBOXES];
};

static uint64_t scatter(uint64_t x)
{
    x = (x ^ x >> 31) * 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 29) * 0xbf58476d1ce4e5b9u;
    return x ^ x >> 32;
}

static struct slice body_of(int mailbox, uint64_t id)
{
    static char bytes[8000];
    uint64_t seed = scatter(id * MAILBOXES + (uint64_t)mailbox);
    size_t len = seed % 8 == 0 ? seed % sizeof bytes : seed % 100;
    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)(seed >> i % 57);
    return slice_of(bytes, len);
}

static const char *address_of(int mailbox)
{
    static char text[32];
    snprintf(text, sizeof text, "sess/%d:x", mailbox);
    return text;
}

/* Operation `number` on the model, and on the store as well when `real`. */
static void operate(struct model *model, uint64_t number, bool real)
{
    uint64_t random = scatter(number + 1000);
    int which = (int)(random % MAILBOXES);
    struct slice address = slice_from_string(address_of(which));
    uint64_t *last = &model->mailboxes[which].last_id;
    uint64_t *confirmed = &model->mailboxes[which].confirmed;
    random >>= 8;
    if (!model->mailboxes[which].exists) {
        model->mailboxes[which].exists = true;
        *last = *confirmed = 0;
        if (real)
            create(address_of(which));
    } else if (random % 64 == 0) {
        model->mailboxes[which].exists = false;
        if (real)
            must(STORE_LMDB.session_deleted(store, address) == 0);
    } else if (random % 4 == 1 && *last > *confirmed) {
        *confirmed += 1 + (random >> 8) % (*last - *confirmed);
        if (real)
            must(STORE_LMDB.confirmed(store, address, *confirmed) == 0);
    } else {
        struct blob *bodies[3];
        size_t count = 1 + (random >> 8) % 3;
        for (size_t i = 0; i < count && real; i++)
            bodies[i] = blob_new(body_of(which, *last + 1 + i));
        if (real)
            must(STORE_LMDB.accepted(store, address, *last + 1, bodies, count) == 0);
        for (size_t i = 0; i < count && real; i++)
            blob_release(bodies[i]);
        *last += count;
    }
}

static void expect_model(const struct model *model, uint64_t operations)
{
    struct buffer wanted = {0};
    for (int i = 0; i < MAILBOXES; i++) {
        if (!model->mailboxes[i].exists)
            continue;
        print_session(&wanted, slice_from_string(address_of(i)), SLICE_EMPTY, 1000,
                      model->mailboxes[i].confirmed);
        for (uint64_t id = model->mailboxes[i].confirmed + 1; id <= model->mailboxes[i].last_id;
             id++)
            buffer_printf(&wanted, " %" PRIu64 "=%" PRIx64, id, digest(body_of(i, id)));
    }
    ck_assert_msg(slice_equal(buffer_slice(&found), buffer_slice(&wanted)),
                  "after %" PRIu64 " operations: found %.*s\nwanted %.*s", operations,
                  (int)buffer_len(&found), buffer_bytes(&found), (int)buffer_len(&wanted),
                  buffer_bytes(&wanted));
    buffer_free(&wanted);
}

struct progress {
    volatile uint64_t committed; /* operations; the end of the last batch */
    volatile uint64_t begun;     /* the end of the batch that is being made */
};

_Noreturn static void work_until_killed(struct model model, uint64_t done,
                                        struct progress *progress)
{
    open_store();
    for (;;) {
        uint64_t end = done + 1 + scatter(done) % 12;
        progress->begun = end;
        while (done < end)
            operate(&model, done++, true);
        commit(done);
        progress->committed = done;
    }
}

START_TEST(a_kill_at_any_instant_loses_nothing)
{
    prepare();
    struct progress *progress =
        mmap(NULL, sizeof *progress, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct model model = {0};
    uint64_t done = 0, seed = clock_monotonic_ms();
    unsigned kills = 0;
    for (uint64_t end = clock_monotonic_ms() + 6000; clock_monotonic_ms() < end; kills++) {
        progress->begun = progress->committed = done;
        pid_t child = fork();
        if (child == 0)
            work_until_killed(model, done, progress);
        while (progress->begun == done) /* it works */
            ck_assert_int_eq(waitpid(child, NULL, WNOHANG), 0);
        nanosleep(&(struct timespec){0, (long)(scatter(seed++) % 15000000)}, NULL);
        ck_assert_int_eq(kill(child, SIGKILL), 0);
        ck_assert_int_eq(waitpid(child, NULL, 0), child);
        open_store();
        ck_assert_int_eq(files("store.damaged", false), 0);
        ck_assert(found_totals == progress->committed || found_totals == progress->begun);
        while (done < found_totals)
            operate(&model, done++, false);
        expect_model(&model, done);
        close_store();
    }
    ck_assert_uint_gt(kills, 20);
    printf("# %u kills, %" PRIu64 " operations\n", kills, done);
    munmap(progress, sizeof *progress);
    finish();
}
END_TEST

/* --- damage ----------------------------------------------------------------------------------- */

static void copy_file(const char *from, const char *to, size_t len)
{
    char *bytes = malloc(len);
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT, 0600);
    ck_assert(bytes && in >= 0 && out >= 0);
    ck_assert_int_eq(pread(in, bytes, len, 0), (ssize_t)len);
    ck_assert_int_eq(pwrite(out, bytes, len, 0), (ssize_t)len);
    free(bytes);
    close(in);
    close(out);
}

static void flip(uint64_t random, size_t within)
{
    int fd = open(file, O_RDWR);
    unsigned char byte;
    off_t at = (off_t)(random % within);
    ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
    byte ^= (unsigned char)(1 + (random >> 40) % 255);
    ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

START_TEST(damage_is_set_aside_or_does_no_harm)
{
    enum { TIMES = 300, OPERATIONS = 400 };
    char sound[160];
    struct model model = {0};
    prepare();
    open_store();
    for (uint64_t i = 0; i < OPERATIONS; i++) {
        operate(&model, i, true);
        if (i % 5 == 0)
            commit(i);
    }
    commit(OPERATIONS);
    close_store();
    const size_t used = 90 * 4096;
    snprintf(sound, sizeof sound, "%s/sound", directory);
    copy_file(file, sound, used);
    uint64_t seed = clock_monotonic_ms();
    int aside = 0;
    for (unsigned i = 0; i < TIMES; i++) {
        copy_file(sound, file, used);
        /* Half of the damage goes where LMDB keeps its roots and its small trees. */
        size_t within = i % 4 == 0 ? 8192 : i % 4 == 1 ? 40 * 4096 : used;
        for (unsigned n = 0; n <= i % 3; n++)
            flip(scatter(seed++), within);
        open_store();
        bool damaged = files("store.damaged", true) > 0;
        aside += damaged;
        struct model now = {0};
        if (!damaged)
            now = model;
        expect_model(&now, OPERATIONS);
        uint64_t more = OPERATIONS;
        for (; more < OPERATIONS + 60; more++) {
            operate(&now, more, true);
            if (more % 4 == 0)
                commit(more);
        }
        commit(more);
        close_store();
        open_store();
        ck_assert_int_eq(files("store.damaged", true), 0);
        expect_model(&now, more);
        close_store();
    }
    printf("# %d of %d damaged files were set aside\n", aside, TIMES);
    ck_assert_int_gt(aside, TIMES / 20);
    finish();
}
END_TEST

START_TEST(what_is_no_store_is_set_aside)
{
    static const size_t LENGTHS[] = {1, 100, 8192, 100000};
    prepare();
    for (size_t i = 0; i < sizeof LENGTHS / sizeof *LENGTHS; i++) {
        int fd = open(file, O_RDWR | O_CREAT | O_TRUNC, 0600);
        for (size_t n = 0; n < LENGTHS[i]; n++)
            ck_assert_int_eq(write(fd, &"garbage"[n % 7], 1), 1);
        close(fd);
        open_store();
        ck_assert_int_eq(files("store.damaged", true), 1);
        create("sess/a:1");
        commit(1);
        close_store();
    }
    finish();
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, everything_comes_back);
    tcase_add_test(cases, a_store_is_never_shared);
    tcase_add_test(cases, another_cluster_id_gets_a_store_of_its_own);
    tcase_add_test(cases, no_room_on_the_disk_is_told);
    tcase_add_test(cases, a_full_store_refuses_and_goes_on);
    tcase_add_test(cases, a_kill_at_any_instant_loses_nothing);
    tcase_add_test(cases, damage_is_set_aside_or_does_no_harm);
    tcase_add_test(cases, what_is_no_store_is_set_aside);
}

UNIT_MAIN("store_lmdb", add_tests)
