/* Numbers with units, as configuration files and the backend API write them. */
#ifndef MSGSERVER_BASE_UNITS_H
#define MSGSERVER_BASE_UNITS_H

#include <stdint.h>

#include "base/slice.h"

/* A whole decimal number and nothing else. Return 0, or -1 with errno EINVAL or ERANGE. */
int parse_u64(struct slice text, uint64_t *value);
/* Writes `value` in decimal, up to U64_DIGITS_MAX bytes and no NUL. Returns how many. */
enum { U64_DIGITS_MAX = 20 };
size_t write_u64(char *text, uint64_t value);

/* "500ms", "30s", "10m", "2h", "7d", or a bare number of `bare_unit_ms` milliseconds each (1 or
 * 1000); fractions ("1.5s") are accepted. Gives milliseconds. */
int parse_duration(struct slice text, uint64_t bare_unit_ms, uint64_t *milliseconds);

/* "512", "64KiB", "16MiB", "2GiB" (also "64k", "64K", "64KB" as 1024-based). Gives bytes. */
int parse_size(struct slice text, uint64_t *bytes);

/* The shortest exact spelling, with a NUL: "10m", "64KiB". */
enum { UNIT_TEXT_ROOM = 32 };
void format_duration(uint64_t milliseconds, char text[UNIT_TEXT_ROOM]);
void format_size(uint64_t bytes, char text[UNIT_TEXT_ROOM]);

#endif
