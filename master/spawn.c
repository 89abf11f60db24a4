#include "master/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "codecs/control_frames.h"
#include "io/child_contract.h"

/* Every signal as after a fresh login, but for those of which the master decides: ignored from the
 * first instruction on, so that a signal to the whole process tree finds no unprotected moment. */
static void reset_signals(void)
{
    static const int IGNORED[] = {SIGTERM, SIGINT, SIGHUP};
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    for (size_t i = 0; i < sizeof IGNORED / sizeof *IGNORED; i++)
        signal(IGNORED[i], SIG_IGN);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static int arrange_descriptors(int control)
{
    int null = open("/dev/null", O_RDWR);
    if (null < 0 || dup2(null, 0) < 0 || dup2(2, 1) < 0)
        return -1;
    /* dup2() onto itself would leave close-on-exec set. */
    if (control == CHILD_CONTROL_FD) {
        if (fcntl(control, F_SETFD, 0) != 0)
            return -1;
    } else if (dup2(control, CHILD_CONTROL_FD) < 0) {
        return -1;
    }
    return close_range(CHILD_CONTROL_FD + 1, ~0u, 0);
}

static void report_failure(const char *path, int control, int error)
{
    char why[512];
    struct buffer out = {0};
    snprintf(why, sizeof why, "cannot execute %s: %s%s", path, strerror(error),
             error == ENOENT ? "; install it, or name its directory in MSGSERVER_LIBEXECDIR" : "");
    struct frame_failed failed = {.why = slice_from_string(why)};
    if (put_failed(&out, &failed) == 0)
        send(control, buffer_bytes(&out), buffer_len(&out), MSG_NOSIGNAL);
    buffer_free(&out);
}

pid_t spawn_child(const char *path, int control)
{
    sigset_t every, saved;
    sigfillset(&every);
    sigprocmask(SIG_SETMASK, &every, &saved);
    pid_t pid = fork();
    if (pid != 0) {
        int error = errno;
        sigprocmask(SIG_SETMASK, &saved, NULL);
        errno = error;
        return pid;
    }
    reset_signals();
    if (arrange_descriptors(control) == 0) {
        control = CHILD_CONTROL_FD;
        execl(path, path, (char *)NULL);
    }
    report_failure(path, control, errno);
    _exit(EXIT_OS);
}
