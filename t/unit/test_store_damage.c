/* Files that are broken, foreign or of no sense. */
#include <fcntl.h>
#include <inttypes.h>
#include <lmdb.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "codecs/frame.h"
#include "io/child_contract.h"
#include "store/records.h"
#include "store_fixture.h"

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
    int fd = open(fixture_file, O_RDWR);
    unsigned char byte;
    off_t at = (off_t)(random % within);
    ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
    byte ^= (unsigned char)(1 + (random >> 40) % 255);
    ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

/* Or it is in the last commit alone, which is undone then. */
START_TEST(damage_is_set_aside_or_does_no_harm)
{
    enum { TIMES = 300, OPERATIONS = 700, BEFORE_LAST = 695 };
    char sound[160];
    struct model model = {0}, before = {0};
    fixture_prepare();
    open_store();
    for (uint64_t i = 0; i < OPERATIONS; i++) {
        operate(&model, i, true);
        if (i % 5 == 0)
            commit(i);
        if (i == BEFORE_LAST)
            before = model;
    }
    commit(OPERATIONS);
    close_store();
    const size_t used = (size_t)90 * 4096;
    snprintf(sound, sizeof sound, "%s/sound", fixture_directory);
    copy_file(fixture_file, sound, used);
    uint64_t seed = clock_monotonic_ms();
    int aside = 0, undone = 0;
    for (unsigned i = 0; i < TIMES; i++) {
        copy_file(sound, fixture_file, used);
        /* Half of the damage goes where LMDB keeps its roots and its small trees. */
        size_t within = i % 4 == 0 ? 8192 : i % 4 == 1 ? (size_t)40 * 4096 : used;
        for (unsigned n = 0; n <= i % 3; n++)
            flip(scatter(seed++), within);
        open_store();
        bool damaged = fixture_files("store.damaged", true) > 0;
        aside += damaged;
        struct model now = {0};
        if (!damaged && fixture_totals == BEFORE_LAST) {
            now = before;
            undone++;
        } else if (!damaged) {
            now = model;
        }
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
        ck_assert_int_eq(fixture_files("store.damaged", true), 0);
        expect_model(&now, more);
        close_store();
    }
    printf("# of %d damaged files %d were set aside, and of %d the last commit was undone\n", TIMES,
           aside, undone);
    ck_assert_int_gt(aside, TIMES / 20);
    fixture_finish();
}
END_TEST

START_TEST(what_is_no_store_is_set_aside)
{
    static const size_t LENGTHS[] = {1, 100, 8192, 100000};
    fixture_prepare();
    for (size_t i = 0; i < sizeof LENGTHS / sizeof *LENGTHS; i++) {
        int fd = open(fixture_file, O_RDWR | O_CREAT | O_TRUNC, 0600);
        for (size_t n = 0; n < LENGTHS[i]; n++)
            ck_assert_int_eq(write(fd, &"garbage"[n % 7], 1), 1);
        close(fd);
        open_store();
        ck_assert_int_eq(fixture_files("store.damaged", true), 1);
        commit(1);
        close_store();
    }
    fixture_finish();
}
END_TEST

/* --- records of no sense, with sound pages and checksums ----------------------------------------
 */

/* One record; `value` gets its checksum. No value: the record goes away. */
static void put_raw(const struct record_key *name, struct buffer *value)
{
    char text[RECORD_KEY_MAX];
    struct slice key = record_key_write(name, text), bytes = buffer_slice(value);
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi records;
    must(mdb_env_create(&env) == 0);
    must(mdb_env_open(env, fixture_file, MDB_NOSUBDIR | MDB_NOLOCK | MDB_WRITEMAP, 0600) == 0);
    must(mdb_txn_begin(env, NULL, 0, &txn) == 0 && mdb_dbi_open(txn, NULL, 0, &records) == 0);
    MDB_val at = {key.len, (void *)key.data};
    if (bytes.len > 0) {
        uint64_t sum = record_sum(key, slice_of(bytes.data + 8, bytes.len - 8));
        memcpy(buffer_bytes(value), &sum, sizeof sum);
        MDB_val data = {bytes.len, (void *)bytes.data};
        must(mdb_put(txn, records, &at, &data, 0) == 0);
    } else {
        must(mdb_del(txn, records, &at, NULL) == 0);
    }
    must(mdb_txn_commit(txn) == 0);
    mdb_env_close(env);
    buffer_free(value);
}

