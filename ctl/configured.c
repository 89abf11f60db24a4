#include "ctl/configured.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/child_contract.h"

/* Beside this program, as after a build; else where it is installed. */
static void find_server(char path[PATH_MAX])
{
    static const char NAME[] = "/msgserverd";
    ssize_t len = readlink("/proc/self/exe", path, PATH_MAX - sizeof NAME);
    path[len > 0 ? len : 0] = '\0';
    char *slash = strrchr(path, '/');
    if (slash)
        memcpy(slash, NAME, sizeof NAME);
    if (!slash || access(path, X_OK) != 0)
        snprintf(path, PATH_MAX, "%s%s", SBINDIR, NAME);
}

static void become_server(const struct ctl_options *options, const char *key, int output)
{
    char path[PATH_MAX];
    const char *arguments[8] = {"msgserverd", "--setting", key};
    size_t count = 3;
    if (options->config_directory) {
        arguments[count++] = "--config-dir";
        arguments[count++] = options->config_directory;
    }
    if (options->environments) {
        arguments[count++] = "--environment";
        arguments[count++] = options->environments;
    }
    find_server(path);
    if (dup2(output, STDOUT_FILENO) == STDOUT_FILENO)
        execv(path, (char *const *)arguments);
    fprintf(stderr, "msgserverctl: %s cannot be started: %s\n", path, strerror(errno));
    _exit(EXIT_OS);
}

/* Until the other end is closed. Returns 0, or -1 with errno. */
static int read_all(int fd, struct buffer *value)
{
    for (;;) {
        char *room = buffer_reserve(value, PATH_MAX);
        ssize_t len = room ? read(fd, room, PATH_MAX) : -1;
        if (len < 0 && room && errno == EINTR)
            continue;
        if (len <= 0)
            return (int)len;
        buffer_added(value, (size_t)len);
    }
}

static int wait_for(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return EXIT_OS;
    return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_OS;
}

static int failed(void)
{
    fprintf(stderr, "msgserverctl: msgserverd cannot be asked for its configuration: %s\n",
            strerror(errno));
    return EXIT_OS;
}

int configured_value(const struct ctl_options *options, const char *what, const char *key,
                     struct buffer *value)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return failed();
    pid_t pid = fork();
    if (pid == 0)
        become_server(options, key, ends[1]);
    close(ends[1]);
    int taken = pid < 0 ? -1 : read_all(ends[0], value);
    int error = errno;
    close(ends[0]);
    int status = pid < 0 ? EXIT_OK : wait_for(pid);
    errno = error;
    if (status != EXIT_OK) {
        fprintf(stderr, "msgserverctl: the configuration does not tell %s\n", what);
        return status;
    }
    if (taken != 0)
        return failed();
    if (buffer_len(value) > 0) /* the line's end */
        buffer_truncate(value, buffer_len(value) - 1);
    return buffer_append(value, "", 1) == 0 ? EXIT_OK : failed();
}
