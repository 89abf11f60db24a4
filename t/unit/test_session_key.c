#include "unit.h"

#include "codecs/session_key.h"

START_TEST(keys_tell_address_and_home)
{
    static const char *const KEYS[][3] = {
        {"bob:AbCd01", "sess/bob:AbCd01", ""},
        {"bob:AbCd01~e2dd6de0a6166a3f.15001", "sess/bob:AbCd01", "e2dd6de0a6166a3f:15001"},
        {"urn:a:b:k~a.b.c.0", "sess/urn:a:b:k", "a.b.c:0"},
        {"\xc3\xa4 x~y:k", "sess/\xc3\xa4 x~y:k", ""},
    };
    for (size_t i = 0; i < sizeof KEYS / sizeof *KEYS; i++) {
        struct session_key key;
        ck_assert_int_eq(session_key_parse(slice_from_string(KEYS[i][0]), &key), 0);
        ck_assert_str_eq(key.address, KEYS[i][1]);
        ck_assert_str_eq(key.home, KEYS[i][2]);
        char back[SESSION_KEY_MAX + 1];
        size_t len =
            session_key_format(slice_from_string(key.address), slice_from_string(key.home), back);
        ck_assert_uint_eq(len, strlen(KEYS[i][0]));
        ck_assert_str_eq(back, KEYS[i][0]);
    }
}
END_TEST

START_TEST(malformed_keys_are_refused)
{
    static const char *const BAD[] = {
        "",           ":",        "bob",         "bob:",          ":k",           "bob:k~",
        "bob:k~host", "bob:k~.1", "bob:k~host.", "bob:k~host.x1", "bob:k~h/st.1", "b\nb:k",
        "bob:k k",    "bob:~h.1", "bob:k~~h.1"};
    struct session_key key;
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++)
        ck_assert_msg(session_key_parse(slice_from_string(BAD[i]), &key) == -1, "%s", BAD[i]);
}
END_TEST

START_TEST(lengths_are_bounded)
{
    char text[1200];
    struct session_key key;
    memset(text, 'a', sizeof text);
    text[ACTOR_MAX] = ':';
    ck_assert_int_eq(session_key_parse(slice_of(text, ACTOR_MAX + 1 + SECRET_MAX), &key), 0);
    ck_assert_int_eq(session_key_parse(slice_of(text, ACTOR_MAX + 2 + SECRET_MAX), &key), -1);
    text[ACTOR_MAX] = 'a';
    text[ACTOR_MAX + 1] = ':';
    ck_assert_int_eq(session_key_parse(slice_of(text, ACTOR_MAX + 3), &key), -1);
}
END_TEST

START_TEST(cluster_ids)
{
    ck_assert(cluster_id_is_valid(SLICE_LITERAL("e2dd6de0a6166a3f:15001")));
    ck_assert(!cluster_id_is_valid(SLICE_LITERAL("e2dd6de0a6166a3f")));
    ck_assert(!cluster_id_is_valid(SLICE_LITERAL(":1")));
    ck_assert(!cluster_id_is_valid(SLICE_LITERAL("a:")));
    ck_assert(!address_is_valid(SLICE_LITERAL("bob:k")));
    ck_assert(address_is_valid(SLICE_LITERAL("sess/bob:k")));
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, keys_tell_address_and_home);
    tcase_add_test(cases, malformed_keys_are_refused);
    tcase_add_test(cases, lengths_are_bounded);
    tcase_add_test(cases, cluster_ids);
}

UNIT_MAIN("session_key", add_tests)