/* Receipts 4 and 5; session 3 with counts 10 + 2 and the messages 13 (three parts), 14 and 15, and
 * broadcast 8 (two parts) as 16; which session 2, that is gone, had as well. */
static void make_sound_store(void)
{
    static char body[2 * PART_MAX + 1000];
    fixture_files("store.mdb", true);
    open_store();
    struct stored_session session = {.number = 3,
                                     .address = SLICE_LITERAL("sess/a:1"),
                                     .counts = {.confirmed = 10, .gap = 2, .dropped = 2}};
    struct stored_message messages[] = {{.id = 13, .body = slice_of(body, sizeof body)},
                                        {.id = 14, .body = SLICE_LITERAL("[]")},
                                        {.id = 15, .dropped = true}};
    struct stored_receipt receipts[] = {{.number = 4}, {.number = 5}};
    struct stored_message broadcast = {.body = slice_of(body, PART_MAX + 1000)};
    struct stored_recipient recipients[] = {{2, 1}, {3, 16}};
    must(STORE_LMDB.broadcast_added(fixture_store, 8, &broadcast, 2) == 0);
    must(STORE_LMDB.recipients_added(fixture_store, 8, &recipients[0], 1) == 0);
    must(STORE_LMDB.recipients_added(fixture_store, 8, &recipients[1], 1) == 0);
    must(STORE_LMDB.session_created(fixture_store, &session) == 0);
    must(STORE_LMDB.messages_added(fixture_store, 3, messages, 3) == 0);
    session.number = 2;
    for (int i = 0; i < 5; i++) /* so many that there is a list of them: 0 */
        must(STORE_LMDB.session_changed(fixture_store, &session) == 0);
    must(STORE_LMDB.receipt_added(fixture_store, &receipts[0]) == 0);
    must(STORE_LMDB.receipt_added(fixture_store, &receipts[1]) == 0);
    commit(1);
    close_store();
}

static struct buffer session_value(struct stored_counts counts, const char *address)
{
    char bytes[RECORD_MAX];
    struct buffer value = {0};
    struct stored_session session = {.address = slice_from_string(address), .counts = counts};
    buffer_append(&value, bytes, session_record_write(bytes, &session));
    return value;
}

static struct buffer counts_value(uint64_t session, struct stored_counts counts)
{
    char bytes[RECORD_MAX];
    struct buffer value = {0};
    struct changed_counts changed = {session, counts};
    buffer_append(&value, bytes, counts_record_write(bytes, &changed, 1));
    return value;
}

static struct buffer part_value(const char *contents, size_t len)
{
    struct buffer value = {0};
    put_u64(&value, 0);
    buffer_append(&value, contents, len);
    return value;
}

#define SESSION(n) ((struct record_key){.kind = RECORD_SESSION, .number = (n)})
#define PART(n, at, p)                                                                             \
    ((struct record_key){.kind = RECORD_PART, .number = (n), .id = (at), .part = (p)})
#define BROADCAST(n, p) ((struct record_key){.kind = RECORD_BROADCAST, .number = (n), .part = (p)})
#define RECIPIENTS(n, c)                                                                           \
    ((struct record_key){.kind = RECORD_RECIPIENTS, .number = (n), .chunk = (c)})
#define WHO(session, id) session "\0\0\0\0\0\0\0" id "\0\0\0\0\0\0\0"
#define RECEIPT(n)       ((struct record_key){.kind = RECORD_RECEIPT, .number = (n)})
#define COUNTS(n)        ((struct record_key){.kind = RECORD_COUNTS, .number = (n)})
#define KEY(n, text)                                                                               \
    ((struct record_key){.kind = RECORD_KEY, .number = (n), .key = SLICE_LITERAL(text)})
#define PART_VALUE(text) part_value(text, sizeof(text) - 1)
#define MADE             "\0\0\0\0\0\0\0\1"

