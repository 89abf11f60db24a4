#include "fake_children.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>

#include "codecs/settings.h"
#include "io/child_contract.h"
#include "master/child.h"

static struct child *child;
static struct buffer settings_bytes;
static int times_in[5]; /* by state */
static int readies;
static char trouble[512];
static uint32_t incarnations[8];
static size_t lives;

static void on_state(void *context, struct child *self, enum child_state state)
{
    (void)context;
    times_in[state]++;
    if (state != CHILD_STARTING)
        return;
    incarnations[lives++] = child_incarnation(self);
    struct buffer frame = {0};
    struct frame_start start = {.slot = 1,
                                .incarnation = child_incarnation(self),
                                .settings = buffer_slice(&settings_bytes)};
    ck_assert_int_eq(put_start(&frame, &start), 0);
    child_send(self, &frame, -1);
}

static void on_ready(void *context, struct child *self, const struct frame_ready *ready)
{
    (void)context;
    (void)ready;
    ck_assert_int_eq(child_state(self), CHILD_STARTING);
    readies++;
}

static void on_trouble(void *context, struct child *self, const char *why)
{
    (void)context;
    (void)self;
    snprintf(trouble, sizeof trouble, "%s", why);
}

static const struct child_handlers HANDLERS = {on_state, on_ready, on_trouble};

static void setup(void)
{
    struct settings settings;
    fake_children_setup();
    ck_assert_int_eq(settings_init(&settings), 0);
    ck_assert_int_eq(settings_encode(&settings, &settings_bytes), 0);
    settings_free(&settings);
}

static void start(const char *behaviour, const char *program)
{
    char path[PATH_MAX];
    setenv("FAKE_CHILD", behaviour, 1);
    fake_path(program, path);
    child = child_new(EV_DEFAULT, 1, "client-worker/1", path, &HANDLERS, NULL);
    ck_assert_ptr_nonnull(child);
    child_start(child);
}

static bool is_ready(void)
{
    return child_state(child) == CHILD_READY;
}

static bool is_dead(void)
{
    return child_state(child) == CHILD_DEAD;
}

static bool is_waiting(void)
{
    return child_state(child) == CHILD_WAITING;
}

static bool waits_long(void)
{
    return child_wait_ms(child) >= RESTART_SLOW_MS;
}

static bool has_two_lives(void)
{
    return lives == 2 && is_ready();
}

static void teardown(void)
{
    child_stop(child, 0);
    if (!is_dead())
        child_kill(child);
    run_until(is_dead);
    child_free(child);
    buffer_free(&settings_bytes);
    fake_children_teardown();
}

START_TEST(it_gets_ready_and_stops_when_told)
{
    int leaky = open("/dev/null", O_RDONLY); /* not close-on-exec */
    start("ready", "client-worker");
    run_until(is_ready);
    ck_assert_int_eq(readies, 1);
    child_stop(child, CHILD_STOP_LIMIT_MS);
    ck_assert_int_eq(child_state(child), CHILD_STOPPING);
    run_until(is_dead);
    ck_assert_str_eq(trouble, "");
    ck_assert_int_eq(fake_log_count("worker", "stop"), 1);
    ck_assert_int_eq(fake_log_count("worker", "inherited"), 0);
    close(leaky);
}
END_TEST

START_TEST(a_signal_to_the_whole_tree_leaves_it_alone)
{
    start("ready", "client-worker");
    run_until(is_ready);
    char line[512] = "";
    FILE *file = fopen(fake_log, "re");
    ck_assert_ptr_nonnull(file);
    ck_assert_ptr_nonnull(fgets(line, sizeof line, file));
    fclose(file);
    int pid = (int)strtol(strstr(line, "pid=") + 4, NULL, 10);
    kill(pid, SIGTERM);
    kill(pid, SIGINT);
    kill(pid, SIGHUP);
    child_stop(child, CHILD_STOP_LIMIT_MS);
    run_until(is_dead);
    ck_assert_int_eq(fake_log_count("worker", "stop"), 1);
}
END_TEST

START_TEST(one_that_ignores_stop_is_killed)
{
    start("deaf", "client-worker");
    run_until(is_ready);
    child_stop(child, 30);
    run_until(is_dead);
}
END_TEST

START_TEST(a_killed_one_comes_back_with_a_higher_incarnation)
{
    start("ready", "client-worker");
    run_until(is_ready);
    child_kill(child);
    run_until(has_two_lives);
    ck_assert_uint_gt(incarnations[1], incarnations[0]);
    ck_assert_ptr_nonnull(strstr(trouble, "signal 9"));
}
END_TEST

START_TEST(a_crash_loop_is_slowed_down)
{
    start("crash", "client-worker");
    run_until(waits_long);
    ck_assert_uint_eq(lives, 2);
    ck_assert_int_eq(readies, 0);
    ck_assert_ptr_nonnull(strstr(trouble, "exited with status 1"));
    child_stop(child, 0);
    ck_assert(is_dead());
}
END_TEST

START_TEST(what_a_failing_one_says_is_passed_on)
{
    start("fail", "client-worker");
    run_until(is_waiting);
    ck_assert_str_eq(trouble, "client-worker/1: the fake was told to fail");
}
END_TEST

START_TEST(a_missing_binary_is_named)
{
    start("ready", "no-such-program");
    run_until(is_waiting);
    ck_assert_ptr_nonnull(strstr(trouble, "cannot execute"));
    ck_assert_ptr_nonnull(strstr(trouble, "no-such-program: No such file"));
}
END_TEST

START_TEST(one_that_never_gets_ready_is_killed_on_request)
{
    start("silent", "client-worker");
    child_kill(child);
    run_until(is_waiting);
    ck_assert_int_eq(times_in[CHILD_READY], 0);
    ck_assert_int_eq(times_in[CHILD_STOPPING], 1);
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, it_gets_ready_and_stops_when_told);
    tcase_add_test(cases, a_signal_to_the_whole_tree_leaves_it_alone);
    tcase_add_test(cases, one_that_ignores_stop_is_killed);
    tcase_add_test(cases, a_killed_one_comes_back_with_a_higher_incarnation);
    tcase_add_test(cases, a_crash_loop_is_slowed_down);
    tcase_add_test(cases, what_a_failing_one_says_is_passed_on);
    tcase_add_test(cases, a_missing_binary_is_named);
    tcase_add_test(cases, one_that_never_gets_ready_is_killed_on_request);
}

UNIT_MAIN("child", add_tests)
