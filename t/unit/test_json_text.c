#include "unit.h"

#include <jansson.h>

#include "base/buffer.h"
#include "codecs/json_text.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum verdict { BAD, GOOD, GOOD_FOR_US /* JSON text that jansson cannot hold */ };

static const struct {
    const char *text;
    enum verdict verdict;
} DOCUMENTS[] = {
    {"null", GOOD},
    {"true", GOOD},
    {"false", GOOD},
    {" \t\r\n0 \t\r\n", GOOD},
    {"\"\"", GOOD},
    {"[]", GOOD},
    {"{}", GOOD},
    {" [ ] ", GOOD},
    {" { } ", GOOD},
    {"[[],{},[[]],{\"a\":[]}]", GOOD},
    {"{\"a\":{\"b\":{\"c\":[1,2,{\"d\":null}]}},\"e\":[]}", GOOD},
    {"{ \"a\" : 1 , \"b\" : [ 1 , 2 ] }", GOOD},
    {"{\"a\":1,\"a\":2}", GOOD},
    {"{\"\":\"\"}", GOOD},
    {"-0", GOOD},
    {"-0.0", GOOD},
    {"10", GOOD},
    {"-10.25", GOOD},
    {"0.5e3", GOOD},
    {"1.0E+2", GOOD},
    {"1e-2", GOOD},
    {"0e0", GOOD},
    {"1E400", GOOD_FOR_US},
    {"1e400", GOOD_FOR_US},
    {"-1e400", GOOD_FOR_US},
    {"123456789012345678901234567890", GOOD_FOR_US},
    {"18446744073709551616", GOOD_FOR_US},
    {"\"plain text that is longer than eight bytes\"", GOOD},
    {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\u20AC\"", GOOD},
    {"\"\\ud83d\\ude00\"", GOOD},
    {"\"\\ud83d\"", GOOD_FOR_US},
    {"\"\\ude00\"", GOOD_FOR_US},
    {"\"\\ud83dx\"", GOOD_FOR_US},
    {"\"\\u0000\"", GOOD_FOR_US},
    {"{\"\\u0000\":1}", GOOD_FOR_US},
    {"\"\x7f\"", GOOD},
    {"\"gr\xc3\xbc\xc3\x9f dich, \xe2\x82\xac und \xf0\x9f\x98\x80 dazu\"", GOOD},
    {"\"\xf4\x8f\xbf\xbf\"", GOOD},
    {"\"1234567\"", GOOD},
    {"\"12345678\"", GOOD},
    {"\"1234567\\\\\"", GOOD},
    {"\"12345678\\\"9\"", GOOD},
    {"", BAD},
    {" ", BAD},
    {"\xef\xbb\xbf[]", BAD},
    {"nul", BAD},
    {"nulL", BAD},
    {"nulll", BAD},
    {"True", BAD},
    {"undefined", BAD},
    {"NaN", BAD},
    {"Infinity", BAD},
    {"-Infinity", BAD},
    {"+1", BAD},
    {"-", BAD},
    {"--1", BAD},
    {".5", BAD},
    {"5.", BAD},
    {"5.e1", BAD},
    {"01", BAD},
    {"-01", BAD},
    {"00", BAD},
    {"1e", BAD},
    {"1e+", BAD},
    {"1e1.5", BAD},
    {"0x10", BAD},
    {"1_000", BAD},
    {"1 2", BAD},
    {"[", BAD},
    {"]", BAD},
    {"{", BAD},
    {"}", BAD},
    {"[1", BAD},
    {"[1,", BAD},
    {"[1,]", BAD},
    {"[,1]", BAD},
    {"[,]", BAD},
    {"[1 2]", BAD},
    {"[1,,2]", BAD},
    {"[1]]", BAD},
    {"[1}", BAD},
    {"{]", BAD},
    {"[[]", BAD},
    {"{\"a\"", BAD},
    {"{\"a\":", BAD},
    {"{\"a\":}", BAD},
    {"{\"a\":1", BAD},
    {"{\"a\":1,", BAD},
    {"{\"a\":1,}", BAD},
    {"{\"a\":1 \"b\":2}", BAD},
    {"{\"a\" 1}", BAD},
    {"{\"a\",1}", BAD},
    {"{,\"a\":1}", BAD},
    {"{\"a\":1]", BAD},
    {"{a:1}", BAD},
    {"{'a':1}", BAD},
    {"{1:1}", BAD},
    {"{null:1}", BAD},
    {"[\"a\":1]", BAD},
    {"{\"a\":1}{}", BAD},
    {"[] x", BAD},
    {"/**/[]", BAD},
    {"[] // no", BAD},
    {"\"", BAD},
    {"\"abc", BAD},
    {"\"abcdefghijkl", BAD},
    {"\"\\\"", BAD},
    {"\"\\", BAD},
    {"\"\\x41\"", BAD},
    {"\"\\'\"", BAD},
    {"\"\\u\"", BAD},
    {"\"\\u12\"", BAD},
    {"\"\\u12G4\"", BAD},
    {"\"\\U0041\"", BAD},
    {"\"\\u00", BAD},
    {"\"a\nb\"", BAD},
    {"\"a\tb\"", BAD},
    {"\"\x1f\"", BAD},
    {"\"1234567890\x01\"", BAD},
    {"'a'", BAD},
    {"\"\x80\"", BAD},
    {"\"\xc0\x80\"", BAD},
    {"\"\xc3\"", BAD},
    {"\"\xc3\\u00e9\"", BAD},
    {"\"\xed\xa0\x80\"", BAD},
    {"\"\xf4\x90\x80\x80\"", BAD},
    {"\"eight by\xff\"", BAD},
    {"\xc3\xbc", BAD},
    {"[1,\xa0"
     "2]",
     BAD},
    {"\v[]", BAD},
    {"\f[]", BAD},
};

