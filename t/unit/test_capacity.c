#include "unit.h"

#include "master/capacity.h"

static struct capacity with(uint64_t connections, uint64_t workers, uint64_t sessions,
                            uint64_t open_files, uint64_t memory)
{
    struct settings settings;
    ck_assert_int_eq(settings_init(&settings), 0);
    settings.limit_connections = connections;
    settings.workers = workers;
    settings.limit_sessions = sessions;
    struct capacity capacity = capacity_of(
        &settings, &(struct machine_limits){.open_files = open_files, .memory = memory});
    settings_free(&settings);
    return capacity;
}

START_TEST(enough_of_all_is_as_configured)
{
    struct capacity capacity = with(1000, 4, 1000000, 1 << 20, UINT64_MAX);
    ck_assert_uint_eq(capacity.connections, 4000);
    ck_assert_uint_eq(capacity.per_worker, 1000);
    ck_assert_str_eq(capacity.bound, "server.limits.connections");
    ck_assert_ptr_null(capacity.hint);
}
END_TEST

START_TEST(open_files_bound_each_worker)
{
    struct capacity capacity = with(100000, 4, 1000000, 20000, UINT64_MAX);
    ck_assert_uint_lt(capacity.per_worker, 20000);
    ck_assert_uint_gt(capacity.per_worker, 19000);
    ck_assert_uint_eq(capacity.connections, 4 * capacity.per_worker);
    ck_assert_str_eq(capacity.bound, "open files");
    ck_assert_ptr_nonnull(strstr(capacity.hint, "LimitNOFILE"));
}
END_TEST

START_TEST(memory_bounds_the_host)
{
    struct capacity capacity = with(100000, 4, 1000000, 1 << 20, 1 << 30);
    ck_assert_uint_eq(capacity.connections,
                      (1 << 30) / (CONNECTION_USER_BYTES + CONNECTION_KERNEL_BYTES));
    ck_assert_uint_eq(capacity.per_worker, 100000);
    ck_assert_str_eq(capacity.bound, "memory");
    ck_assert_ptr_nonnull(strstr(capacity.hint, "memory"));
}
END_TEST

/* Which may be what the operator wants: the connections are but an upper bound. */
START_TEST(fewer_sessions_are_no_reason_to_warn)
{
    struct capacity capacity = with(100000, 4, 5000, 1 << 20, UINT64_MAX);
    ck_assert_uint_eq(capacity.connections, 5000);
    ck_assert_str_eq(capacity.bound, "server.limits.sessions");
    ck_assert_ptr_null(capacity.hint);
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, enough_of_all_is_as_configured);
    tcase_add_test(cases, open_files_bound_each_worker);
    tcase_add_test(cases, memory_bounds_the_host);
    tcase_add_test(cases, fewer_sessions_are_no_reason_to_warn);
}

UNIT_MAIN("capacity", add_tests)
