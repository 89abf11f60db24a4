#include "unit.h"

#include "master/discovery/cluster_id.h"

#define ADDRESSES(...)                                                                             \
    (&(struct string_list){(char *[]){__VA_ARGS__},                                                \
                           sizeof((char *[]){__VA_ARGS__}) / sizeof(char *)})

static struct settings settings;
static char host[CLUSTER_HOST_ROOM], why[256];

static void set(const char *key, const char *value)
{
    ck_assert_int_eq(setting_set(&settings, setting_row_find(key), slice_from_string(value)), 0);
}

static void setup(void)
{
    ck_assert_int_eq(settings_init(&settings), 0);
}

static void teardown(void)
{
    settings_free(&settings);
}

START_TEST(digests_are_those_of_mage)
{
    ck_assert_int_eq(cluster_host_digest(ADDRESSES("10.77.0.1"), host), 0);
    ck_assert_str_eq(host, "e2dd6de0a6166a3f");
    ck_assert_int_eq(cluster_host_digest(ADDRESSES("10.77.0.2"), host), 0);
    ck_assert_str_eq(host, "47a0d75b81b4d3ad");
    ck_assert_int_eq(cluster_host_digest(ADDRESSES("172.16.0.9", "9.1.1.1", "10.77.0.2",
                                                   "192.168.2.5", "10.77.0.10", "10.77.0.1"),
                                         host),
                     0);
    ck_assert_str_eq(host, "064f364a413ea510");
    ck_assert_int_eq(cluster_host_digest(&(struct string_list){0}, host), 0);
    ck_assert_uint_eq(strlen(host), CLUSTER_HOST_DIGITS);
}
END_TEST

START_TEST(advertised_addresses_make_the_id_and_are_announced)
{
    set("server.mmrp.advertise", "10.77.0.2");
    set("server.mmrp.bind.host", "127.0.0.3");
    ck_assert_int_eq(cluster_host_of(&settings, host, why, sizeof why), 0);
    ck_assert_str_eq(host, "47a0d75b81b4d3ad");
    struct string_list addresses;
    ck_assert_int_eq(announced_addresses(&settings, &addresses, why, sizeof why), 0);
    ck_assert_uint_eq(addresses.count, 1);
    ck_assert_str_eq(addresses.items[0], "10.77.0.2");
    addresses_free(&addresses);

    set("server.mmrp.advertise", "10.77.0.02");
    ck_assert_int_eq(cluster_host_of(&settings, host, why, sizeof why), -1);
    ck_assert_ptr_nonnull(strstr(why, "server.mmrp.advertise: \"10.77.0.02\""));
    ck_assert_int_eq(announced_addresses(&settings, &addresses, why, sizeof why), -1);
}
END_TEST

START_TEST(a_loopback_bind_address_is_the_only_one)
{
    char other[CLUSTER_HOST_ROOM];
    set("server.mmrp.bind.host", "127.0.0.2");
    struct string_list addresses;
    ck_assert_int_eq(announced_addresses(&settings, &addresses, why, sizeof why), 0);
    ck_assert_uint_eq(addresses.count, 1);
    ck_assert_str_eq(addresses.items[0], "127.0.0.2");
    addresses_free(&addresses);
    ck_assert_int_eq(cluster_host_of(&settings, host, why, sizeof why), 0);
    set("server.mmrp.bind.host", "127.0.0.3");
    ck_assert_int_eq(cluster_host_of(&settings, other, why, sizeof why), 0);
    ck_assert_str_ne(host, other);
}
END_TEST

START_TEST(addresses_of_the_system)
{
    struct string_list addresses;
    ck_assert_int_eq(announced_addresses(&settings, &addresses, why, sizeof why), 0);
    ck_assert_uint_ge(addresses.count, 1);
    char digest[CLUSTER_HOST_ROOM];
    ck_assert_int_eq(cluster_host_digest(&addresses, digest), 0);
    addresses_free(&addresses);
    ck_assert_int_eq(cluster_host_of(&settings, host, why, sizeof why), 0);
    ck_assert_str_eq(host, digest);

    set("server.serviceDiscovery.options.interface", "no-such-if");
    ck_assert_int_eq(announced_addresses(&settings, &addresses, why, sizeof why), -1);
    ck_assert_ptr_nonnull(strstr(why, "\"no-such-if\" has no IPv4 address"));
    ck_assert_int_eq(cluster_host_of(&settings, host, why, sizeof why), 0);
    set("server.serviceDiscovery.options.interface", "lo");
    ck_assert_int_eq(announced_addresses(&settings, &addresses, why, sizeof why), 0);
    ck_assert_str_eq(addresses.items[0], "127.0.0.1");
    addresses_free(&addresses);
}
END_TEST

START_TEST(a_configured_id_gives_its_host)
{
    set("server.mmrp.clusterId", "a-host_1:15001");
    ck_assert_int_eq(cluster_host_of(&settings, host, why, sizeof why), 0);
    ck_assert_str_eq(host, "a-host_1");
    set("server.mmrp.bind.port", "*");
    ck_assert_int_eq(cluster_host_of(&settings, host, why, sizeof why), 0);
    set("server.mmrp.bind.port", "15001");
    ck_assert_int_eq(cluster_host_of(&settings, host, why, sizeof why), 0);
    set("server.mmrp.bind.port", "15002");
    ck_assert_int_eq(cluster_host_of(&settings, host, why, sizeof why), -1);
    ck_assert_ptr_nonnull(strstr(why, "15001 is not server.mmrp.bind.port, which is 15002"));
}
END_TEST

START_TEST(broken_ids_are_refused)
{
    static const char *const BROKEN[] = {"",        "host",        "host:",   ":1",
                                         "ho st:1", "a:b",         "host:1x", "host:1:2",
                                         "h*st:1",  "host:123456", "h/t:1"};
    for (size_t i = 0; i < sizeof BROKEN / sizeof *BROKEN; i++) {
        free(settings.mmrp_cluster_id);
        settings.mmrp_cluster_id = strdup(BROKEN[i]);
        ck_assert_int_eq(cluster_host_of(&settings, host, why, sizeof why), -1);
        ck_assert_ptr_nonnull(strstr(why, "server.mmrp.clusterId"));
    }
    char longest[CLUSTER_HOST_ROOM + 8] = {0};
    memset(longest, 'a', CLUSTER_HOST_ROOM);
    memcpy(longest + CLUSTER_HOST_ROOM, ":1", 3);
    set("server.mmrp.clusterId", longest);
    ck_assert_int_eq(cluster_host_of(&settings, host, why, sizeof why), -1);
    set("server.mmrp.clusterId", longest + 1);
    ck_assert_int_eq(cluster_host_of(&settings, host, why, sizeof why), 0);
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, digests_are_those_of_mage);
    tcase_add_test(cases, advertised_addresses_make_the_id_and_are_announced);
    tcase_add_test(cases, a_loopback_bind_address_is_the_only_one);
    tcase_add_test(cases, addresses_of_the_system);
    tcase_add_test(cases, a_configured_id_gives_its_host);
    tcase_add_test(cases, broken_ids_are_refused);
}

UNIT_MAIN("cluster_id", add_tests)
