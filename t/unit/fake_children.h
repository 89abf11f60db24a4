/* For tests of the master: a directory in which relay-worker and client-worker are fake_child, a
 * log of the frames they get, and a loop that runs until something is true. */
#ifndef MSGSERVER_FAKE_CHILDREN_H
#define MSGSERVER_FAKE_CHILDREN_H

#include "unit.h"

#include <ev.h>
#include <libgen.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

static char fake_directory[64];
static char fake_log[96];

static inline void fake_path(const char *name, char path[PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s/%s", fake_directory, name);
}

static inline void fake_children_setup(void)
{
    char self[PATH_MAX] = "", target[PATH_MAX + 16], path[PATH_MAX];
    ck_assert_int_gt(readlink("/proc/self/exe", self, sizeof self - 1), 0);
    snprintf(target, sizeof target, "%s/fake_child", dirname(self));
    snprintf(fake_directory, sizeof fake_directory, "/tmp/test-master.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(fake_directory));
    fake_path("relay-worker", path);
    ck_assert_int_eq(symlink(target, path), 0);
    fake_path("client-worker", path);
    ck_assert_int_eq(symlink(target, path), 0);
    snprintf(fake_log, sizeof fake_log, "%s/log", fake_directory);
    setenv("FAKE_LOG", fake_log, 1);
    fake_path("once", path);
    setenv("FAKE_ONCE", path, 1);
}

static inline void fake_children_teardown(void)
{
    static const char *const NAMES[] = {"relay-worker", "client-worker", "log", "once"};
    char path[PATH_MAX];
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        fake_path(NAMES[i], path);
        unlink(path);
    }
    rmdir(fake_directory);
}

/* How many lines of the log hold both texts. */
static inline int fake_log_count(const char *text, const char *also)
{
    char line[512];
    int count = 0;
    FILE *file = fopen(fake_log, "re");
    while (file && fgets(line, sizeof line, file))
        count += strstr(line, text) && strstr(line, also);
    if (file)
        fclose(file);
    return count;
}

static inline void fake_tick(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)timer;
    (void)events;
}

/* Runs the default loop until `condition()`; fails the test after 20 s. */
static inline void run_until(bool (*condition)(void))
{
    ev_timer tick;
    uint64_t end = clock_monotonic_ms() + 20000;
    ev_timer_init(&tick, fake_tick, 0.005, 0.005);
    ev_timer_start(EV_DEFAULT, &tick);
    while (!condition() && clock_monotonic_ms() < end)
        ev_run(EV_DEFAULT, EVRUN_ONCE);
    ev_timer_stop(EV_DEFAULT, &tick);
    ck_assert_msg(condition(), "waited 20 s in vain");
}

static const char *awaited_text, *awaited_also;
static int awaited_count;

static inline bool fake_log_is_awaited(void)
{
    return fake_log_count(awaited_text, awaited_also) >= awaited_count;
}

/* Runs until `count` lines hold both texts; fails when there are more. */
static inline void run_until_logged(const char *text, const char *also, int count)
{
    awaited_text = text;
    awaited_also = also;
    awaited_count = count;
    run_until(fake_log_is_awaited);
    ck_assert_int_eq(fake_log_count(text, also), count);
}

#endif