START_TEST(documents_are_json_or_not)
{
    struct slice text = slice_from_string(DOCUMENTS[_i].text);
    struct json_error error = {SIZE_MAX, NULL};
    bool good = json_check(text, &error);
    ck_assert_msg(good == (DOCUMENTS[_i].verdict != BAD), "%s", DOCUMENTS[_i].text);
    if (!good) {
        ck_assert_uint_le(error.offset, text.len);
        ck_assert_ptr_nonnull(error.what);
    }
    ck_assert(json_check(text, NULL) == good);
}
END_TEST

START_TEST(jansson_agrees)
{
    json_t *value =
        json_loadb(DOCUMENTS[_i].text, strlen(DOCUMENTS[_i].text), JSON_DECODE_ANY, NULL);
    ck_assert_msg((value != NULL) == (DOCUMENTS[_i].verdict == GOOD), "%s", DOCUMENTS[_i].text);
    json_decref(value);
}
END_TEST

/* Changes one byte after another to others that JSON gives a meaning: jansson must agree on all. */
START_TEST(jansson_agrees_on_changed_documents)
{
    static const char BYTES[] = "\"\\[]{}:, 0-e.nu\x01\xc3\xbc";
    char text[128];
    size_t len = strlen(DOCUMENTS[_i].text);
    ck_assert_uint_lt(len, sizeof text);
    for (size_t at = 0; at < len && DOCUMENTS[_i].verdict != GOOD_FOR_US; at++)
        for (size_t b = 0; b < sizeof BYTES - 1; b++) {
            memcpy(text, DOCUMENTS[_i].text, len);
            text[at] = BYTES[b];
            bool good = json_check(slice_of(text, len), NULL);
            json_error_t error;
            json_t *value = json_loadb(text, len, JSON_DECODE_ANY, &error);
            bool held = value || strstr(error.text, "invalid Unicode") ||
                        strstr(error.text, "overflow") || strstr(error.text, "too big") ||
                        strstr(error.text, "\\u0000");
            /* An assertion writes a mark to a file; a million of them take long. */
            if (held != good && (value || good))
                ck_abort_msg("%.*s: %s", (int)len, text, value ? "jansson takes it" : error.text);
            json_decref(value);
        }
}
END_TEST

START_TEST(a_nul_byte_is_no_white_space)
{
    ck_assert(!json_check(slice_of("\0", 1), NULL));
    ck_assert(!json_check(slice_of("1\0", 2), NULL));
    ck_assert(!json_check(slice_of("[1\0]", 4), NULL));
    ck_assert(!json_check(slice_of("\"\\\0\"", 4), NULL));
    ck_assert(!json_check(slice_of("\"a\0b\"", 5), NULL));
    ck_assert(!json_check(SLICE_EMPTY, NULL));
}
END_TEST

