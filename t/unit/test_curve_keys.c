/* Z85, CURVE key pairs, and the file of allowed keys; libzmq is the oracle. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <zmq.h>

#include "codecs/curve_key.h"
#include "codecs/z85.h"

enum { BYTES_MAX = 64, TEXT_MAX = BYTES_MAX / 4 * 5 + 1 };

START_TEST(z85_is_that_of_libzmq)
{
    unsigned char bytes[BYTES_MAX], back[BYTES_MAX];
    char ours[TEXT_MAX], theirs[TEXT_MAX];
    srand(1);
    for (size_t len = 4; len <= BYTES_MAX; len += 4) {
        for (int round = 0; round < 200; round++) {
            for (size_t i = 0; i < len; i++)
                bytes[i] = round == 0 ? 0 : round == 1 ? 0xff : (unsigned char)rand();
            z85_encode(bytes, len, ours);
            ck_assert_ptr_nonnull(zmq_z85_encode(theirs, bytes, len));
            ck_assert_str_eq(ours, theirs);
            ck_assert_int_eq(z85_decode(slice_from_string(ours), back), (long)len);
            ck_assert_mem_eq(back, bytes, len);
        }
    }
    z85_encode(bytes, 0, ours);
    ck_assert_str_eq(ours, "");
    ck_assert_int_eq(z85_decode(SLICE_EMPTY, back), 0);
    /* RFC 32's own example. */
    z85_encode("\x86\x4f\xd2\x6f\xb5\x59\xf7\x5b", 8, ours);
    ck_assert_str_eq(ours, "HelloWorld");
}
END_TEST

