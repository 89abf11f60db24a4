#include "master/versions.h"

#include <errno.h>
#include <ev.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <yaml.h>
#include <zookeeper/zookeeper_version.h>

#include "io/child_contract.h"
#include "master/libexec.h"

enum { ANSWER_LIMIT_SECONDS = 5 };

/* The worker writes to our stdout itself. An alarm outlives exec, and ends one that hangs. */
static void ask_worker(const char *program)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", libexec_directory(), program);
    if (access(path, X_OK) != 0) {
        printf("%s: not found at %s: %s\n", program, path, strerror(errno));
        return;
    }
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(ANSWER_LIMIT_SECONDS);
        execl(path, path, "-V", (char *)NULL);
        _exit(EXIT_OS);
    }
    int status = -1;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        printf("%s: does not tell its version\n", program);
}

void versions_print(void)
{
    printf("msgserverd %s\n", PACKAGE_VERSION);
    printf("  libev %d.%d\n", ev_version_major(), ev_version_minor());
    printf("  libyaml %s\n", yaml_get_version_string());
    printf("  ZooKeeper client %s\n", ZOO_VERSION);
    printf("  OpenSSL %s\n", OpenSSL_version(OPENSSL_VERSION_STRING));
    ask_worker("relay-worker");
    ask_worker("client-worker");
}
