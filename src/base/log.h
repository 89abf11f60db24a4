/* One line per event, key=value, to stderr: "event=worker-ready slot=1 pid=4711". Under journald
 * each line starts with its priority, elsewhere with the time. Never pass a session key or a
 * message body; text from outside goes through LOG_TEXT, which escapes and shortens it. */
#ifndef MSGSERVER_BASE_LOG_H
#define MSGSERVER_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/* MAGE's levels, low to high (configuration fact: "verbose … emergency"). */
enum log_level {
    LOG_LEVEL_VERBOSE,
    LOG_LEVEL_DEBUG,
    LOG_LEVEL_INFO,
    LOG_LEVEL_NOTICE,
    LOG_LEVEL_WARNING,
    LOG_LEVEL_ERROR,
    LOG_LEVEL_CRITICAL,
    LOG_LEVEL_ALERT,
    LOG_LEVEL_EMERGENCY,
    LOG_LEVELS
};

extern const char *const LOG_LEVEL_NAMES[LOG_LEVELS];

/* `process` ("master", "relay-worker", "client-worker/2") opens each line; it is copied. */
void log_open(const char *process);
/* Bit n of `mask` lets level n through. The default is info and above. */
void log_set_levels(uint32_t mask);
bool log_wants(enum log_level level);

/* `event` is a constant of lower-case words joined by hyphens; `format` holds "key=%s key=%d". */
void log_event(enum log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same for a signal handler: it does nothing but write(2), so there is no time, and `text` is
 * the whole line from "event=" on. */
void log_signal(enum log_level level, const char *text);

/* Lets the first line of a call site through, then one per `interval_ms` with the number of those
 * left out (suppressed=N). Zero-initialise `limit`. */
struct log_limit {
    uint64_t open_again_ms;
    uint64_t suppressed;
};
bool log_limit_pass(struct log_limit *limit, uint64_t interval_ms, uint64_t *suppressed);

/* `text` quoted and escaped into a buffer of the caller's, cut at 120 bytes; returns `out`. */
enum { LOG_TEXT_ROOM = 512 };
const char *log_text(struct slice text, char out[LOG_TEXT_ROOM]);
#define LOG_TEXT(slice) log_text((slice), (char[LOG_TEXT_ROOM]){0})

#define LOG_DEBUG(...)   log_event(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define LOG_INFO(...)    log_event(LOG_LEVEL_INFO, __VA_ARGS__)
#define LOG_NOTICE(...)  log_event(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define LOG_WARNING(...) log_event(LOG_LEVEL_WARNING, __VA_ARGS__)
#define LOG_ERROR(...)   log_event(LOG_LEVEL_ERROR, __VA_ARGS__)

#endif
