#include "unit.h"

#include <errno.h>

#include "codecs/netmask.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static uint32_t address(const char *text)
{
    uint32_t parsed;
    ck_assert_int_eq(ipv4_parse(slice_from_string(text), &parsed), 0);
    return parsed;
}

static const struct {
    const char *entry, *first, *last;
} ENTRIES[] = {
    {"192.168.2", "192.168.2.0", "192.168.2.255"},
    {"192.168.2/24", "192.168.2.0", "192.168.2.255"},
    {"192.168.2.17/24", "192.168.2.0", "192.168.2.255"},
    {"192.168.2.0/255.255.255.0", "192.168.2.0", "192.168.2.255"},
    {"192.168", "192.168.0.0", "192.168.255.255"},
    {"192.168/16", "192.168.0.0", "192.168.255.255"},
    {"10", "10.0.0.0", "10.255.255.255"},
    {"10/8", "10.0.0.0", "10.255.255.255"},
    {"172.16.0.0/12", "172.16.0.0", "172.31.255.255"},
    {"0/0", "0.0.0.0", "255.255.255.255"},
    {"0.0.0.0/0", "0.0.0.0", "255.255.255.255"},
    {"10.1.2.3", "10.1.2.3", "10.1.2.3"},
    {"10.1.2.3/32", "10.1.2.3", "10.1.2.3"},
    {"0", "0.0.0.0", "0.255.255.255"},
    {"255.255.255.255", "255.255.255.255", "255.255.255.255"},
    {"192.168.2/255.255.255.128", "192.168.2.0", "192.168.2.127"},
    {"10.1.2.3/0.0.0.0", "0.0.0.0", "255.255.255.255"},
    {"10.1.2.3/255.255.255.255", "10.1.2.3", "10.1.2.3"},
    {"10/1", "0.0.0.0", "127.255.255.255"},
    {"10.1.2.3/31", "10.1.2.2", "10.1.2.3"},
};

START_TEST(entries_contain_their_addresses)
{
    struct netmask netmask;
    const char *why = "untouched";
    ck_assert_int_eq(netmask_parse(slice_from_string(ENTRIES[_i].entry), &netmask, &why), 0);
    ck_assert_str_eq(why, "untouched");
    uint32_t first = address(ENTRIES[_i].first), last = address(ENTRIES[_i].last);
    ck_assert_uint_eq(netmask.address, first);
    ck_assert_uint_eq(netmask.address | ~netmask.mask, last);
    ck_assert(netmask_contains(&netmask, first));
    ck_assert(netmask_contains(&netmask, first + (last - first) / 2));
    ck_assert(netmask_contains(&netmask, last));
    if (first > 0)
        ck_assert(!netmask_contains(&netmask, first - 1));
    if (last < UINT32_MAX)
        ck_assert(!netmask_contains(&netmask, last + 1));
}
END_TEST

#define BAD_ADDRESS "an address is one to four numbers from 0 to 255, without leading zeros"
#define BAD_MASK    "a mask is a number from 0 to 32 or four bytes"
#define BAD_BYTES   "a dotted mask needs four bytes"
#define BAD_ORDER   "the ones of a mask must be at its start"

static const struct {
    const char *entry, *why;
} ERRORS[] = {
    {"010.0.0.0/8", BAD_ADDRESS},
    {"10.00.0.0/8", BAD_ADDRESS},
    {"0x0a.0.0.0/8", BAD_ADDRESS},
    {"+10", BAD_ADDRESS},
    {"+10.0.0.0/8", BAD_ADDRESS},
    {"-10", BAD_ADDRESS},
    {" 10", BAD_ADDRESS},
    {"10 ", BAD_ADDRESS},
    {"10. 0", BAD_ADDRESS},
    {" ", BAD_ADDRESS},
    {"10 /8", BAD_ADDRESS},
    {"10/ 8", BAD_MASK},
    {"10/8 ", BAD_MASK},
    {"10.0.0.0/24abc", BAD_MASK},
    {"10.0.0.0/", BAD_MASK},
    {"10.0.0.0/24/7", BAD_MASK},
    {"10.0.0.0/-1", BAD_MASK},
    {"10.0.0.0/+1", BAD_MASK},
    {"10.0.0.0/33", BAD_MASK},
    {"10.0.0.0/08", BAD_MASK},
    {"10.0.0.0/4294967304", BAD_MASK},
    {"10.0.0.0/1.5", BAD_BYTES},
    {"10.0.0.0/.", BAD_BYTES},
    {"10.0.0.0/255.255.0", BAD_BYTES},
    {"10.0.0.0/255.255.0.0.0", BAD_BYTES},
    {"10.0.0.0/255.256.0.0", BAD_BYTES},
    {"10.0.0.0/255.255.0.255", BAD_ORDER},
    {"10.0.0.0/0.0.0.255", BAD_ORDER},
    {"10.0.0.0/127.255.255.255", BAD_ORDER},
    {"/24/7", BAD_ADDRESS},
    {"/-1", BAD_ADDRESS},
    {"/33", BAD_ADDRESS},
    {"/1.5", BAD_ADDRESS},
    {"/255.255.0.255", BAD_ADDRESS},
    {"/8", BAD_ADDRESS},
    {"1.2.3.4.5", BAD_ADDRESS},
    {"256.0.0.0/8", BAD_ADDRESS},
    {"4294967306", BAD_ADDRESS},
    {"1..2.3", BAD_ADDRESS},
    {".1.2.3", BAD_ADDRESS},
    {"192.168.", BAD_ADDRESS},
    {"192.168.2.*", BAD_ADDRESS},
    {"*", BAD_ADDRESS},
    {"::1", BAD_ADDRESS},
    {"", BAD_ADDRESS},
};

START_TEST(errors_say_why)
{
    struct netmask netmask;
    const char *why = NULL;
    errno = 0;
    ck_assert_msg(netmask_parse(slice_from_string(ERRORS[_i].entry), &netmask, &why) == -1, "%s",
                  ERRORS[_i].entry);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_str_eq(why, ERRORS[_i].why);
    ck_assert_int_eq(netmask_parse(slice_from_string(ERRORS[_i].entry), &netmask, NULL), -1);
}
END_TEST

START_TEST(addresses_have_four_bytes)
{
    static const char *const BAD[] = {"",         "1.2.3",     "1.2.3.4.5", "1.2.3.4 ",  "01.2.3.4",
                                      "1.2.3.04", "1.2.3.256", "1.2.3.4/8", "localhost", "1.2.3."};
    uint32_t parsed;
    ck_assert_uint_eq(address("10.77.0.1"), 0x0a4d0001);
    ck_assert_uint_eq(address("255.255.255.255"), UINT32_MAX);
    ck_assert_uint_eq(address("0.0.0.0"), 0);
    for (size_t i = 0; i < COUNT(BAD); i++) {
        errno = 0;
        ck_assert_int_eq(ipv4_parse(slice_from_string(BAD[i]), &parsed), -1);
        ck_assert_int_eq(errno, EINVAL);
    }
    ck_assert_int_eq(ipv4_parse(slice_of("1.2.3.4\0", 8), &parsed), -1);
    ck_assert_int_eq(ipv4_parse(SLICE_EMPTY, &parsed), -1);
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_loop_test(cases, entries_contain_their_addresses, 0, COUNT(ENTRIES));
    tcase_add_loop_test(cases, errors_say_why, 0, COUNT(ERRORS));
    tcase_add_test(cases, addresses_have_four_bytes);
}

UNIT_MAIN("netmask", add_tests)
