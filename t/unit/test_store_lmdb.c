#include <errno.h>
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
#include "store_fixture.h"

static void create(uint64_t number, const char *address)
{
    struct stored_session session = {
        .number = number, .address = slice_from_string(address), .ttl_ms = 1000, .created_ms = 5};
    must(STORE_LMDB.session_created(fixture_store, &session) == 0);
}

static int add(uint64_t session, uint64_t id, struct slice body)
{
    struct stored_message message = {.id = id, .body = body, .made_ms = 9};
    return STORE_LMDB.messages_added(fixture_store, session, &message, 1);
}

/* --- one by one ------------------------------------------------------------------------------- */

/* Broadcasts that sessions 3 and 1 << 31 wait for, and 7 of old: of the first one, nobody; of 300
 * mailboxes, the last one, as the only one that still exists; and one that was replaced. */
static void fill_with_broadcasts(struct buffer *wanted, struct slice large,
                                 struct stored_message messages[2])
{
    struct stored_recipient first[] = {{1u << 31, 8}, {3, 8}}, third[] = {{3, 10}, {1u << 31, 9}};
    struct stored_message small = {.body = SLICE_LITERAL("[b]"), .made_ms = 11};
    messages[0] = (struct stored_message){.id = 9, .broadcast = 6, .body = large, .made_ms = 12};
    messages[1] = (struct stored_message){.id = 10, .dropped = true};
    struct stored_message stored = messages[0];
    stored.id = stored.broadcast = 0;
    must(STORE_LMDB.broadcast_added(fixture_store, 5, &small, 2) == 0);
    must(STORE_LMDB.recipients_added(fixture_store, 5, first, 2) == 0);
    must(STORE_LMDB.broadcast_removed(fixture_store, 5) == 0);
    must(STORE_LMDB.broadcast_added(fixture_store, 6, &stored, 300) == 0);
    for (uint64_t n = 0; n < 300; n++) {
        struct stored_recipient recipient = {1000 - n, 1};
        if (n == 299)
            recipient = (struct stored_recipient){3, 9};
        must(STORE_LMDB.recipients_added(fixture_store, 6, &recipient, 1) == 0);
    }
    must(STORE_LMDB.broadcast_added(fixture_store, 9, &small, 2) == 0);
    must(STORE_LMDB.recipients_added(fixture_store, 9, third, 2) == 0);
    must(STORE_LMDB.message_changed(fixture_store, 3, &messages[1]) == 0);
    print_broadcast(wanted, 6, &stored);
    print_broadcast(wanted, 9, &small);
}

/* Two sessions, one of another host, one that is deleted, and everything that a message can have.
 */
