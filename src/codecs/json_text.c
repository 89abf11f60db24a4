#include "codecs/json_text.h"

#include <assert.h>
#include <stdint.h>

#include "codecs/utf8.h"

#define EACH_BYTE(byte) (0x0101010101010101u * (byte))

/* The open arrays and objects are one bit each, so no text can make us recurse. */
struct checker {
    const unsigned char *start, *at, *end;
    unsigned depth;
    uint64_t objects; /* bit n: the container at depth n is an object */
    struct json_error error;
};
static_assert(JSON_DEPTH_MAX <= 64, "one bit per open container");

static bool fail(struct checker *c, const char *what)
{
    c->error = (struct json_error){(size_t)(c->at - c->start), what};
    return false;
}

static bool is_white(unsigned char byte)
{
    return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t';
}

static bool is_digit(unsigned char byte)
{
    return byte >= '0' && byte <= '9';
}

/* The next byte that is not white space; 0, which no JSON text holds there, at the end. */
static unsigned char peek(struct checker *c)
{
    while (c->at < c->end && is_white(*c->at))
        c->at++;
    return c->at < c->end ? *c->at : 0;
}

/* Whether one of eight bytes ends a run of plain characters: a quote, a backslash, a control
 * character. Bytes above 0x7f do not. */
static bool has_string_stop(uint64_t eight)
{
    uint64_t quote = eight ^ EACH_BYTE('"'), backslash = eight ^ EACH_BYTE('\\');
    uint64_t found = ((quote - EACH_BYTE(1)) & ~quote) | ((backslash - EACH_BYTE(1)) & ~backslash) |
                     ((eight - EACH_BYTE(0x20)) & ~eight);
    return (found & EACH_BYTE(0x80)) != 0;
}

/* Leaves `at` on the byte that made the text invalid. */
static bool fail_utf8(struct checker *c, const unsigned char *run)
{
    struct utf8_state state = {0};
    c->at = run;
    while (c->at < c->end && utf8_feed(&state, slice_of(c->at, 1)))
        c->at++;
    return fail(c, "not valid UTF-8");
}

/* Moves over the characters up to the next quote, backslash or control character. */
static bool check_plain_run(struct checker *c)
{
    const unsigned char *run = c->at;
    uint64_t seen = 0, eight;
    while (c->end - c->at >= 8) {
        memcpy(&eight, c->at, sizeof eight);
        if (has_string_stop(eight))
            break;
        seen |= eight;
        c->at += sizeof eight;
    }
    while (c->at < c->end && *c->at >= 0x20 && *c->at != '"' && *c->at != '\\')
        seen |= *c->at++;
    if ((seen & EACH_BYTE(0x80)) && !utf8_is_valid(slice_of(run, (size_t)(c->at - run))))
        return fail_utf8(c, run);
    return true;
}

static bool is_hex_digit(unsigned char byte)
{
    return is_digit(byte) || (byte >= 'a' && byte <= 'f') || (byte >= 'A' && byte <= 'F');
}

/* `at` is after the backslash. A \u escape of half a surrogate pair is valid JSON text (RFC 8259
 * section 8.2). */
static bool check_escape(struct checker *c)
{
    if (c->at == c->end)
        return fail(c, "a string is not closed");
    if (*c->at == 0 || !strchr("\"\\/bfnrtu", *c->at))
        return fail(c, "not an escape sequence");
    if (*c->at++ != 'u')
        return true;
    for (int digits = 0; digits < 4; digits++) {
        if (c->at == c->end || !is_hex_digit(*c->at))
            return fail(c, "\\u needs four hexadecimal digits");
        c->at++;
    }
    return true;
}

/* `at` is on the opening quote. */
static bool check_string(struct checker *c)
{
    c->at++;
    for (;;) {
        if (!check_plain_run(c))
            return false;
        if (c->at == c->end)
            return fail(c, "a string is not closed");
        if (*c->at == '"') {
            c->at++;
            return true;
        }
        if (*c->at != '\\')
            return fail(c, "a control character in a string");
        c->at++;
        if (!check_escape(c))
            return false;
    }
}

static bool check_digits(struct checker *c)
{
    if (c->at == c->end || !is_digit(*c->at))
        return fail(c, "a digit is missing in a number");
    while (c->at < c->end && is_digit(*c->at))
        c->at++;
    return true;
}

static bool check_number(struct checker *c)
{
    if (*c->at == '-')
        c->at++;
    if (c->at < c->end && *c->at == '0') {
        c->at++;
        if (c->at < c->end && is_digit(*c->at))
            return fail(c, "a number starts with a needless 0");
    } else if (!check_digits(c)) {
        return false;
    }
    if (c->at < c->end && *c->at == '.') {
        c->at++;
        if (!check_digits(c))
            return false;
    }
    if (c->at < c->end && (*c->at == 'e' || *c->at == 'E')) {
        c->at++;
        if (c->at < c->end && (*c->at == '+' || *c->at == '-'))
            c->at++;
        return check_digits(c);
    }
    return true;
}

