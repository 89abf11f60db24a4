#include "master/capacity.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "base/units.h"
#include "io/descriptor_reserve.h"

enum { FILE_ROOM = 4096, MEBIBYTE = 1 << 20 };

static void bound(struct capacity *capacity, uint64_t limit, const char *name)
{
    if (limit >= capacity->connections)
        return;
    capacity->connections = limit;
    capacity->bound = name;
}

struct capacity capacity_of(const struct settings *settings, const struct machine_limits *machine)
{
    uint64_t workers = settings->workers, wanted = settings->limit_connections * workers;
    uint64_t files = descriptors_for_clients(descriptors_beside_reserve(machine->open_files));
    uint64_t in_memory = machine->memory / (CONNECTION_USER_BYTES + CONNECTION_KERNEL_BYTES);
    struct capacity capacity = {.connections = wanted, .bound = "server.limits.connections"};
    capacity.per_worker = settings->limit_connections < files ? settings->limit_connections : files;
    bound(&capacity, capacity.per_worker * workers, "open files");
    bound(&capacity, in_memory, "memory");
    bound(&capacity, settings->limit_sessions, "server.limits.sessions");
    if (capacity.per_worker < settings->limit_connections)
        capacity.hint =
            "raise LimitNOFILE (ulimit -n) or server.workers, or lower server.limits.connections";
    else if (in_memory < wanted)
        capacity.hint = "add memory, or lower server.limits.connections or server.workers";
    return capacity;
}

/* The file as a string; empty when it cannot be read. */
static void read_file(const char *path, char text[FILE_ROOM])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, text, FILE_ROOM - 1);
    if (fd >= 0)
        close(fd);
    text[len > 0 ? len : 0] = '\0';
}

/* The number behind `name`; UINT64_MAX when there is none ("max" in a control group's file). */
static uint64_t number_after(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    uint64_t number;
    if (!at)
        return UINT64_MAX;
    at += strlen(name);
    at += strspn(at, " ");
    return parse_u64(slice_of(at, strspn(at, "0123456789")), &number) == 0 ? number : UINT64_MAX;
}

static uint64_t free_in_machine(void)
{
    char text[FILE_ROOM];
    read_file("/proc/meminfo", text);
    uint64_t kibibytes = number_after(text, "MemAvailable:");
    return kibibytes < UINT64_MAX / 1024 ? kibibytes * 1024 : UINT64_MAX;
}

static uint64_t group_value(const char *group, const char *name)
{
    char path[FILE_ROOM + 64], text[FILE_ROOM];
    snprintf(path, sizeof path, "/sys/fs/cgroup%s/%s", group, name);
    read_file(path, text);
    return number_after(text, "");
}

/* In a container or under MemoryMax=, of control groups' version 2. */
static uint64_t free_in_group(void)
{
    char text[FILE_ROOM];
    read_file("/proc/self/cgroup", text);
    char *group = strstr(text, "0::");
    if (!group)
        return UINT64_MAX;
    group += strlen("0::");
    group[strcspn(group, "\n")] = '\0';
    uint64_t limit = group_value(group, "memory.max");
    uint64_t used = group_value(group, "memory.current");
    if (limit == UINT64_MAX || used == UINT64_MAX)
        return UINT64_MAX;
    return limit > used ? limit - used : 0;
}

static struct machine_limits ask_machine(void)
{
    struct rlimit files = {.rlim_max = RLIM_INFINITY};
    getrlimit(RLIMIT_NOFILE, &files);
    uint64_t machine = free_in_machine(), group = free_in_group();
    return (struct machine_limits){.open_files = files.rlim_max,
                                   .memory = machine < group ? machine : group};
}

void capacity_report(const struct settings *settings)
{
    struct machine_limits machine = ask_machine();
    struct capacity capacity = capacity_of(settings, &machine);
    char memory[32] = "unknown";
    if (machine.memory != UINT64_MAX)
        snprintf(memory, sizeof memory, "%" PRIu64 "MiB", machine.memory / MEBIBYTE);
    if (capacity.hint)
        LOG_WARNING("capacity",
                    "connections=%" PRIu64 " bound=\"%s\" workers=%" PRIu64
                    " connections_per_worker=%" PRIu64 " wanted_per_worker=%" PRIu64
                    " open_files=%" PRIu64 " memory_available=%s hint=\"%s\"",
                    capacity.connections, capacity.bound, settings->workers, capacity.per_worker,
                    settings->limit_connections, machine.open_files, memory, capacity.hint);
    else
        LOG_NOTICE("capacity",
                   "connections=%" PRIu64 " bound=\"%s\" workers=%" PRIu64
                   " connections_per_worker=%" PRIu64 " open_files=%" PRIu64 " memory_available=%s",
                   capacity.connections, capacity.bound, settings->workers, capacity.per_worker,
                   machine.open_files, memory);
}