static void fill_with_everything(struct buffer *wanted)
{
    static char large[100000];
    memset(large, 'x', sizeof large);
    struct slice text = slice_of(large, STORED_KEY_MAX);
    struct stored_session sessions[] = {
        {.number = 3, .address = SLICE_LITERAL("sess/a:1"), .ttl_ms = 1000, .created_ms = 77},
        {.number = 7, .address = SLICE_LITERAL("sess/a:12"), .home = SLICE_LITERAL("host-b:2")},
        {.number = 1u << 31, .address = SLICE_LITERAL("sess/c:1"), .ttl_ms = UINT64_MAX},
    };
    struct stored_message messages[] = {
        {.id = 1, .body = SLICE_LITERAL("[1]"), .made_ms = 1},
        {.id = 2, .body = SLICE_LITERAL("[2]"), .made_ms = 2},
        {.id = 3, .body = slice_of(large, sizeof large), .made_ms = 3, .expires_ms = UINT64_MAX},
        {.id = 4, .dropped = true},
        {.id = 5,
         .body = slice_of(large, 1700),
         .made_ms = 4,
         .replace_key = text,
         .receipt = text},
        {.id = 6, .body = slice_of(large, 1536), .made_ms = 5, .receipt = SLICE_LITERAL("r")},
        {.id = 7, .body = slice_of(large, 5000), .made_ms = 6},
    };
    struct stored_message broadcasts[2], eighth = {.id = 8, .body = SLICE_LITERAL("[8]")};
    fill_with_broadcasts(wanted, slice_of(large, sizeof large), broadcasts);
    struct stored_key keys[] = {{.key = SLICE_LITERAL("1234567890"), .used_ms = 5, .count = 2},
                                {.key = text, .first_id = 6, .digest = UINT64_MAX}};
    for (uint64_t n = 8; n < 12; n++) {
        struct stored_receipt receipt = {.number = n,
                                         .contents = slice_of(large, n == 11 ? 1024 : n)};
        must(STORE_LMDB.receipt_added(fixture_store, &receipt) == 0);
        if (n > 9)
            print_receipt(wanted, &receipt);
    }
    for (size_t i = 0; i < 3; i++)
        must(STORE_LMDB.session_created(fixture_store, &sessions[i]) == 0);
    must(STORE_LMDB.messages_added(fixture_store, 3, messages, 7) == 0);
    must(STORE_LMDB.messages_added(fixture_store, 3, &eighth, 1) == 0);
    must(STORE_LMDB.messages_added(fixture_store, 1u << 31, messages, 7) == 0);
    for (size_t i = 0; i < 2; i++)
        must(STORE_LMDB.key_added(fixture_store, 3, &keys[i]) == 0 &&
             STORE_LMDB.key_added(fixture_store, 1u << 31, &keys[i]) == 0);
    must(STORE_LMDB.receipts_removed(fixture_store, 9) == 0);
    /* ID 1 is confirmed, 2 dropped for want of room, 6 got another message, 7 was dropped. */
    sessions[0].counts = (struct stored_counts){
        .confirmed = 1, .gap = 1, .dropped = 4, .replaced = 1, .overflowed = 2};
    must(STORE_LMDB.messages_removed(fixture_store, 3, 2) == 0);
    must(STORE_LMDB.session_changed(fixture_store, &sessions[0]) == 0);
    messages[5].body = SLICE_LITERAL("[6]");
    messages[6] = (struct stored_message){.id = 7, .dropped = true};
    must(STORE_LMDB.message_changed(fixture_store, 3, &messages[5]) == 0);
    must(STORE_LMDB.message_changed(fixture_store, 3, &messages[6]) == 0);
    must(STORE_LMDB.key_removed(fixture_store, 3, keys[1].key) == 0);
    must(STORE_LMDB.session_deleted(fixture_store, 1u << 31) == 0);
    print_session(wanted, &sessions[0]);
    for (size_t i = 2; i < 7; i++)
        print_message(wanted, &messages[i]);
    print_message(wanted, &eighth);
    print_message(wanted, &broadcasts[0]);
    print_message(wanted, &broadcasts[1]);
    print_key(wanted, &keys[0]);
    print_session(wanted, &sessions[1]);
}

START_TEST(everything_comes_back)
{
    struct buffer wanted = {0};
    fixture_prepare();
    open_store();
    ck_assert_ptr_null(buffer_bytes(&fixture_found));
    fill_with_everything(&wanted);
    commit(7);
    struct store_usage usage = STORE_LMDB.usage(fixture_store);
    ck_assert_uint_eq(usage.size_bytes, 16 << 20);
    ck_assert_uint_gt(usage.used_bytes, 100000);
    ck_assert_uint_lt(usage.used_bytes, 500000);
    /* Not committed: has not happened. */
    ck_assert_int_eq(add(3, 11, SLICE_LITERAL("[4]")), 0);
    close_store();
    open_store();
    buffer_append(&wanted, "", 1);
    ck_assert_slice_eq(buffer_slice(&fixture_found), buffer_bytes(&wanted));
    ck_assert_uint_eq(fixture_totals, 7);
    ck_assert_int_eq(fixture_files("store.damaged", false), 0);
    close_store();
    buffer_free(&wanted);
    fixture_finish();
}
END_TEST

/* --- counts that change --- */

enum { CHANGING = 200, CHANGING_ROUNDS = 60 };

static struct stored_session changing(uint64_t number, uint64_t confirmed)
{
    static char address[32];
    int len = snprintf(address, sizeof address, "sess/a%03d:1", (int)number);
    return (struct stored_session){.number = number,
                                   .address = slice_of(address, (size_t)len),
                                   .counts = {.confirmed = confirmed, .dropped = confirmed / 2}};
}

/* Some stop early, and some are gone. */
static uint64_t confirmed_of(uint64_t number, uint64_t rounds)
{
    return number % 10 == 1 && rounds > 5 ? 5 : rounds;
}

static bool is_deleted(uint64_t number, uint64_t rounds)
{
    return number % 10 == 2 && rounds > 30;
}