START_TEST(errors_point_at_the_wrong_byte)
{
    static const struct {
        const char *text;
        size_t offset;
        const char *what;
    } ERRORS[] = {
        {"", 0, "a value is wanted"},
        {"[1,]", 3, "a value is wanted"},
        {"[1 2]", 3, "a comma or ] is wanted"},
        {"{\"a\":1 2}", 7, "a comma or } is wanted"},
        {"{1:2}", 1, "the name of a member is wanted"},
        {"{\"a\" 2}", 5, "a colon is wanted"},
        {"[] []", 3, "something follows the value"},
        {"nulk", 3, "a value is wanted"},
        {"012", 1, "a number starts with a needless 0"},
        {"[1.]", 3, "a digit is missing in a number"},
        {"\"abc", 4, "a string is not closed"},
        {"\"a\nb\"", 2, "a control character in a string"},
        {"\"\\x\"", 2, "not an escape sequence"},
        {"\"\\u00x0\"", 5, "\\u needs four hexadecimal digits"},
        {"\"12345678 \xc3\xbc \xe2\x82 \"", 15, "not valid UTF-8"},
    };
    for (size_t i = 0; i < COUNT(ERRORS); i++) {
        struct json_error error;
        ck_assert(!json_check(slice_from_string(ERRORS[i].text), &error));
        ck_assert_msg(error.offset == ERRORS[i].offset, "%s: at %zu", ERRORS[i].text, error.offset);
        ck_assert_str_eq(error.what, ERRORS[i].what);
    }
}
END_TEST

static struct buffer nested(const char *opening, const char *core, const char *closing, int depth)
{
    struct buffer text = {0};
    for (int i = 0; i < depth; i++)
        ck_assert_int_eq(buffer_append_string(&text, opening), 0);
    ck_assert_int_eq(buffer_append_string(&text, core), 0);
    for (int i = 0; i < depth; i++)
        ck_assert_int_eq(buffer_append_string(&text, closing), 0);
    return text;
}

START_TEST(depth_is_bounded)
{
    static const struct {
        const char *opening, *core, *closing;
    } KINDS[] = {{"[", "", "]"}, {"[1,", "2", "]"}, {"{\"a\":", "1", "}"}, {" [ ", "{}", ",1]"}};
    for (size_t i = 0; i < COUNT(KINDS); i++) {
        int deepest = strcmp(KINDS[i].core, "{}") == 0 ? JSON_DEPTH_MAX - 1 : JSON_DEPTH_MAX;
        struct buffer text = nested(KINDS[i].opening, KINDS[i].core, KINDS[i].closing, deepest);
        ck_assert(json_check(buffer_slice(&text), NULL));
        buffer_free(&text);
        text = nested(KINDS[i].opening, KINDS[i].core, KINDS[i].closing, deepest + 1);
        struct json_error error;
        ck_assert(!json_check(buffer_slice(&text), &error));
        ck_assert_str_eq(error.what, "too many arrays and objects in one another");
        buffer_free(&text);
    }
    struct buffer text = nested("[", "", "", 1 << 20);
    ck_assert(!json_check(buffer_slice(&text), NULL));
    buffer_free(&text);
    text = nested("[", "[\"a\",[", "]]]", 1);
    ck_assert(json_check_message(buffer_slice(&text), NULL));
    buffer_free(&text);
}
END_TEST

static const struct {
    const char *text;
    const char *what; /* NULL: a message */
} MESSAGES[] = {
    {"[]", NULL},
    {" [ ] ", NULL},
    {"[[\"a\"]]", NULL},
    {"[[\"a.b\",{\"x\":1}],[\"c\"]]", NULL},
    {" [ [ \"a\" , null ] , [ \"\" , [ [ ] ] ] ] ", NULL},
    {"[[\"a\",\"b\"],[\"a\",1e400],[\"a\",[1,2,3]],[\"a\",{\"b\":[]}]]", NULL},
    {"", "a message must be an array of events"},
    {"null", "a message must be an array of events"},
    {"{}", "a message must be an array of events"},
    {"\"a\"", "a message must be an array of events"},
    {"[\"a\"]", "an event must be an array"},
    {"[\"a\",{\"x\":1}]", "an event must be an array"},
    {"[{}]", "an event must be an array"},
    {"[[\"a\"],1]", "an event must be an array"},
    {"[[\"a\"],]", "an event must be an array"},
    {"[[]]", "an event must start with its name, a string"},
    {"[[1]]", "an event must start with its name, a string"},
    {"[[null,1]]", "an event must start with its name, a string"},
    {"[[[\"a\"]]]", "an event must start with its name, a string"},
    {"[[\"a\",1,2]]", "an event has a name and data, no more"},
    {"[[\"a\",1,]]", "an event has a name and data, no more"},
    {"[[\"a\",]]", "a value is wanted"},
    {"[[\"a\"", "a comma or ] is wanted"},
    {"[[\"a\"]", "a comma or ] is wanted"},
    {"[[\"a\" 1]]", "a comma or ] is wanted"},
    {"[[\"a\",1}]", "a comma or ] is wanted"},
    {"[[\"a\"]}", "a comma or ] is wanted"},
    {"[[\"a\",{\"b\":01}]]", "a number starts with a needless 0"},
    {"[[\"a\"]] [[\"b\"]]", "something follows the value"},
    {"[[\"a\xff\"]]", "not valid UTF-8"},
};

