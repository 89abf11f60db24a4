/* Broken invariants of our own end the process: better a clean restart than wrong deliveries. */
#ifndef MSGSERVER_BASE_INVARIANT_H
#define MSGSERVER_BASE_INVARIANT_H

#include <stdnoreturn.h>

/* Logs where and what, then aborts. */
noreturn void invariant_failed(const char *file, int line, const char *what);

#define INVARIANT(condition, what)                                                                 \
    do {                                                                                           \
        if (!(condition))                                                                          \
            invariant_failed(__FILE__, __LINE__, what);                                            \
    } while (0)

/* Each long-lived struct starts with `unsigned magic`; CHECK_MAGIC at entry points catches a
 * pointer to something freed or of another kind. */
#define CHECK_MAGIC(object, expected)                                                              \
    INVARIANT((object) != NULL && (object)->magic == (expected), #object " is not a live object")

#endif