static void change_all(uint64_t round)
{
    for (uint64_t number = 1; number <= CHANGING; number++) {
        struct stored_session session = changing(number, confirmed_of(number, round));
        if (is_deleted(number, round) && !is_deleted(number, round - 1))
            must(STORE_LMDB.session_deleted(fixture_store, number) == 0);
        else if (!is_deleted(number, round))
            must(STORE_LMDB.session_changed(fixture_store, &session) == 0);
        if (number % 70 == 0 || (number > 190 && round % 2 == 0))
            commit(round);
    }
}

static void expect_counts(uint64_t rounds)
{
    struct buffer wanted = {0};
    for (uint64_t number = 1; number <= CHANGING; number++) {
        struct stored_session session = changing(number, confirmed_of(number, rounds));
        if (!is_deleted(number, rounds))
            print_session(&wanted, &session);
    }
    buffer_append(&wanted, "", 1);
    ck_assert_int_eq(fixture_files("store.damaged", false), 0);
    ck_assert_slice_eq(buffer_slice(&fixture_found), buffer_bytes(&wanted));
    buffer_free(&wanted);
}

/* More than all lists may name, so that old ones go. */
START_TEST(counts_come_back_however_often_they_change)
{
    fixture_prepare();
    open_store();
    for (uint64_t number = 1; number <= CHANGING; number++) {
        struct stored_session session = changing(number, 0);
        must(STORE_LMDB.session_created(fixture_store, &session) == 0);
    }
    for (uint64_t round = 1; round <= CHANGING_ROUNDS; round++) {
        change_all(round);
        if (round % 7 != 0)
            continue;
        commit(round);
        ck_assert_uint_lt(STORE_LMDB.usage(fixture_store).used_bytes, 1 << 20);
        close_store();
        open_store();
        expect_counts(round);
    }
    close_store();
    fixture_finish();
}
END_TEST

START_TEST(a_store_is_never_shared)
{
    fixture_prepare();
    open_store();
    ck_assert_ptr_null(STORE_LMDB.open(&fixture_settings, fixture_why, sizeof fixture_why));
    ck_assert_ptr_nonnull(strstr(fixture_why, "in use by another msgserver"));
    close_store();
    open_store();
    close_store();
    fixture_finish();
}
END_TEST

START_TEST(another_cluster_id_gets_a_store_of_its_own)
{
    fixture_prepare();
    open_store();
    commit(1);
    close_store();
    open_store_as(SLICE_LITERAL("host-b:1")); /* without sessions, nobody minds */
    create(1, "sess/a:1");
    commit(2);
    close_store();
    ck_assert_int_eq(fixture_files("store.other-host-", false), 0);
    open_store();
    ck_assert_ptr_null(buffer_bytes(&fixture_found));
    commit(3);
    close_store();
    ck_assert_int_eq(fixture_files("store.other-host-", false), 1);
    fixture_finish();
}
END_TEST

START_TEST(the_memory_engine_keeps_nothing)
{
    fixture_prepare();
    struct store *store = STORE_MEMORY.open(&fixture_settings, fixture_why, sizeof fixture_why);
    struct stored_session session = {.number = 1, .address = SLICE_LITERAL("sess/a:1")};
    ck_assert_ptr_nonnull(store);
    ck_assert_int_eq(STORE_MEMORY.session_created(store, &session), 0);
    ck_assert_int_eq(STORE_MEMORY.end_batch(store, SLICE_EMPTY), 0);
    ck_assert_uint_eq(STORE_MEMORY.usage(store).size_bytes, 0);
    ck_assert_int_eq(fixture_files("", false), 0);
    STORE_MEMORY.close(store);
    fixture_finish();
}
END_TEST

/* --- room ------------------------------------------------------------------------------------- */