START_TEST(messages_are_arrays_of_events)
{
    struct json_error error = {0};
    bool good = json_check_message(slice_from_string(MESSAGES[_i].text), &error);
    ck_assert_msg(good == !MESSAGES[_i].what, "%s", MESSAGES[_i].text);
    if (!good)
        ck_assert_str_eq(error.what, MESSAGES[_i].what);
    else
        ck_assert(json_check(slice_from_string(MESSAGES[_i].text), NULL));
}
END_TEST

START_TEST(a_message_may_be_as_deep_as_any_text)
{
    struct buffer data = nested("[", "", "]", JSON_DEPTH_MAX - 2), text = {0};
    ck_assert_int_eq(
        buffer_printf(&text, "[[\"a\",%.*s]]", (int)buffer_len(&data), buffer_bytes(&data)), 0);
    ck_assert(json_check_message(buffer_slice(&text), NULL));
    ck_assert(json_check(buffer_slice(&text), NULL));
    buffer_truncate(&text, 0);
    ck_assert_int_eq(
        buffer_printf(&text, "[[\"a\",[%.*s]]]", (int)buffer_len(&data), buffer_bytes(&data)), 0);
    ck_assert(!json_check_message(buffer_slice(&text), NULL));
    ck_assert(!json_check(buffer_slice(&text), NULL));
    buffer_free(&text);
    buffer_free(&data);
}
END_TEST

START_TEST(kinds_and_trimming)
{
    static const struct {
        const char *text, *trimmed;
        enum json_kind kind;
    } VALUES[] = {
        {" null ", "null", JSON_KIND_NULL},    {"true", "true", JSON_KIND_TRUE},
        {"\nfalse", "false", JSON_KIND_FALSE}, {"\t-1.5 \r\n", "-1.5", JSON_KIND_NUMBER},
        {"0", "0", JSON_KIND_NUMBER},          {" \" a \" ", "\" a \"", JSON_KIND_STRING},
        {" [ 1 ] ", "[ 1 ]", JSON_KIND_ARRAY}, {"\n{\n}\n", "{\n}", JSON_KIND_OBJECT},
    };
    for (size_t i = 0; i < COUNT(VALUES); i++) {
        struct slice value = slice_from_string(VALUES[i].text);
        ck_assert_int_eq(json_kind_of(value), VALUES[i].kind);
        ck_assert_slice_eq(json_trim(value), VALUES[i].trimmed);
    }
}
END_TEST

START_TEST(elements_come_one_by_one)
{
    struct slice rest =
        SLICE_LITERAL(" [ 1 ,\"a,]\\\"\" , [2,[3],\"]\"] ,{\"x\":[4]},null,[[5]] ] ");
    static const char *const ELEMENTS[] = {"1",           "\"a,]\\\"\"", "[2,[3],\"]\"]",
                                           "{\"x\":[4]}", "null",        "[[5]]"};
    struct slice value;
    for (size_t i = 0; i < COUNT(ELEMENTS); i++) {
        ck_assert(json_next_element(&rest, &value));
        ck_assert_slice_eq(value, ELEMENTS[i]);
    }
    ck_assert(!json_next_element(&rest, &value));
    ck_assert(!json_next_element(&rest, &value));
    rest = SLICE_LITERAL(" [ ] ");
    ck_assert(!json_next_element(&rest, &value));
    rest = SLICE_LITERAL("[[1],[2]]");
    ck_assert(json_next_element(&rest, &value));
    ck_assert_slice_eq(value, "[1]");
    ck_assert(json_next_element(&rest, &value));
    ck_assert_slice_eq(value, "[2]");
    ck_assert(!json_next_element(&rest, &value));
    rest = SLICE_LITERAL("{\"a\":1}");
    ck_assert(!json_next_element(&rest, &value));
}
END_TEST

