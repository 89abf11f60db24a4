#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/invariant.h"

enum { LINE_ROOM = 2048, TEXT_SHOWN = 120 };

const char *const LOG_LEVEL_NAMES[LOG_LEVELS] = {
    "verbose", "debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"};

/* sd-daemon(3) priorities, which are syslog's. */
static const int JOURNAL_PRIORITIES[LOG_LEVELS] = {7, 7, 6, 5, 4, 3, 2, 1, 0};

static char process_name[64] = "msgserver";
static bool to_journal;
static uint32_t levels = ~0u << LOG_LEVEL_INFO;

/* systemd.exec(5): JOURNAL_STREAM names the device and inode of a stderr that journald reads. */
static bool stderr_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat st;
    char *end;
    if (!stream || fstat(2, &st) != 0)
        return false;
    unsigned long long device = strtoull(stream, &end, 10);
    return *end == ':' && st.st_dev == device && st.st_ino == strtoull(end + 1, NULL, 10);
}

void log_open(const char *process)
{
    snprintf(process_name, sizeof process_name, "%s", process);
    to_journal = stderr_is_journal();
}

void log_set_levels(uint32_t mask)
{
    levels = mask;
}

bool log_wants(enum log_level level)
{
    return (levels >> level & 1) != 0;
}

static int format_prefix(char *line, size_t room, enum log_level level)
{
    if (to_journal)
        return snprintf(line, room, "<%d>%s: ", JOURNAL_PRIORITIES[level], process_name);
    uint64_t now = clock_wall_ms();
    time_t seconds = (time_t)(now / 1000);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    size_t len = strftime(line, room, "%Y-%m-%dT%H:%M:%S", &utc);
    return (int)len + snprintf(line + len, room - len, ".%03uZ %s %s: ", (unsigned)(now % 1000),
                               process_name, LOG_LEVEL_NAMES[level]);
}

void log_event(enum log_level level, const char *event, const char *format, ...)
{
    if (!log_wants(level))
        return;
    int saved_errno = errno;
    char line[LINE_ROOM];
    size_t room = sizeof line - 1; /* the newline's place */
    size_t len = (size_t)format_prefix(line, room, level);
    len += (size_t)snprintf(line + len, room - len, "event=%s ", event);
    va_list arguments;
    va_start(arguments, format);
    int wanted = vsnprintf(line + len, room - len, format, arguments);
    va_end(arguments);
    if (wanted > 0)
        len = len + (size_t)wanted < room ? len + (size_t)wanted : room - 1;
    line[len++] = '\n';
    /* Nothing sensible can be done about a stderr that takes no more. */
    ssize_t written = write(2, line, len);
    (void)written;
    errno = saved_errno;
}

void log_signal(enum log_level level, const char *text)
{
    const char journal[] = {'<', (char)('0' + JOURNAL_PRIORITIES[level]), '>', '\0'};
    const char *const pieces[] = {to_journal ? journal : "",
                                  process_name,
                                  to_journal ? "" : " ",
                                  to_journal ? "" : LOG_LEVEL_NAMES[level],
                                  ": ",
                                  text,
                                  "\n"};
    char line[LINE_ROOM];
    size_t len = 0;
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++)
        for (const char *at = pieces[i]; *at && len < sizeof line; at++)
            line[len++] = *at;
    ssize_t written = write(2, line, len);
    (void)written;
}

bool log_limit_pass(struct log_limit *limit, uint64_t interval_ms, uint64_t *suppressed)
{
    uint64_t now = clock_monotonic_ms();
    if (now < limit->open_again_ms) {
        limit->suppressed++;
        return false;
    }
    *suppressed = limit->suppressed;
    limit->suppressed = 0;
    limit->open_again_ms = now + interval_ms;
    return true;
}

const char *log_text(struct slice text, char out[LOG_TEXT_ROOM])
{
    static const char DIGITS[] = "0123456789abcdef";
    size_t shown = text.len < TEXT_SHOWN ? text.len : TEXT_SHOWN;
    size_t at = 0;
    out[at++] = '"';
    for (size_t i = 0; i < shown; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c == '"' || c == '\\') {
            out[at++] = '\\';
            out[at++] = (char)c;
        } else if (c >= 0x20 && c < 0x7f) {
            out[at++] = (char)c;
        } else {
            out[at++] = '\\';
            out[at++] = 'x';
            out[at++] = DIGITS[c >> 4];
            out[at++] = DIGITS[c & 15];
        }
    }
    const char *end = shown < text.len ? "\"..." : "\"";
    memcpy(out + at, end, strlen(end) + 1);
    return out;
}

void invariant_failed(const char *file, int line, const char *what)
{
    log_event(LOG_LEVEL_EMERGENCY, "invariant-broken", "at=%s:%d what=\"%s\"", file, line, what);
    abort();
}