START_TEST(every_character_and_length_is_judged)
{
    unsigned char bytes[BYTES_MAX], theirs[BYTES_MAX];
    static const char ALPHABET[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                   ".-:+=^!/*?&<>()[]{}@%$#";
    for (int byte = 0; byte < 256; byte++) {
        for (size_t at = 0; at < 5; at++) {
            char text[] = "00000";
            text[at] = (char)byte;
            bool known = byte != 0 && strchr(ALPHABET, byte) != NULL;
            /* The first place can carry the group beyond 32 bits. */
            bool fits = at > 0 || !strchr("$#", byte);
            long len = z85_decode(slice_of(text, 5), bytes);
            ck_assert_msg(len == (known && fits ? 4 : -1), "byte %d at %zu: %ld", byte, at, len);
            if (known && fits) {
                ck_assert_ptr_nonnull(zmq_z85_decode(theirs, text));
                ck_assert_mem_eq(bytes, theirs, 4);
            }
        }
    }
    char zeros[TEXT_MAX];
    memset(zeros, '0', sizeof zeros);
    for (size_t len = 0; len <= 80; len++)
        ck_assert_int_eq(z85_decode(slice_of(zeros, len), bytes),
                         len % 5 == 0 ? (long)(len / 5 * 4) : -1);
    ck_assert_int_eq(z85_decode(SLICE_LITERAL("%nSc0"), bytes), 4); /* 2^32 - 1 */
    ck_assert_mem_eq(bytes, "\xff\xff\xff\xff", 4);
    ck_assert_int_eq(z85_decode(SLICE_LITERAL("%nSc1"), bytes), -1);
    ck_assert_int_eq(z85_decode(SLICE_LITERAL("#####"), bytes), -1);
}
END_TEST

START_TEST(pairs_are_those_of_libzmq)
{
    char secret_key[CURVE_KEY_ROOM], public_key[CURVE_KEY_ROOM], derived[CURVE_KEY_ROOM];
    for (int i = 0; i < 300; i++) {
        ck_assert_int_eq(curve_pair_make(secret_key, public_key), 0);
        ck_assert_uint_eq(strlen(secret_key), CURVE_KEY_CHARS);
        ck_assert(curve_key_is_valid(slice_from_string(public_key)));
        ck_assert_int_ne(*public_key, '#'); /* would be a comment */
        ck_assert_int_eq(zmq_curve_public(derived, secret_key), 0);
        ck_assert_str_eq(derived, public_key);
        ck_assert_int_eq(zmq_curve_keypair(public_key, secret_key), 0);
        ck_assert_int_eq(curve_pair_public(slice_from_string(secret_key), derived), 0);
        ck_assert_str_eq(derived, public_key);
    }
    ck_assert_int_eq(curve_pair_public(SLICE_LITERAL("no key"), derived), -1);
    ck_assert_int_eq(curve_pair_public(SLICE_EMPTY, derived), -1);
}
END_TEST

#define KEY_1 "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
#define KEY_2 "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
#define KEY_3 "%6)5M0C3$?fIkM{+lsb[2L^eOYeFx0EdPm&Xz!3K"

/* The mistakes as "LINE: why" lines. */
static void note(void *context, unsigned line, const char *why)
{
    char *text = context;
    size_t len = strlen(text);
    snprintf(text + len, 1024 - len, "%u: %.30s\n", line, why);
}

START_TEST(the_file_is_read)
{
    struct allowed_keys keys;
    char mistakes[1024] = "";
    static const char TEXT[] = "# hosts of the game\n"
                               "\n"
                               "  " KEY_1 "\r\n"
                               "\t" KEY_2 "\ta-host.x:15001 # the new one\n"
                               "#" KEY_2 "\n"
                               "########################################\n" KEY_3 " #no cluster ID";
    ck_assert_int_eq(allowed_keys_read(slice_from_string(TEXT), &keys, note, mistakes), 0);
    ck_assert_str_eq(mistakes, "");
    ck_assert_uint_eq(keys.count, 3);
    ck_assert_str_eq(keys.items[0].key, KEY_1);
    ck_assert_str_eq(keys.items[0].cluster_id, "");
    ck_assert_uint_eq(keys.items[0].line, 3);
    ck_assert_str_eq(keys.items[1].key, KEY_2);
    ck_assert_str_eq(keys.items[1].cluster_id, "a-host.x:15001");
    ck_assert_str_eq(keys.items[2].key, KEY_3);
    ck_assert_str_eq(keys.items[2].cluster_id, "");
    ck_assert_uint_eq(keys.items[2].line, 7);
    allowed_keys_free(&keys);
}
END_TEST

static const struct {
    const char *text, *mistakes;
} BROKEN[] = {
    {"", "0: it holds no key; accepted: one \n"},
    {"# nothing\n\n", "0: it holds no key; accepted: one \n"},
    {"x\n", "1: not a public key; accepted: 40\n"},
    {KEY_1 "1\n", "1: not a public key; accepted: 40\n"},
    {KEY_1 "\n" KEY_2 " host\n", "2: what follows the key is not a \n"},
    {KEY_1 " a:1 b:2\n", "1: too many words; accepted: a ke\n"},
    {KEY_1 " a:1\n\n" KEY_1 "\n", "3: this key is on line 1 already\n"},
    {KEY_1 " a:1\n" KEY_1 " b:1\n" KEY_1 "\n",
     "2: this key is on line 1 already\n3: this key is on line 1 already\n"},
    {KEY_1 "," KEY_2 "\nfoo\n", "1: not a public key; accepted: 40\n"
                                "2: not a public key; accepted: 40\n"},
};

START_TEST(each_mistake_is_named)
{
    struct allowed_keys keys;
    char mistakes[1024] = "";
    errno = 0;
    ck_assert_int_eq(allowed_keys_read(slice_from_string(BROKEN[_i].text), &keys, note, mistakes),
                     -1);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_ptr_null(keys.items);
    char wanted[1024] = "";
    for (const char *at = BROKEN[_i].mistakes; *at;) { /* as note() cuts them */
        unsigned line;
        char why[128];
        int used;
        ck_assert_int_eq(sscanf(at, "%u: %127[^\n]\n%n", &line, why, &used), 2);
        note(wanted, line, why);
        at += used;
    }
    ck_assert_str_eq(mistakes, wanted);
}
END_TEST

START_TEST(a_nul_is_no_end_of_the_file)
{
    struct allowed_keys keys;
    char mistakes[1024] = "";
    static const char TEXT[] = KEY_1 "\n\0\n";
    ck_assert_int_eq(allowed_keys_read(slice_of(TEXT, sizeof TEXT - 1), &keys, note, mistakes), -1);
    ck_assert_str_eq(mistakes, "2: not a public key; accepted: 40\n");
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, z85_is_that_of_libzmq);
    tcase_add_test(cases, every_character_and_length_is_judged);
    tcase_add_test(cases, pairs_are_those_of_libzmq);
    tcase_add_test(cases, the_file_is_read);
    tcase_add_loop_test(cases, each_mistake_is_named, 0, sizeof BROKEN / sizeof *BROKEN);
    tcase_add_test(cases, a_nul_is_no_end_of_the_file);
}

UNIT_MAIN("curve_keys", add_tests)
