#include "unit.h"

#include <errno.h>

#include "base/log.h"
#include "codecs/settings.h"

static int set(struct settings *settings, const char *key, const char *text)
{
    const struct setting_row *row = setting_row_find(key);
    ck_assert_msg(row != NULL, "no row %s", key);
    return setting_set(settings, row, slice_from_string(text));
}

START_TEST(defaults_are_in_range_and_print_as_they_parse)
{
    struct settings settings;
    ck_assert_int_eq(settings_init(&settings), 0);
    for (size_t i = 0; i < SETTING_ROW_COUNT; i++) {
        const struct setting_row *row = &SETTING_ROWS[i];
        if (row->type == SETTING_LIST || row->type == SETTING_NETMASKS)
            continue;
        struct buffer text = {0};
        ck_assert_int_eq(setting_print(&settings, row, &text), 0);
        if (buffer_len(&text) > 0)
            ck_assert_msg(setting_set(&settings, row, buffer_slice(&text)) == 0, "%s", row->key);
        buffer_free(&text);
    }
    ck_assert_uint_eq(settings.session_ttl, 600000);
    ck_assert_uint_eq(settings.zookeeper_session_timeout, 30000);
    ck_assert_uint_eq(settings.longpolling_heartbeat, 60000);
    ck_assert_uint_eq(settings.detect.count, 3);
    ck_assert_uint_eq(settings.mmrp_network.count, 0);
    settings_free(&settings);
}
END_TEST

START_TEST(values_out_of_form_or_range_keep_the_old_one)
{
    struct settings settings;
    ck_assert_int_eq(settings_init(&settings), 0);
    ck_assert_int_eq(set(&settings, "server.workers", "300"), -1);
    ck_assert_int_eq(errno, ERANGE);
    ck_assert_int_eq(set(&settings, "server.workers", "-1"), -1);
    ck_assert_int_eq(set(&settings, "server.workers", "two"), -1);
    ck_assert_int_eq(set(&settings, "server.workers", "4"), 0);
    ck_assert_uint_eq(settings.workers, 4);
    ck_assert_int_eq(set(&settings, "server.workers", "false"), 0);
    ck_assert_uint_eq(settings.workers, 1);
    ck_assert_int_eq(set(&settings, "server.serviceDiscovery.engine", "etcd"), -1);
    ck_assert_int_eq(set(&settings, "server.serviceDiscovery.engine", "zookeeper"), 0);
    ck_assert_int_eq(set(&settings, "server.serviceName", ""), -1);
    ck_assert_int_eq(set(&settings, "server.clientHost.expose", NULL), 0);
    ck_assert_ptr_null(settings.client_expose);
    settings_free(&settings);
}
END_TEST

START_TEST(log_level_ranges)
{
    static const struct {
        const char *text;
        uint64_t mask;
    } GOOD[] = {{"all", 0x1ff},          {">=warning", 0x1f0}, {">warning", 0x1e0},
                {"<=debug", 3},          {"<debug", 1},        {"info", 4},
                {"info,>=alert", 0x184}, {"info,error", 0x24}};
    struct settings settings;
    ck_assert_int_eq(settings_init(&settings), 0);
    for (size_t i = 0; i < sizeof GOOD / sizeof *GOOD; i++) {
        ck_assert_int_eq(set(&settings, "logging.level", GOOD[i].text), 0);
        ck_assert_uint_eq(settings.log_levels, GOOD[i].mask);
        struct buffer printed = {0};
        const struct setting_row *row = setting_row_find("logging.level");
        ck_assert_int_eq(setting_print(&settings, row, &printed), 0);
        ck_assert_int_eq(setting_set(&settings, row, buffer_slice(&printed)), 0);
        ck_assert_uint_eq(settings.log_levels, GOOD[i].mask);
        buffer_free(&printed);
    }
    ck_assert_int_eq(set(&settings, "logging.level", "loud"), -1);
    ck_assert_int_eq(set(&settings, "logging.level", "<verbose"), -1);
    ck_assert_int_eq(set(&settings, "logging.level", "info,"), -1);
    ck_assert_int_eq(set(&settings, "logging.level", ""), -1);
    settings_free(&settings);
}
END_TEST

START_TEST(the_channel_form_is_the_same_configuration)
{
    struct settings settings, copy;
    struct buffer first = {0}, second = {0};
    ck_assert_int_eq(settings_init(&settings), 0);
    const struct slice networks[] = {SLICE_LITERAL("192.168.2"), SLICE_LITERAL("10")};
    ck_assert_int_eq(
        setting_set_list(&settings, setting_row_find("server.mmrp.network"), networks, 2), 0);
    ck_assert_int_eq(set(&settings, "server.clientHost.expose", "https://msg.example.com"), 0);
    ck_assert_int_eq(settings_encode(&settings, &first), 0);
    ck_assert_int_eq(settings_decode(buffer_slice(&first), &copy), 0);
    ck_assert_str_eq(copy.client_expose, "https://msg.example.com");
    ck_assert_str_eq(copy.mmrp_network.items[1], "10");
    ck_assert_int_eq(settings_encode(&copy, &second), 0);
    ck_assert(slice_equal(buffer_slice(&first), buffer_slice(&second)));
    settings_free(&copy);
    ck_assert_int_eq(settings_decode(slice_of(buffer_bytes(&first), buffer_len(&first) - 1), &copy),
                     -1);
    buffer_free(&first);
    buffer_free(&second);
    settings_free(&settings);
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, defaults_are_in_range_and_print_as_they_parse);
    tcase_add_test(cases, values_out_of_form_or_range_keep_the_old_one);
    tcase_add_test(cases, log_level_ranges);
    tcase_add_test(cases, the_channel_form_is_the_same_configuration);
}

UNIT_MAIN("settings", add_tests)
