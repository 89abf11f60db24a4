#include "master/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"

/* A leading '@' stands for the NUL that opens an abstract name. */
static socklen_t address_of(const char *name, struct sockaddr_un *address)
{
    size_t len = strlen(name);
    if ((name[0] != '/' && name[0] != '@') || len < 2 || len >= sizeof address->sun_path)
        return 0;
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(address->sun_path, name, len);
    if (name[0] == '@')
        address->sun_path[0] = '\0';
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

void notify_service_manager(const char *lines)
{
    const char *name = getenv("NOTIFY_SOCKET");
    if (!name || !*name)
        return;
    struct sockaddr_un address;
    socklen_t len = address_of(name, &address);
    int fd = len ? socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) : -1;
    if (fd < 0 ||
        sendto(fd, lines, strlen(lines), MSG_NOSIGNAL, (struct sockaddr *)&address, len) < 0)
        LOG_WARNING("notify-failed", "socket=%s error=\"%s\"", LOG_TEXT(slice_from_string(name)),
                    len ? strerror(errno) : "not a path and not an abstract name");
    if (fd >= 0)
        close(fd);
}
