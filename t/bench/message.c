#include "bench/message.h"

#include <err.h>
#include <stdlib.h>
#include <time.h>

/* A body is HEAD, the digits of the time, TAIL. */
static const char HEAD[] = "[[\"bench.line\",{\"due\":\"";
static const char TAIL[] = "\",\"text\":\"The quick brown fox jumps over it.\"}]]";
enum {
    HEAD_BYTES = sizeof HEAD - 1,
    TAIL_BYTES = sizeof TAIL - 1,
    DIGITS = MESSAGE_BYTES - HEAD_BYTES - TAIL_BYTES,
};
_Static_assert(DIGITS >= 16, "a time in microseconds has up to 16 digits");

uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void message_write(char text[MESSAGE_BYTES], uint64_t due_us)
{
    memcpy(text, HEAD, HEAD_BYTES);
    for (int i = DIGITS; i-- > 0; due_us /= 10)
        text[HEAD_BYTES + i] = (char)('0' + due_us % 10);
    memcpy(text + HEAD_BYTES + DIGITS, TAIL, TAIL_BYTES);
}

static uint64_t read_digits(struct slice *text, size_t max)
{
    uint64_t number = 0;
    for (; max > 0 && text->len > 0 && *text->data >= '0' && *text->data <= '9'; max--) {
        number = number * 10 + (uint64_t)(*text->data - '0');
        *text = slice_of(text->data + 1, text->len - 1);
    }
    return number;
}

static void expect(struct slice *text, const char *what)
{
    size_t len = strlen(what);
    if (!slice_starts_with(*text, what))
        errx(EXIT_FAILURE, "a pack goes on with: %.*s", (int)text->len, text->data);
    *text = slice_of(text->data + len, text->len - len);
}

bool message_read(struct slice *pack, uint64_t *id, uint64_t *due_us)
{
    if (slice_equals_string(*pack, "}"))
        return false;
    expect(pack, slice_starts_with(*pack, "{") ? "{\"" : ",\"");
    *id = read_digits(pack, 20);
    expect(pack, "\":");
    expect(pack, HEAD);
    *due_us = read_digits(pack, DIGITS);
    expect(pack, TAIL);
    return true;
}
