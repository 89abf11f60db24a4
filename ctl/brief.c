#include "ctl/brief.h"

#include <inttypes.h>
#include <stdio.h>

const char *brief_seconds(uint64_t seconds, char text[BRIEF_ROOM])
{
    static const struct {
        uint64_t seconds;
        char unit;
    } UNITS[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
    size_t i = 0;
    while (UNITS[i].seconds > 1 && seconds < 2 * UNITS[i].seconds)
        i++;
    snprintf(text, BRIEF_ROOM, "%" PRIu64 "%c", seconds / UNITS[i].seconds, UNITS[i].unit);
    return text;
}

const char *brief_count(uint64_t count, char text[BRIEF_ROOM])
{
    static const char *const UNITS[] = {"", "k", "M", "G", "T", "P"};
    const uint64_t most = 9999999;
    size_t i = 0;
    for (; count > (i == 0 ? most : most / 10); i++)
        count /= 1000;
    snprintf(text, BRIEF_ROOM, "%" PRIu64 "%s", count, UNITS[i]);
    return text;
}

const char *brief_milliseconds(double milliseconds, char text[BRIEF_ROOM])
{
    if (milliseconds < 1)
        snprintf(text, BRIEF_ROOM, "%.0fus", milliseconds * 1000);
    else if (milliseconds < 10)
        snprintf(text, BRIEF_ROOM, "%.1fms", milliseconds);
    else if (milliseconds < 1000)
        snprintf(text, BRIEF_ROOM, "%.0fms", milliseconds);
    else
        snprintf(text, BRIEF_ROOM, "%.1fs", milliseconds / 1000);
    return text;
}
