/* What is wrong with a configuration: collected while it is read, printed at the end, so that one
 * run names every mistake. */
#ifndef MSGSERVER_MASTER_CONFIG_DIAGNOSTICS_H
#define MSGSERVER_MASTER_CONFIG_DIAGNOSTICS_H

#include <stddef.h>

#include "base/buffer.h"

enum diagnostic_severity { DIAGNOSTIC_ERROR, DIAGNOSTIC_WARNING };

/* Where in a file, counted from 1; line 0: the file as a whole; file NULL: no file. */
struct mark {
    const char *file;
    unsigned line;
    unsigned column;
};

struct diagnostic {
    enum diagnostic_severity severity;
    char *file; /* NULL when it concerns no file */
    unsigned line;
    unsigned column;
    char *sentence; /* printable: control characters are escaped */
};

/* Hostile files cannot fill the memory with complaints: later ones are only counted. */
enum { DIAGNOSTICS_KEPT = 200 };

/* All-zero is a valid empty list. */
struct diagnostics {
    struct diagnostic *items;
    size_t count;
    size_t capacity;
    size_t errors; /* all of them, also those not kept */
    size_t warnings;
};

/* Adds one; never fails: when memory is short it is counted but not kept. */
void diagnostics_add(struct diagnostics *diagnostics, enum diagnostic_severity severity,
                     struct mark mark, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* One line each: "file:line:column: error: what is wrong; accepted: …", in the order found, and a
 * last line when some were not kept. Returns 0, or -1 with errno ENOMEM. */
int diagnostics_print(const struct diagnostics *diagnostics, struct buffer *out);

void diagnostics_free(struct diagnostics *diagnostics);

#endif
