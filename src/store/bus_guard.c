#include "store/bus_guard.h"

#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "io/child_contract.h"

static volatile uintptr_t guarded_start, guarded_end;
static const char *volatile says =
    "event=store-failed why=\"the disk cannot take or give a page of the store\" "
    "action=\"starting the relay anew\"";

/* The file has all its blocks from the start, but the disk may go away, a copy-on-write file system
 * needs new blocks for old pages, and somebody may cut the file. There is nothing to return to: the
 * change is half made, and its page is not there. The last commit is. */
static void on_bus_error(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)context;
    uintptr_t address = (uintptr_t)info->si_addr;
    if (info->si_code > 0 && address >= guarded_start && address < guarded_end) {
        log_signal(LOG_LEVEL_ERROR, says);
        _exit(EXIT_OS);
    }
    signal(SIGBUS, SIG_DFL);
    raise(SIGBUS); /* when this handler returns */
}

void bus_guard_say(const char *text)
{
    says = text;
}

void bus_guard_cover(const void *start, size_t len)
{
    struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};
    sigemptyset(&action.sa_mask);
    guarded_start = (uintptr_t)start;
    guarded_end = guarded_start + len;
    if (len > 0)
        sigaction(SIGBUS, &action, NULL);
}

/* By name, because some file systems show another device or inode in there. */
void *bus_guard_cover_file(const char *path)
{
    char name[PATH_MAX], line[PATH_MAX + 128];
    FILE *maps = realpath(path, name) ? fopen("/proc/self/maps", "re") : NULL;
    uintptr_t first = 0, last = 0;
    while (maps && fgets(line, sizeof line, maps)) {
        line[strcspn(line, "\n")] = '\0';
        const char *file = strchr(line, '/');
        if (!file || strcmp(file, name) != 0)
            continue;
        char *rest; /* "start-end …" */
        uintptr_t start = strtoul(line, &rest, 16);
        last = strtoul(rest + 1, NULL, 16);
        first = first == 0 ? start : first;
    }
    if (maps)
        fclose(maps);
    bus_guard_cover((const void *)first, last - first);
    return (void *)first;
}
