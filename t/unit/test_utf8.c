#include "unit.h"

#include "codecs/utf8.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const struct {
    const char *text;
    bool valid;
} TEXTS[] = {
    {"", true},
    {"plain ASCII, longer than eight bytes", true},
    {"\x7f", true},
    {"\xc2\x80", true},
    {"\xdf\xbf", true},
    {"\xe0\xa0\x80", true},
    {"\xed\x9f\xbf", true},
    {"\xee\x80\x80", true},
    {"\xef\xbf\xbf", true},
    {"\xf0\x90\x80\x80", true},
    {"\xf4\x8f\xbf\xbf", true},
    {"gr\xc3\xbc\xc3\x9f dich \xe2\x82\xac \xf0\x9f\x98\x80!", true},
    {"\x80", false},
    {"\xbf", false},
    {"\xc0\x80", false},
    {"\xc1\xbf", false},
    {"\xc2", false},
    {"\xc2\x20", false},
    {"\xe0\x9f\xbf", false},
    {"\xe0\xa0", false},
    {"\xed\xa0\x80", false},
    {"\xed\xbf\xbf", false},
    {"\xe2\x82\xac\xac", false},
    {"\xf0\x8f\xbf\xbf", false},
    {"\xf0\x90\x80", false},
    {"\xf4\x90\x80\x80", false},
    {"\xf5\x80\x80\x80", false},
    {"\xf8\x88\x80\x80\x80", false},
    {"\xfe", false},
    {"\xff", false},
    {"eight by\xff", false},
    {"eight bytes and then \xe2\x82", false},
};

START_TEST(texts_are_valid_or_not)
{
    ck_assert_msg(utf8_is_valid(slice_from_string(TEXTS[_i].text)) == TEXTS[_i].valid, "text %d",
                  _i);
}
END_TEST

START_TEST(every_split_gives_the_same_verdict)
{
    struct slice text = slice_from_string(TEXTS[_i].text);
    for (size_t cut = 0; cut <= text.len; cut++) {
        struct utf8_state state = {0};
        bool valid = utf8_feed(&state, slice_of(text.data, cut)) &&
                     utf8_feed(&state, slice_of(text.data + cut, text.len - cut)) &&
                     utf8_complete(&state);
        ck_assert_msg(valid == TEXTS[_i].valid, "text %d cut at %zu", _i, cut);
    }
    struct utf8_state state = {0};
    bool valid = true;
    for (size_t i = 0; valid && i < text.len; i++)
        valid = utf8_feed(&state, slice_of(text.data + i, 1));
    ck_assert((valid && utf8_complete(&state)) == TEXTS[_i].valid);
}
END_TEST

static size_t encode(uint32_t point, char out[4])
{
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    size_t len = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--, point >>= 6)
        out[i] = (char)(0x80 | (point & 0x3f));
    out[0] = (char)((0xf0 << (4 - len) & 0xff) | point);
    return len;
}

START_TEST(every_code_point_but_surrogates)
{
    for (uint32_t point = 0; point < 0x110000 + 0x1000; point++) {
        char bytes[4];
        size_t len = encode(point, bytes);
        bool valid = point < 0x110000 && (point < 0xd800 || point > 0xdfff);
        /* An assertion writes a mark to a file; a million of them take long. */
        if (utf8_is_valid(slice_of(bytes, len)) != valid)
            ck_abort_msg("U+%04X", point);
    }
}
END_TEST

START_TEST(a_bad_byte_is_refused_at_once)
{
    struct utf8_state state = {0};
    ck_assert(utf8_feed(&state, SLICE_LITERAL("a\xe2")));
    ck_assert(!utf8_complete(&state));
    ck_assert(!utf8_feed(&state, SLICE_LITERAL("(")));
    ck_assert(utf8_feed(&(struct utf8_state){0}, SLICE_EMPTY));
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_loop_test(cases, texts_are_valid_or_not, 0, COUNT(TEXTS));
    tcase_add_loop_test(cases, every_split_gives_the_same_verdict, 0, COUNT(TEXTS));
    tcase_add_test(cases, every_code_point_but_surrogates);
    tcase_add_test(cases, a_bad_byte_is_refused_at_once);
}

UNIT_MAIN("utf8", add_tests)