static bool check_word(struct checker *c, const char *word)
{
    for (; *word; word++, c->at++)
        if (c->at == c->end || *c->at != (unsigned char)*word)
            return fail(c, "a value is wanted");
    return true;
}

static bool check_scalar(struct checker *c, unsigned char first)
{
    switch (first) {
    case '"':
        return check_string(c);
    case 't':
        return check_word(c, "true");
    case 'f':
        return check_word(c, "false");
    case 'n':
        return check_word(c, "null");
    default:
        if (first == '-' || is_digit(first))
            return check_number(c);
        return fail(c, "a value is wanted");
    }
}

/* The name of a member and its colon. */
static bool check_name(struct checker *c)
{
    if (peek(c) != '"')
        return fail(c, "the name of a member is wanted");
    if (!check_string(c))
        return false;
    if (peek(c) != ':')
        return fail(c, "a colon is wanted");
    c->at++;
    return true;
}

static bool in_object(const struct checker *c)
{
    return c->objects >> (c->depth - 1) & 1;
}

/* `at` is on the bracket or brace. */
static bool open_container(struct checker *c)
{
    if (c->depth == JSON_DEPTH_MAX)
        return fail(c, "too many arrays and objects in one another");
    uint64_t bit = (uint64_t)1 << c->depth++;
    c->objects = *c->at++ == '{' ? c->objects | bit : c->objects & ~bit;
    return true;
}

/* After a value: closes what ends here. When a comma says that another value follows (its name is
 * read too), `*more` becomes true; when the depth is back at `outer`, false. */
static bool close_containers(struct checker *c, unsigned outer, bool *more)
{
    *more = false;
    while (c->depth > outer) {
        unsigned char next = peek(c);
        bool object = in_object(c);
        if (next == ',') {
            c->at++;
            *more = true;
            return !object || check_name(c);
        }
        if (next != (object ? '}' : ']'))
            return fail(c, object ? "a comma or } is wanted" : "a comma or ] is wanted");
        c->at++;
        c->depth--;
    }
    return true;
}

/* One value, with whatever is in it. */
static bool check_value(struct checker *c)
{
    const unsigned outer = c->depth;
    for (bool more = true; more;) {
        unsigned char first = peek(c);
        if (first == '[' || first == '{') {
            if (!open_container(c))
                return false;
            /* "]" and "}" right here are an empty container; elsewhere a comma was before. */
            if (peek(c) != first + 2) {
                if (first == '{' && !check_name(c))
                    return false;
                continue;
            }
        } else if (!check_scalar(c, first)) {
            return false;
        }
        if (!close_containers(c, outer, &more))
            return false;
    }
    return true;
}

static bool check_whole(struct slice text, bool (*check)(struct checker *),
                        struct json_error *error)
{
    /* A slice without bytes may have no address, and NULL is not to be added to. */
    const unsigned char *start = (const unsigned char *)(text.len > 0 ? text.data : "");
    struct checker c = {.start = start, .at = start, .end = start + text.len};
    bool sound = check(&c);
    if (sound) {
        peek(&c);
        sound = c.at == c.end || fail(&c, "something follows the value");
    }
    if (!sound && error)
        *error = c.error;
    return sound;
}

bool json_check(struct slice text, struct json_error *error)
{
    return check_whole(text, check_value, error);
}

/* ["name"] or ["name", data] */
static bool check_event(struct checker *c)
{
    if (peek(c) != '[')
        return fail(c, "an event must be an array");
    if (!open_container(c))
        return false;
    if (peek(c) != '"')
        return fail(c, "an event must start with its name, a string");
    if (!check_string(c))
        return false;
    if (peek(c) == ',') {
        c->at++;
        if (!check_value(c))
            return false;
        if (peek(c) == ',')
            return fail(c, "an event has a name and data, no more");
    }
    bool more;
    return close_containers(c, c->depth - 1, &more);
}

static bool check_events(struct checker *c)
{
    const unsigned outer = c->depth;
    if (peek(c) != '[')
        return fail(c, "a message must be an array of events");
    if (!open_container(c))
        return false;
    bool more = peek(c) != ']';
    if (!more)
        return close_containers(c, outer, &more);
    while (more)
        if (!check_event(c) || !close_containers(c, outer, &more))
            return false;
    return true;
}

bool json_check_message(struct slice text, struct json_error *error)
{
    return check_whole(text, check_events, error);
}

