#include "master/listeners.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/invariant.h"
#include "master/listen_sockets.h"

static const char UNIX_PREFIX[] = "unix:";
static const char HTTP_PREFIX[] = "http://";

/* Only backends may speak to the backend API: same user or group. Clients come through a proxy of
 * whatever user, and present a session key. */
static const mode_t UNIX_MODES[] = {[LISTENER_CLIENT] = 0666, [LISTENER_BACKEND] = 0660};
static const char *const CONFIG_KEYS[] = {
    [LISTENER_CLIENT] = "server.clientHost.bind", [LISTENER_BACKEND] = "server.backendHost.bind"};

static int split_host_and_port(const char *endpoint, char **host, const char **port)
{
    const char *from = endpoint + strlen(HTTP_PREFIX);
    const char *colon = strrchr(from, ':');
    INVARIANT(strncmp(endpoint, HTTP_PREFIX, strlen(HTTP_PREFIX)) == 0 && colon,
              "an endpoint is not canonical");
    *port = colon + 1;
    if (*from == '[' && colon > from + 1 && colon[-1] == ']')
        *host = strndup(from + 1, (size_t)(colon - from) - 2);
    else
        *host = strndup(from, (size_t)(colon - from));
    return *host ? 0 : -1;
}

static uint16_t port_of(const struct tcp_address *address)
{
    const struct sockaddr_storage *storage = &address->storage;
    return ntohs(storage->ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)storage)->sin6_port
                                                : ((const struct sockaddr_in *)storage)->sin_port);
}

static int open_tcp_sockets(struct listeners *listeners, struct tcp_address *address, char *hint)
{
    for (size_t i = 0; i < listeners->slots; i++) {
        listeners->fds[i] =
            i == 0 ? listen_tcp_first(address, hint) : listen_tcp_further(address, hint);
        if (listeners->fds[i] < 0)
            return -1;
    }
    listeners->port = port_of(address);
    return 0;
}

static int open_tcp(struct listeners *listeners, const char *endpoint, char *hint)
{
    char *host;
    const char *port;
    struct tcp_address address;
    if (split_host_and_port(endpoint, &host, &port) != 0)
        return -1;
    int result = tcp_resolve(host, port, &address, hint);
    free(host);
    if (result != 0 || open_tcp_sockets(listeners, &address, hint) != 0)
        return -1;
    int prefix = (int)(port - endpoint);
    return asprintf(&listeners->name, "%.*s%u", prefix, endpoint, listeners->port) > 0 ? 0 : -1;
}

static int open_unix(struct listeners *listeners, const char *endpoint, char *hint)
{
    const char *path = endpoint + strlen(UNIX_PREFIX);
    struct stat st;
    listeners->fds[0] = listen_unix(path, UNIX_MODES[listeners->kind], hint);
    if (listeners->fds[0] < 0 || lstat(path, &st) != 0)
        return -1;
    listeners->device = st.st_dev;
    listeners->inode = st.st_ino;
    listeners->name = strdup(endpoint);
    return listeners->name ? 0 : -1;
}

/* Another server may have taken the path since. */
static void remove_socket_file(const struct listeners *listeners)
{
    const char *path = listeners->name + strlen(UNIX_PREFIX);
    struct stat st;
    if (lstat(path, &st) == 0 && st.st_dev == listeners->device && st.st_ino == listeners->inode)
        unlink(path);
}

static int fail(struct listeners *listeners, const char *endpoint, const char *hint, char *why)
{
    int error = errno;
    snprintf(why, LISTENERS_WHY_ROOM, "cannot listen on %s (%s): %s%s%s", endpoint,
             CONFIG_KEYS[listeners->kind], strerror(error), *hint ? "; " : "", hint);
    listeners_close(listeners);
    errno = error;
    return -1;
}

int listeners_open(struct listeners *listeners, enum listener_kind kind, const char *endpoint,
                   size_t slots, char why[LISTENERS_WHY_ROOM])
{
    char hint[LISTEN_HINT_ROOM] = "";
    INVARIANT(slots >= 1, "listeners without slots");
    bool is_unix = strncmp(endpoint, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0;
    *listeners = (struct listeners){.kind = kind, .shared = is_unix, .slots = slots};
    listeners->fds = malloc(slots * sizeof *listeners->fds);
    if (!listeners->fds)
        return fail(listeners, endpoint, hint, why);
    for (size_t i = 0; i < slots; i++)
        listeners->fds[i] = -1;
    int result =
        is_unix ? open_unix(listeners, endpoint, hint) : open_tcp(listeners, endpoint, hint);
    return result == 0 ? 0 : fail(listeners, endpoint, hint, why);
}

int listeners_fd(const struct listeners *listeners, size_t slot)
{
    INVARIANT(slot >= 1 && slot <= listeners->slots, "a slot without a listener");
    return listeners->fds[listeners->shared ? 0 : slot - 1];
}

void listeners_close(struct listeners *listeners)
{
    if (listeners->shared && listeners->name)
        remove_socket_file(listeners);
    for (size_t i = 0; listeners->fds && i < listeners->slots; i++)
        if (listeners->fds[i] >= 0) /* NOLINT(clang-analyzer-core.*): all slots are initialised */
            close(listeners->fds[i]);
    free(listeners->fds);
    free(listeners->name);
    *listeners = (struct listeners){0};
}