START_TEST(no_room_on_the_disk_is_told)
{
    fixture_prepare();
    pid_t child = fork();
    if (child == 0) {
        struct rlimit limit = {1 << 20, 1 << 20};
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
        fixture_store = STORE_LMDB.open(&fixture_settings, fixture_why, sizeof fixture_why);
        _exit(!fixture_store && strstr(fixture_why, fixture_file) ? 0 : 1);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    open_store();
    create(1, "sess/a:1");
    commit(0);
    close_store();
    fixture_finish();
}
END_TEST

/* Fills the store through a session, until a message is refused right after a commit, when the
 * pages in use are known and not estimated. Returns its last ID. */
static uint64_t fill(uint64_t session, uint64_t id, size_t len)
{
    static char body[20000];
    unsigned in_batch = 1;
    while (in_batch > 0) {
        for (in_batch = 0; in_batch < 16 && !fixture_store->batch_is_large; in_batch++, id++)
            if (add(session, id + 1, slice_of(body, len)) != 0)
                break;
        commit(id);
    }
    ck_assert_int_eq(errno, ENOSPC);
    return id;
}

static void confirm(uint64_t number, const char *address, uint64_t id)
{
    struct stored_session session = {.number = number,
                                     .address = slice_from_string(address),
                                     .ttl_ms = 1000,
                                     .counts.confirmed = id};
    ck_assert_int_eq(STORE_LMDB.session_changed(fixture_store, &session), 0);
    ck_assert_int_eq(STORE_LMDB.messages_removed(fixture_store, number, id), 0);
}

/* What is refused, and what is not, when the store is full: session 1 has the messages up to `id`.
 */
static void try_all_when_full(uint64_t id)
{
    static char body[20000];
    struct stored_message large = {.id = id, .body = slice_of(body, sizeof body)};
    struct stored_message dropped = {.id = id, .dropped = true};
    ck_assert_int_eq(STORE_LMDB.message_changed(fixture_store, 1, &large), -1);
    ck_assert_int_eq(errno, ENOSPC);
    ck_assert_int_eq(STORE_LMDB.message_changed(fixture_store, 1, &dropped), 0);
    ck_assert_int_eq(STORE_LMDB.broadcast_added(fixture_store, 1, &large, 1), -1);
    ck_assert_int_eq(errno, ENOSPC);
    ck_assert_int_eq(STORE_LMDB.broadcast_added(fixture_store, 1, &dropped, 1000000), -1);
    ck_assert_int_eq(errno, ENOSPC);
    struct stored_session session = {.number = 99, .address = SLICE_LITERAL("sess/z:1")};
    while (STORE_LMDB.session_created(fixture_store, &session) == 0)
        session.number++;
    ck_assert_int_eq(errno, ENOSPC);
    while (session.number-- > 99)
        ck_assert_int_eq(STORE_LMDB.session_deleted(fixture_store, session.number), 0);
    struct stored_key key = {.key = SLICE_LITERAL("k")};
    struct stored_receipt receipt = {.number = 5, .contents = slice_of(body, STORED_RECEIPT_MAX)};
    ck_assert_int_eq(STORE_LMDB.key_added(fixture_store, 1, &key), 0);
    ck_assert_int_eq(STORE_LMDB.receipt_added(fixture_store, &receipt), 0);
    ck_assert_int_eq(STORE_LMDB.receipts_removed(fixture_store, 5), 0);
}

START_TEST(a_full_store_refuses_and_goes_on)
{
    static const size_t SIZES[] = {20000, 30, 1536, 1000, 5000, 200, 1960, 990};
    fixture_prepare();
    open_store();
    create(1, "sess/a:1");
    create(2, "sess/b:1");
    commit(0);
    uint64_t a = 0, b = 0;
    for (int round = 0; round < 32; round++) {
        uint64_t before = a;
        a = fill(1, a, SIZES[round % 8]);
        ck_assert_uint_gt(a, before);
        try_all_when_full(a);
        b += add(2, b + 1, SLICE_LITERAL("[]")) == 0;
        /* Everything, or half of it: then the free pages lie all over the file. */
        confirm(1, "sess/a:1", round % 2 ? a : before + (a - before) / 2);
        commit(a);
        commit(a); /* pages are free a commit later */
    }
    confirm(1, "sess/a:1", a);
    commit(a);
    close_store();
    open_store();
    ck_assert_int_eq(fixture_files("store.damaged", false), 0);
    char wanted[64];
    snprintf(wanted, sizeof wanted, "\n1 sess/a:1~ 1000 0 %" PRIu64 "+0", a);
    ck_assert(slice_starts_with(buffer_slice(&fixture_found), wanted));
    close_store();
    fixture_finish();
}
END_TEST

static int count_lines(FILE *file, const char *text)
{
    char line[512];
    int count = 0;
    rewind(file);
    while (fgets(line, sizeof line, file))
        count += strstr(line, text) != NULL;
    return count;
}

/* Small messages find room where large ones do not: that is no news each time. */
START_TEST(a_full_store_is_no_flood_in_the_log)
{
    static char body[20000];
    FILE *log = tmpfile();
    int standard_error = dup(2);
    fixture_prepare();
    open_store();
    create(1, "sess/a:1");
    uint64_t id = fill(1, 0, sizeof body);
    dup2(fileno(log), 2);
    log_set_levels(UINT32_MAX);
    for (int i = 0; i < 50; i++) {
        ck_assert_int_eq(add(1, id + 1, slice_of(body, sizeof body)), -1);
        id += add(1, id + 1, slice_of(body, 10)) == 0;
        commit(id);
    }
    confirm(1, "sess/a:1", id);
    commit(id);
    commit(id);
    ck_assert_int_eq(add(1, id + 1, slice_of(body, 10)), 0);
    log_set_levels(0);
    dup2(standard_error, 2);
    close(standard_error);
    ck_assert_int_le(count_lines(log, "store-full"), 1);
    ck_assert_int_eq(count_lines(log, "store-has-room"), 1);
    fclose(log);
    close_store();
    fixture_finish();
}
END_TEST

/* Receipts are owed also when senders are refused, but they must leave what deletions need. */
START_TEST(receipts_leave_room_for_deletions)
{
    static char body[STORED_RECEIPT_MAX];
    fixture_prepare();
    open_store();
    create(1, "sess/a:1");
    uint64_t last = fill(1, 0, 5000);
    struct stored_receipt receipt = {.number = 1, .contents = slice_of(body, sizeof body)};
    for (; STORE_LMDB.receipt_added(fixture_store, &receipt) == 0; receipt.number++)
        if (fixture_store->batch_is_large)
            commit(0);
    ck_assert_int_eq(errno, ENOSPC);
    ck_assert_uint_gt(receipt.number, 250); /* half of the reserve has 256 pages */
    commit(0);
    confirm(1, "sess/a:1", last);
    ck_assert_int_eq(STORE_LMDB.receipts_removed(fixture_store, receipt.number), 0);
    commit(0);
    commit(0);
    ck_assert_int_eq(add(1, last + 1, SLICE_LITERAL("[]")), 0);
    commit(0);
    close_store();
    open_store();
    ck_assert_int_eq(fixture_files("store.damaged", false), 0);
    close_store();
    fixture_finish();
}
END_TEST

static void commit_when_large(void)
{
    if (fixture_store->batch_is_large)
        commit(0);
}

/* Counts of very many sessions change, each in a page of its own, while all the room is taken that
 * messages and receipts may take. */
START_TEST(counts_change_however_full_the_store_is)
{
    enum { SESSIONS = 20000, CHANGES = 30000 };
    static char body[STORED_RECEIPT_MAX];
    static uint64_t dropped[SESSIONS + 1];
    fixture_prepare();
    open_store();
    for (uint64_t number = 1; number <= SESSIONS; number++) {
        struct stored_session session = changing(number, 0);
        must(STORE_LMDB.session_created(fixture_store, &session) == 0);
        commit_when_large();
    }
    fill(1, 0, 300);
    struct stored_receipt receipt = {.number = 1, .contents = slice_of(body, sizeof body)};
    for (; STORE_LMDB.receipt_added(fixture_store, &receipt) == 0; receipt.number++)
        commit_when_large();
    commit(0);
    for (uint64_t i = 0; i < CHANGES; i++) {
        uint64_t number = 1 + scatter(i) % SESSIONS;
        struct stored_session session = changing(number, 0);
        session.counts.dropped = ++dropped[number];
        must(STORE_LMDB.session_changed(fixture_store, &session) == 0);
        commit_when_large();
        if (scatter(i) % 300 == 0)
            commit(0);
    }
    commit(0);
    close_store();
    open_store();
    ck_assert_int_eq(fixture_files("store.damaged", false), 0);
    close_store();
    fixture_finish();
}
END_TEST

/* A broadcast has no record in the mailbox, so that many placeholders need room. */
START_TEST(placeholders_of_broadcasts_leave_room_for_deletions)
{
    enum { SESSIONS = 5000 };
    static const struct stored_message SMALL = {.body = SLICE_LITERAL("[]"), .made_ms = 1};
    struct stored_recipient recipients[STORED_RECIPIENTS_MAX];
    fixture_prepare();
    open_store();
    for (uint64_t number = 1; number <= SESSIONS; number++) {
        struct stored_session session = changing(number, 0);
        must(STORE_LMDB.session_created(fixture_store, &session) == 0);
        commit_when_large();
    }
    uint64_t last = 0, placed = 0;
    for (; STORE_LMDB.broadcast_added(fixture_store, last + 1, &SMALL, SESSIONS) == 0; last++)
        for (uint64_t number = 1, count = 0; number <= SESSIONS; number++) {
            recipients[count++] = (struct stored_recipient){number, last + 1};
            if (count < STORED_RECIPIENTS_MAX && number < SESSIONS)
                continue;
            must(STORE_LMDB.recipients_added(fixture_store, last + 1, recipients, count) == 0);
            count = 0;
            commit_when_large();
        }
    struct stored_message placeholder = {.dropped = true};
    for (uint64_t number = 1; number <= SESSIONS && errno == ENOSPC; number++)
        for (placeholder.id = 2; placeholder.id <= last; placeholder.id++) {
            if (STORE_LMDB.message_changed(fixture_store, number, &placeholder) != 0)
                break;
            placed++;
            commit_when_large();
        }
    ck_assert_uint_gt(placed, 1000);
    commit(0);
    placeholder.id = 2; /* it has a record now */
    ck_assert_int_eq(STORE_LMDB.message_changed(fixture_store, 1, &placeholder), 0);
    for (uint64_t number = 1; number <= last; number++) {
        ck_assert_int_eq(STORE_LMDB.broadcast_removed(fixture_store, number), 0);
        commit_when_large();
    }
    commit(0);
    close_store();
    fixture_finish();
}
END_TEST

/* --- kill -9 ---------------------------------------------------------------------------------- */

enum { KILLING_MS = 6000, KILLING_FULL_MS = 300000 }; /* with FULL=1 */

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
    fixture_prepare();
    struct progress *progress =
        mmap(NULL, sizeof *progress, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct model model = {0};
    uint64_t done = 0, seed = clock_monotonic_ms();
    unsigned kills = 0;
    log_set_levels(UINT32_MAX << LOG_LEVEL_WARNING); /* tells why, when the store was set aside */
    for (uint64_t end = seed + (getenv("FULL") ? KILLING_FULL_MS : KILLING_MS);
         clock_monotonic_ms() < end; kills++) {
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
        ck_assert_msg(fixture_files("store.damaged", false) == 0,
                      "after %u kills it was set aside, in %s", kills, fixture_directory);
        ck_assert_msg(
            fixture_totals == progress->committed || fixture_totals == progress->begun,
            "after %u kills: %" PRIu64 " operations, not %" PRIu64 " or %" PRIu64 ", in %s", kills,
            fixture_totals, progress->committed, progress->begun, fixture_directory);
        while (done < fixture_totals)
            operate(&model, done++, false);
        expect_model(&model, done);
        close_store();
    }
    ck_assert_uint_gt(kills, 20);
    printf("# %u kills, %" PRIu64 " operations\n", kills, done);
    munmap(progress, sizeof *progress);
    fixture_finish();
}
END_TEST

static void add_tests(TCase *cases)
{
    if (getenv("FULL"))
        tcase_set_timeout(cases, KILLING_FULL_MS / 1000 + 60);
    tcase_add_test(cases, everything_comes_back);
    tcase_add_test(cases, counts_come_back_however_often_they_change);
    tcase_add_test(cases, a_store_is_never_shared);
    tcase_add_test(cases, another_cluster_id_gets_a_store_of_its_own);
    tcase_add_test(cases, the_memory_engine_keeps_nothing);
    tcase_add_test(cases, no_room_on_the_disk_is_told);
    tcase_add_test(cases, a_full_store_refuses_and_goes_on);
    tcase_add_test(cases, a_full_store_is_no_flood_in_the_log);
    tcase_add_test(cases, receipts_leave_room_for_deletions);
    tcase_add_test(cases, counts_change_however_full_the_store_is);
    tcase_add_test(cases, placeholders_of_broadcasts_leave_room_for_deletions);
    tcase_add_test(cases, a_kill_at_any_instant_loses_nothing);
}

UNIT_MAIN("store_lmdb", add_tests)
