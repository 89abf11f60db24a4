#include "master/discovery/host_resolver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/invariant.h"

enum { RESOLVER_MAGIC = 0x484f5354, ANSWER_MAX = 16 << 10, HOST_ROOM = 256 };

struct host_resolver {
    unsigned magic;
    struct ev_loop *loop;
    void (*on_resolved)(void *context, const char *addresses);
    void *context;
    int fd;
    struct buffer answer;
    ev_io readable;
    ev_timer limit;
};

/* One "host:port" of the list. The port is what follows the last colon. */
static bool split_host(const char *entry, size_t len, char host[HOST_ROOM], char port[8])
{
    size_t colon = len;
    while (colon > 0 && entry[colon - 1] != ':')
        colon--;
    if (colon < 2 || colon > HOST_ROOM || len - colon == 0 || len - colon > 5)
        return false;
    memcpy(host, entry, colon - 1);
    host[colon - 1] = '\0';
    memcpy(port, entry + colon, len - colon);
    port[len - colon] = '\0';
    return true;
}

bool hosts_are_addresses(const char *hosts)
{
    const char *end = hosts + strcspn(hosts, "/");
    for (const char *at = hosts; at < end;) {
        size_t len = strcspn(at, ",/");
        char host[HOST_ROOM], port[8];
        struct in6_addr address;
        if (!split_host(at, len, host, port) ||
            (inet_pton(AF_INET, host, &address) != 1 && inet_pton(AF_INET6, host, &address) != 1))
            return false;
        at += len + (at[len] == ',');
    }
    return end > hosts;
}

/* --- the process that looks names up ---------------------------------------------------------- */

static void print_addresses(FILE *out, const char *host, const char *port, bool *first)
{
    const struct addrinfo wanted = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    if (getaddrinfo(host, port, &wanted, &found) != 0)
        return;
    for (const struct addrinfo *at = found; at; at = at->ai_next) {
        char text[INET6_ADDRSTRLEN];
        if (getnameinfo(at->ai_addr, at->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST) !=
            0)
            continue;
        fprintf(out, "%s%s:%s", *first ? "" : ",", text, port);
        *first = false;
    }
    freeaddrinfo(found);
}

static void print_all(FILE *out, const char *hosts)
{
    const char *end = hosts + strcspn(hosts, "/");
    bool first = true;
    for (const char *at = hosts; at < end;) {
        size_t len = strcspn(at, ",/");
        char host[HOST_ROOM], port[8];
        if (split_host(at, len, host, port))
            print_addresses(out, host, port, &first);
        at += len + (at[len] == ',');
    }
    if (!first)
        fputs(end, out);
}

/* Everything of the master's is closed first: a listening socket, a control channel or its log that
 * lived on here would outlive the master. */
noreturn static void resolve_and_exit(int fd, const char *hosts)
{
    static const int SIGNALS[] = {SIGALRM, SIGINT, SIGPIPE, SIGTERM};
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (dup2(fd, STDOUT_FILENO) < 0 || dup2(null, STDERR_FILENO) < 0 ||
        close_range(STDERR_FILENO + 1, ~0u, 0) != 0)
        _exit(1);
    for (size_t i = 0; i < sizeof SIGNALS / sizeof *SIGNALS; i++)
        signal(SIGNALS[i], SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    alarm(RESOLVER_LIMIT_S);
    FILE *out = fdopen(STDOUT_FILENO, "w");
    if (out) {
        print_all(out, hosts);
        fflush(out);
    }
    _exit(0);
}

/* A child that is not ours for long: its parent exits at once and is reaped here, so the master's
 * own watching of children does not see it. */
static int spawn_resolver(int fd, const char *hosts)
{
    pid_t child = fork();
    if (child < 0)
        return -1;
    if (child == 0) {
        if (fork() == 0)
            resolve_and_exit(fd, hosts);
        _exit(0);
    }
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
        continue;
    return 0;
}

/* --- the loop's side -------------------------------------------------------------------------- */

void host_resolver_cancel(struct host_resolver *resolver)
{
    if (!resolver)
        return;
    CHECK_MAGIC(resolver, RESOLVER_MAGIC);
    ev_io_stop(resolver->loop, &resolver->readable);
    ev_timer_stop(resolver->loop, &resolver->limit);
    close(resolver->fd);
    buffer_free(&resolver->answer);
    resolver->magic = 0;
    free(resolver);
}

static void finish(struct host_resolver *resolver, bool found)
{
    char *addresses = NULL;
    if (found && buffer_len(&resolver->answer) > 0)
        addresses = strndup(buffer_bytes(&resolver->answer), buffer_len(&resolver->answer));
    void (*on_resolved)(void *, const char *) = resolver->on_resolved;
    void *context = resolver->context;
    host_resolver_cancel(resolver);
    on_resolved(context, addresses);
    free(addresses);
}

static void on_readable(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop, (void)events;
    struct host_resolver *resolver = io->data;
    CHECK_MAGIC(resolver, RESOLVER_MAGIC);
    char bytes[4096];
    ssize_t got = read(resolver->fd, bytes, sizeof bytes);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0)
        finish(resolver, got == 0);
    else if (buffer_len(&resolver->answer) + (size_t)got > ANSWER_MAX ||
             buffer_append(&resolver->answer, bytes, (size_t)got) != 0)
        finish(resolver, false);
}

static void on_limit(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)events;
    finish(timer->data, false);
}

struct host_resolver *host_resolver_start(struct ev_loop *loop, const char *hosts,
                                          void (*on_resolved)(void *context, const char *addresses),
                                          void *context)
{
    struct host_resolver *resolver = calloc(1, sizeof *resolver);
    int fds[2];
    if (!resolver)
        return NULL;
    if (pipe2(fds, O_CLOEXEC) != 0) {
        free(resolver);
        return NULL;
    }
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    resolver->magic = RESOLVER_MAGIC;
    resolver->loop = loop;
    resolver->on_resolved = on_resolved;
    resolver->context = context;
    resolver->fd = fds[0];
    ev_io_init(&resolver->readable, on_readable, resolver->fd, EV_READ);
    ev_timer_init(&resolver->limit, on_limit, RESOLVER_LIMIT_S, 0);
    resolver->readable.data = resolver->limit.data = resolver;
    int spawned = spawn_resolver(fds[1], hosts);
    close(fds[1]);
    if (spawned != 0) {
        host_resolver_cancel(resolver);
        return NULL;
    }
    ev_io_start(loop, &resolver->readable);
    ev_timer_start(loop, &resolver->limit);
    return resolver;
}
