#include "base/units.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

struct unit {
    const char *name;
    uint64_t factor;
};

/* Largest first, one canonical name per factor first: formatting takes the first that divides. */
static const struct unit DURATIONS[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000},
                                        {"min", 60000},  {"s", 1000},    {"ms", 1}};
static const struct unit SIZES[] = {
    {"GiB", 1 << 30}, {"G", 1 << 30},   {"GB", 1 << 30}, {"MiB", 1 << 20}, {"M", 1 << 20},
    {"MB", 1 << 20},  {"KiB", 1 << 10}, {"K", 1 << 10},  {"KB", 1 << 10},  {"B", 1}};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static int fail(int error)
{
    errno = error;
    return -1;
}

/* Reads the digits at the front of `text` and moves past them. */
static int take_digits(struct slice *text, uint64_t *value, size_t *digits)
{
    *value = 0;
    *digits = 0;
    while (text->len > 0 && *text->data >= '0' && *text->data <= '9') {
        uint64_t digit = (uint64_t)(*text->data - '0');
        if (*value > (UINT64_MAX - digit) / 10)
            return fail(ERANGE);
        *value = *value * 10 + digit;
        text->data++;
        text->len--;
        (*digits)++;
    }
    return 0;
}

int parse_u64(struct slice text, uint64_t *value)
{
    size_t digits;
    if (take_digits(&text, value, &digits) != 0)
        return -1;
    return digits > 0 && text.len == 0 ? 0 : fail(EINVAL);
}

size_t write_u64(char *text, uint64_t value)
{
    char digits[U64_DIGITS_MAX];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    memcpy(text, digits + at, sizeof digits - at);
    return sizeof digits - at;
}

static uint64_t unit_factor(struct slice name, const struct unit *units, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(units[i].name) == name.len &&
            strncasecmp(units[i].name, name.data, name.len) == 0)
            return units[i].factor;
    return 0;
}

static int parse_with_unit(struct slice text, uint64_t bare_factor, const struct unit *units,
                           size_t count, uint64_t *value)
{
    uint64_t whole, fraction = 0;
    size_t whole_digits, fraction_digits = 0;
    if (take_digits(&text, &whole, &whole_digits) != 0)
        return -1;
    if (text.len > 0 && *text.data == '.') {
        text.data++;
        text.len--;
        if (take_digits(&text, &fraction, &fraction_digits) != 0)
            return -1;
        if (fraction_digits == 0 || fraction_digits > 6)
            return fail(EINVAL);
    }
    while (text.len > 0 && *text.data == ' ') {
        text.data++;
        text.len--;
    }
    uint64_t factor = text.len == 0 ? bare_factor : unit_factor(text, units, count);
    if (whole_digits == 0 || factor == 0)
        return fail(EINVAL);
    uint64_t scale = 1;
    for (size_t i = 0; i < fraction_digits; i++)
        scale *= 10;
    if (whole > (UINT64_MAX - factor) / factor)
        return fail(ERANGE);
    *value = whole * factor + fraction * factor / scale;
    return 0;
}

int parse_duration(struct slice text, uint64_t bare_unit_ms, uint64_t *milliseconds)
{
    return parse_with_unit(text, bare_unit_ms, DURATIONS, COUNT(DURATIONS), milliseconds);
}

int parse_size(struct slice text, uint64_t *bytes)
{
    return parse_with_unit(text, 1, SIZES, COUNT(SIZES), bytes);
}

static void format_with_unit(uint64_t value, const struct unit *units, size_t count, char *text)
{
    size_t i = 0;
    while (i + 1 < count && (value == 0 || value % units[i].factor != 0))
        i++;
    snprintf(text, UNIT_TEXT_ROOM, "%" PRIu64 "%s", value / units[i].factor, units[i].name);
}

void format_duration(uint64_t milliseconds, char text[UNIT_TEXT_ROOM])
{
    format_with_unit(milliseconds, DURATIONS, COUNT(DURATIONS), text);
}

void format_size(uint64_t bytes, char text[UNIT_TEXT_ROOM])
{
    format_with_unit(bytes, SIZES, COUNT(SIZES), text);
}
