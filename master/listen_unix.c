#include "master/listen_sockets.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "master/listeners.h"

static int fail(int error, char hint[LISTEN_HINT_ROOM], const char *text)
{
    snprintf(hint, LISTEN_HINT_ROOM, "%s", text);
    errno = error;
    return -1;
}

/* Below a directory where anybody may make another, like /tmp: one that is there already may be a
 * trap, in which another user would listen in our place. */
static bool is_anothers(const char *directory, bool open_to_all)
{
    struct stat st;
    if (!open_to_all || lstat(directory, &st) != 0)
        return false;
    bool anybody_may_replace = (st.st_mode & S_IWOTH) && !(st.st_mode & S_ISVTX);
    return !S_ISDIR(st.st_mode) || (st.st_uid != geteuid() && st.st_uid != 0) ||
           anybody_may_replace;
}

static bool is_open_to_all(const char *directory)
{
    struct stat st;
    return stat(directory, &st) == 0 && (st.st_mode & S_IWOTH);
}

static int make_directories_above(const char *path, char hint[LISTEN_HINT_ROOM])
{
    char directory[sizeof((struct sockaddr_un *)0)->sun_path];
    bool open_to_all = false;
    snprintf(directory, sizeof directory, "%s", path);
    for (char *slash = strchr(directory + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(directory, 0755) != 0 && errno != EEXIST)
            return fail(errno, hint,
                        "its directory cannot be made: make it, owned by the user "
                        "that runs msgserverd, or choose another path");
        if (is_anothers(directory, open_to_all))
            return fail(EACCES, hint,
                        "its directory, in one that is open to all, is not ours alone: choose "
                        "another path");
        open_to_all = is_open_to_all(directory);
        *slash = '/';
    }
    return 0;
}

/* A killed server leaves its socket file behind. Only a file that refuses connections is removed:
 * anything else there is somebody's. */
static int remove_stale(const struct sockaddr_un *address, char hint[LISTEN_HINT_ROOM])
{
    struct stat st;
    if (lstat(address->sun_path, &st) != 0)
        return errno == ENOENT ? 0 : fail(errno, hint, "");
    if (!S_ISSOCK(st.st_mode))
        return fail(EEXIST, hint,
                    "what is there is not a socket: remove it, or choose another "
                    "path");
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (probe < 0)
        return -1;
    int refused =
        connect(probe, (const struct sockaddr *)address, sizeof *address) != 0 ? errno : 0;
    close(probe);
    if (refused == ECONNREFUSED)
        return unlink(address->sun_path) == 0 || errno == ENOENT ? 0 : fail(errno, hint, "");
    if (refused == ENOENT)
        return 0;
    if (refused == EACCES)
        return fail(EACCES, hint, "the socket there belongs to another user: choose another path");
    return fail(EADDRINUSE, hint,
                "another program or another msgserver listens there: stop it, or choose another "
                "path");
}

/* The mode is set by the umask: with chmod() there would be a moment in which anybody connects. */
static int bind_with_mode(int fd, const struct sockaddr_un *address, mode_t mode)
{
    mode_t saved = umask(0777 & ~mode);
    int bound = bind(fd, (const struct sockaddr *)address, sizeof *address);
    int error = errno;
    umask(saved);
    errno = error;
    return bound;
}

int listen_unix(const char *path, mode_t mode, char hint[LISTEN_HINT_ROOM])
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return fail(ENAMETOOLONG, hint, "a socket's path has at most 107 bytes");
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (make_directories_above(path, hint) != 0 || remove_stale(&address, hint) != 0)
        return -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && bind_with_mode(fd, &address, mode) == 0 && listen(fd, LISTEN_BACKLOG) == 0)
        return fd;
    int error = errno;
    if (fd >= 0)
        close(fd);
    return fail(error, hint,
                error == EACCES || error == EROFS ? "its directory cannot be written to: choose "
                                                    "another path"
                                                  : "");
}