/* --- walking over text and checking it --- */

/* Within the object that is walked over. */
static struct checker checker_of(const struct json_walk *walk)
{
    return (struct checker){
        .start = walk->at, .at = walk->at, .end = walk->end, .depth = 1, .objects = 1};
}

struct json_walk json_walk_over(struct slice text)
{
    const unsigned char *start = (const unsigned char *)(text.len > 0 ? text.data : "");
    return (struct json_walk){.at = start, .end = start + text.len};
}

static enum json_step end_walk(struct checker *c)
{
    c->at++;
    return peek(c) == 0 && c->at == c->end ? JSON_END : JSON_REFUSED;
}

enum json_step json_walk_name(struct json_walk *walk, struct slice *name)
{
    struct checker c = checker_of(walk);
    bool first = !walk->begun;
    if (first && peek(&c) != '{')
        return JSON_REFUSED;
    c.at += first;
    walk->begun = true;
    if (peek(&c) == '}')
        return end_walk(&c);
    if (!first && peek(&c) != ',')
        return JSON_REFUSED;
    c.at += !first;
    if (peek(&c) != '"')
        return JSON_REFUSED;
    const unsigned char *quote = c.at;
    if (!check_string(&c))
        return JSON_REFUSED;
    *name = slice_of(quote + 1, (size_t)(c.at - quote) - 2);
    if (peek(&c) != ':')
        return JSON_REFUSED;
    walk->at = c.at + 1;
    return JSON_MEMBER;
}

bool json_walk_value(struct json_walk *walk, struct slice *value, bool *is_message)
{
    struct checker c = checker_of(walk);
    peek(&c);
    const unsigned char *start = c.at;
    bool sound = is_message && check_events(&c);
    if (is_message)
        *is_message = sound;
    if (!sound) {
        c = checker_of(walk);
        sound = check_value(&c);
    }
    *value = slice_of(start, (size_t)(c.at - start));
    walk->at = c.at;
    return sound;
}

/* --- walking over checked text --- */

static struct slice skip_white(struct slice text)
{
    while (text.len > 0 && is_white((unsigned char)*text.data)) {
        text.data++;
        text.len--;
    }
    return text;
}

struct slice json_trim(struct slice value)
{
    value = skip_white(value);
    while (value.len > 0 && is_white((unsigned char)value.data[value.len - 1]))
        value.len--;
    return value;
}

enum json_kind json_kind_of(struct slice value)
{
    value = skip_white(value);
    switch (value.len > 0 ? *value.data : 'n') {
    case 'n':
        return JSON_KIND_NULL;
    case 't':
        return JSON_KIND_TRUE;
    case 'f':
        return JSON_KIND_FALSE;
    case '"':
        return JSON_KIND_STRING;
    case '[':
        return JSON_KIND_ARRAY;
    case '{':
        return JSON_KIND_OBJECT;
    default:
        return JSON_KIND_NUMBER;
    }
}

static struct slice take(struct slice *rest, size_t len)
{
    struct slice taken = slice_of(rest->data, len);
    *rest = slice_of(rest->data + len, rest->len - len);
    return taken;
}

static size_t string_len(struct slice text)
{
    size_t i = 1;
    while (i < text.len && text.data[i] != '"')
        i += text.data[i] == '\\' ? 2 : 1;
    return i < text.len ? i + 1 : text.len;
}

static size_t container_len(struct slice text)
{
    size_t depth = 0, i = 0;
    while (i < text.len) {
        char byte = text.data[i];
        if (byte == '"') {
            i += string_len(slice_of(text.data + i, text.len - i));
            continue;
        }
        i++;
        if (byte == '[' || byte == '{')
            depth++;
        else if ((byte == ']' || byte == '}') && --depth == 0)
            break;
    }
    return i;
}

static bool ends_scalar(char byte)
{
    return is_white((unsigned char)byte) || byte == ',' || byte == ']' || byte == '}';
}

static size_t value_len(struct slice text)
{
    size_t len = 0;
    switch (json_kind_of(text)) {
    case JSON_KIND_STRING:
        return string_len(text);
    case JSON_KIND_ARRAY:
    case JSON_KIND_OBJECT:
        return container_len(text);
    default:
        while (len < text.len && !ends_scalar(text.data[len]))
            len++;
        return len;
    }
}

bool json_next_element(struct slice *rest, struct slice *value)
{
    *rest = skip_white(*rest);
    if (rest->len == 0 || (*rest->data != '[' && *rest->data != ','))
        return false;
    *rest = skip_white(slice_of(rest->data + 1, rest->len - 1));
    if (rest->len == 0 || *rest->data == ']')
        return false;
    *value = take(rest, value_len(*rest));
    return true;
}