START_TEST(members_come_one_by_one)
{
    struct json_walk walk = json_walk_over(
        SLICE_LITERAL(" { \"a\" : 1 ,\"\":{\"}\":\"{\"},\"a\\\"b\":[ ] , \"c\" : \"\\\\\" } "));
    static const char *const MEMBERS[][2] = {
        {"a", "1"}, {"", "{\"}\":\"{\"}"}, {"a\\\"b", "[ ]"}, {"c", "\"\\\\\""}};
    struct slice name, value;
    for (size_t i = 0; i < COUNT(MEMBERS); i++) {
        bool is_message;
        ck_assert_int_eq(json_walk_name(&walk, &name), JSON_MEMBER);
        ck_assert(json_walk_value(&walk, &value, &is_message));
        ck_assert_slice_eq(name, MEMBERS[i][0]);
        ck_assert_slice_eq(value, MEMBERS[i][1]);
        ck_assert_int_eq(is_message, i == 2);
    }
    ck_assert_int_eq(json_walk_name(&walk, &name), JSON_END);
    walk = json_walk_over(SLICE_LITERAL("{}"));
    ck_assert_int_eq(json_walk_name(&walk, &name), JSON_END);
}
END_TEST

/* Whether the text is an object, as the walk sees it. */
static bool walks(struct slice text)
{
    struct json_walk walk = json_walk_over(text);
    struct slice name, value;
    enum json_step step;
    while ((step = json_walk_name(&walk, &name)) == JSON_MEMBER) {
        bool is_message;
        if (!json_walk_value(&walk, &value, &is_message))
            return false;
        ck_assert_int_eq(is_message, json_check_message(value, NULL));
        ck_assert(json_check(value, NULL));
    }
    return step == JSON_END;
}

/* One byte less, or another one, at every place. */
START_TEST(a_walk_accepts_what_is_json_and_nothing_else)
{
    static const char TEXT[] =
        "{\"to\":\"a\\u0041\" , "
        "\"message\":[[\"n\",{\"x\":[1,{}]}],[\"m\"]],\"\":-1.5e3,\"b\":{\"c\":[true]}}";
    static const char OTHERS[] = "{}[],:\"\\ 1a\1";
    char text[sizeof TEXT];
    ck_assert(walks(slice_of(TEXT, sizeof TEXT - 1)));
    for (size_t at = 0; at < sizeof TEXT - 1; at++) {
        struct slice cut = slice_of(TEXT, at);
        ck_assert_int_eq(walks(cut), json_check(cut, NULL));
        for (size_t other = 0; other < sizeof OTHERS; other++) {
            memcpy(text, TEXT, sizeof TEXT);
            text[at] = OTHERS[other];
            struct slice changed = slice_of(text, sizeof TEXT - 1);
            bool wanted = json_check(changed, NULL) && json_kind_of(changed) == JSON_KIND_OBJECT;
            ck_assert_msg(walks(changed) == wanted, "%s", text);
        }
    }
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_loop_test(cases, documents_are_json_or_not, 0, COUNT(DOCUMENTS));
    tcase_add_loop_test(cases, jansson_agrees, 0, COUNT(DOCUMENTS));
    tcase_add_loop_test(cases, jansson_agrees_on_changed_documents, 0, COUNT(DOCUMENTS));
    tcase_add_test(cases, a_nul_byte_is_no_white_space);
    tcase_add_test(cases, errors_point_at_the_wrong_byte);
    tcase_add_test(cases, depth_is_bounded);
    tcase_add_loop_test(cases, messages_are_arrays_of_events, 0, COUNT(MESSAGES));
    tcase_add_test(cases, a_message_may_be_as_deep_as_any_text);
    tcase_add_test(cases, kinds_and_trimming);
    tcase_add_test(cases, elements_come_one_by_one);
    tcase_add_test(cases, members_come_one_by_one);
    tcase_add_test(cases, a_walk_accepts_what_is_json_and_nothing_else);
}

UNIT_MAIN("json_text", add_tests)