START_TEST(records_of_no_sense_are_damage)
{
    const struct {
        bool sound;
        struct record_key key;
        struct buffer value;
    } cases[] = {
        {true, SESSION(3), session_value((struct stored_counts){10, 2, 9, 9, 9}, "sess/a:1")},
        {true, PART(3, 16, 0), PART_VALUE("\0" MADE "[]")},
        {true, PART(3, 14, 0), PART_VALUE("\x1c" MADE MADE "\1k\1r")},
        {true, RECEIPT(6), PART_VALUE("\1\0\0\0x")},
        {true, RECEIPT(4), {0}},
        /* broadcasts: who is settled, gone, or has another message there, does not count */
        {true, PART(3, 16, 0), PART_VALUE("\2")},
        {true, PART(3, 17, 0), PART_VALUE("\0" MADE "[]")},
        {true, RECIPIENTS(8, 2), PART_VALUE(WHO("\3", "\x11"))},
        {true, RECIPIENTS(8, 2), PART_VALUE(WHO("\3", "\x0d") WHO("\4", "\x0d"))},
        {true, RECIPIENTS(8, 2), PART_VALUE(WHO("\3", "\x0c") WHO("\3", "\1"))},
        {true, RECIPIENTS(8, 1), {0}},
        {true, BROADCAST(9, 0), PART_VALUE("\0" MADE "[]")},
        {false, RECIPIENTS(8, 0), {0}},
        {false, RECIPIENTS(8, 3), PART_VALUE(WHO("\3", "\x11"))},
        {false, RECIPIENTS(8, 2), PART_VALUE(WHO("\3", "\x12"))},
        {false, RECIPIENTS(8, 2), PART_VALUE(WHO("\3", "\x11") "\0")},
        {false, RECIPIENTS(8, 2), PART_VALUE("")},
        {false, RECIPIENTS(7, 0), PART_VALUE(WHO("\3", "\x11"))},
        {false, RECIPIENTS(9, 0), PART_VALUE(WHO("\3", "\x11"))},
        {false, BROADCAST(8, 0), {0}},
        {false, BROADCAST(8, 1), {0}},
        {false, BROADCAST(8, 2), PART_VALUE("\0[]")},
        {false, BROADCAST(7, 0), PART_VALUE("\1" MADE "[]")},
        {false, BROADCAST(9, 0), PART_VALUE("\1" MADE "[]")},
        {false, BROADCAST(9, 1), PART_VALUE("\0[]")},
        {false, BROADCAST(9, 0), PART_VALUE("\2")},
        {false, BROADCAST(9, 0), PART_VALUE("\4" MADE MADE "[]")},
        {false, BROADCAST(9, 0), PART_VALUE("")},
        {false, PART(3, 18, 0), PART_VALUE("\0" MADE "[]")},
        /* counts */
        {false, SESSION(3), session_value((struct stored_counts){10, 2, 1, 2, 0}, "sess/a:1")},
        {false, SESSION(3), session_value((struct stored_counts){10, 2, 1, 0, 2}, "sess/a:1")},
        {false, SESSION(3), session_value((struct stored_counts){9, 2, 2, 0, 0}, "sess/a:1")},
        {false, SESSION(3), session_value((struct stored_counts){10, 3, 3, 0, 0}, "sess/a:1")},
        {false, SESSION(9),
         session_value((struct stored_counts){UINT64_MAX, 2, 2, 0, 0}, "sess/b:1")},
        {false, SESSION(3), session_value((struct stored_counts){10, 2, 2, 0, 0}, "sess/")},
        /* changed counts, which do not go back */
        {true, COUNTS(0), {0}},
        {true, COUNTS(1), counts_value(3, (struct stored_counts){11, 1, 2, 0, 0})},
        {true, COUNTS(1), counts_value(3, (struct stored_counts){9, 1, 1, 0, 0})},
        {true, COUNTS(1), counts_value(4, (struct stored_counts){99, 1, 1, 0, 0})},
        {false, COUNTS(1), counts_value(3, (struct stored_counts){12, 1, 2, 0, 0})},
        {false, COUNTS(1), counts_value(3, (struct stored_counts){10, 3, 2, 0, 0})},
        {false, COUNTS(1), counts_value(3, (struct stored_counts){10, 2, 2, 3, 0})},
        {false, COUNTS(2), counts_value(3, (struct stored_counts){11, 1, 2, 0, 0})},
        {false, COUNTS(1), PART_VALUE(MADE MADE)},
        {false, COUNTS(1), PART_VALUE("")},
        /* what is not there, or has no owner */
        {false, SESSION(3), {0}},
        {false, PART(3, 13, 0), {0}},
        {false, PART(3, 13, 1), {0}},
        {false, PART(3, 13, 2), {0}},
        {false, PART(3, 14, 0), {0}},
        {false, RECEIPT(8), PART_VALUE("\1\0\0\0x")},
        {false, PART(3, 12, 0), PART_VALUE("\0" MADE "[]")},
        {false, PART(3, 14, 1), PART_VALUE("\0[]")},
        {false, PART(4, 1, 0), PART_VALUE("\0" MADE "[]")},
        {false, KEY(4, "k"), PART_VALUE(MADE MADE "\0\0\0\0" MADE)},
        /* contents */
        {false, PART(3, 14, 0), PART_VALUE("\0\0\0\0")},
        {false, PART(3, 14, 0), PART_VALUE("\x20" MADE "[]")},
        {false, PART(3, 14, 0), PART_VALUE("\4" MADE "[]")},
        {false, PART(3, 14, 0), PART_VALUE("\x8" MADE "\0")},
        {false, PART(3, 14, 0), PART_VALUE("\x8" MADE "\x9[]")},
        {false, PART(3, 14, 0), PART_VALUE("\x8" MADE)},
        {false, PART(3, 14, 0), PART_VALUE("\x10" MADE "\xff[]")},
        {false, PART(3, 14, 0), PART_VALUE("\2x")},
        {false, PART(3, 14, 0), PART_VALUE("\3")},
        {false, PART(3, 15, 0), PART_VALUE("\1" MADE "[]")},
        {false, PART(3, 13, 2), PART_VALUE("\2")},
        {false, PART(3, 14, 0), PART_VALUE("")},
        {false, KEY(3, "k"), PART_VALUE(MADE MADE)},
        {false, KEY(3, ""), PART_VALUE(MADE MADE "\0\0\0\0" MADE)},
        {false, RECEIPT(6), PART_VALUE("\2\0\0\0x")},
    };
    fixture_prepare();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buffer value = cases[i].value;
        make_sound_store();
        put_raw(&cases[i].key, &value);
        open_store();
        ck_assert_msg(fixture_files("store.damaged", true) == !cases[i].sound, "case %zu", i);
        ck_assert((buffer_len(&fixture_found) > 0) == cases[i].sound);
        close_store();
    }
    fixture_finish();
}
END_TEST

/* Every schema has its description in the same place. */
START_TEST(another_schema_is_set_aside)
{
    fixture_prepare();
    make_sound_store();
    struct buffer value = {0};
    put_u64(&value, 0);
    put_u32(&value, 1);
    put_slice(&value, HOST);
    put_raw(&(struct record_key){.kind = RECORD_INFO}, &value);
    open_store();
    ck_assert_int_eq(fixture_files("store.damaged", true), 1);
    ck_assert_ptr_null(buffer_bytes(&fixture_found));
    close_store();
    fixture_finish();
}
END_TEST

/* --- a disk that fails while the store is in use ---------------------------------------------- */

/* Runs `work` in a child with its stderr in `line`. Returns the child's status. */
static int run_apart(void (*work)(void), char *line, size_t room)
{
    int ends[2], status;
    ck_assert_int_eq(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], 2);
        work();
        _exit(0);
    }
    close(ends[1]);
    ssize_t len = read(ends[0], line, room - 1);
    line[len > 0 ? len : 0] = '\0';
    close(ends[0]);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return status;
}

static void lose_the_file(void)
{
    open_store();
    must(truncate(fixture_file, 8192) == 0);
    commit(2);
}

static void lose_another_file(void)
{
    open_store();
    char *map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int fd = memfd_create("other", 0);
    must(map != MAP_FAILED && fd >= 0);
    map = mmap(map, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
    *(volatile char *)map = 1;
}

START_TEST(a_page_that_cannot_be_had_ends_the_process)
{
    char line[512];
    fixture_prepare();
    make_sound_store();
    int status = run_apart(lose_the_file, line, sizeof line);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_OS, "%d: %s", status, line);
    ck_assert_str_eq(line,
                     "msgserver error: event=store-failed why=\"the disk cannot take or give a "
                     "page of the store\" action=\"starting the relay anew\"\n");
    fixture_files("store.mdb", true);
    status = run_apart(lose_another_file, line, sizeof line);
    ck_assert(WIFSIGNALED(status));
    ck_assert_int_eq(WTERMSIG(status), SIGBUS);
    ck_assert_ptr_null(strstr(line, "store-failed"));
    fixture_finish();
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, damage_is_set_aside_or_does_no_harm);
    tcase_add_test(cases, what_is_no_store_is_set_aside);
    tcase_add_test(cases, records_of_no_sense_are_damage);
    tcase_add_test(cases, another_schema_is_set_aside);
    tcase_add_test(cases, a_page_that_cannot_be_had_ends_the_process);
}

UNIT_MAIN("store_damage", add_tests)
