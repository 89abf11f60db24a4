#include "master/config/backend_host.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "master/config/apply.h"
#include "master/config/read_file.h"

enum { TOKEN_MAX = 4096 };

int config_runtime_directory(char out[RUNTIME_DIRECTORY_ROOM])
{
    const char *systemd = getenv("RUNTIME_DIRECTORY");
    const char *user = getenv("XDG_RUNTIME_DIR");
    int len;
    if (systemd && *systemd) /* several are joined by colons; the first is ours */
        len = snprintf(out, RUNTIME_DIRECTORY_ROOM, "%.*s", (int)strcspn(systemd, ":"), systemd);
    else if (geteuid() == 0 || access("/run/msgserver", W_OK) == 0)
        len = snprintf(out, RUNTIME_DIRECTORY_ROOM, "/run/msgserver");
    else if (user && *user)
        len = snprintf(out, RUNTIME_DIRECTORY_ROOM, "%s/msgserver", user);
    else
        len = snprintf(out, RUNTIME_DIRECTORY_ROOM, "/tmp/msgserver-%u", (unsigned)geteuid());
    if (len < RUNTIME_DIRECTORY_ROOM)
        return 0;
    errno = ENAMETOOLONG;
    return -1;
}

/* The client port, or the base name of the client's Unix socket without ".sock". */
static struct slice instance_name(const char *client_bind)
{
    const char *slash = strrchr(client_bind, '/');
    if (strncmp(client_bind, "unix:", 5) != 0)
        return slice_from_string(strrchr(client_bind, ':') + 1);
    struct slice name = slice_from_string(slash + 1);
    if (name.len > 5 && strcmp(name.data + name.len - 5, ".sock") == 0)
        name.len -= 5;
    return name;
}

int backend_host_default_bind(struct settings *settings)
{
    char directory[RUNTIME_DIRECTORY_ROOM];
    if (settings->backend_bind)
        return 0;
    if (config_runtime_directory(directory) != 0)
        return -1;
    struct buffer bind = {0};
    struct slice name = instance_name(settings->client_bind);
    int result =
        buffer_printf(&bind, "unix:%s/backend-%.*s.sock", directory, (int)name.len, name.data);
    if (result == 0 && buffer_len(&bind) >= 5 + sizeof((struct sockaddr_un){0}.sun_path)) {
        errno = ENAMETOOLONG;
        result = -1;
    }
    if (result == 0)
        result =
            setting_set(settings, setting_row_find("server.backendHost.bind"), buffer_slice(&bind));
    int error = errno;
    buffer_free(&bind);
    errno = error;
    return result;
}

/* The bearer token goes into a header field: visible ASCII only (RFC 6750, 2.1). */
static const char *token_mistake(struct slice token)
{
    if (!token.data || token.len == 0)
        return "the token file is empty; accepted: one line with the token";
    for (size_t i = 0; i < token.len; i++)
        if (token.data[i] <= 0x20 || token.data[i] > 0x7e)
            return "the token has blanks or characters beyond ASCII; accepted: one line of "
                   "visible ASCII";
    return NULL;
}

static bool is_line_end(char byte)
{
    return byte == '\n' || byte == '\r';
}

static int take_token(struct slice token, struct mark mark, struct settings *settings,
                      struct diagnostics *diagnostics)
{
    while (token.data && token.len > 0 && is_line_end(token.data[token.len - 1]))
        token.len--;
    const char *mistake = token_mistake(token);
    if (!mistake)
        return setting_set(settings, setting_row_find("derived.backendToken"), token);
    diagnostics_add(diagnostics, DIAGNOSTIC_ERROR, mark, "%s (%.256s)", mistake,
                    settings->backend_token_file);
    return 0;
}

int backend_host_read_token(const struct yaml_node *top, const char *directory,
                            struct settings *settings, struct diagnostics *diagnostics)
{
    const struct yaml_node *node = yaml_at(top, "server.backendHost.tokenFile");
    struct buffer token = {0};
    mode_t mode = 0;
    if (!settings->backend_token_file || !node)
        return 0;
    if (config_make_path_whole("server.backendHost.tokenFile", directory, settings) != 0)
        return -1;
    const char *path = settings->backend_token_file;
    int result = 0;
    if (read_file(path, TOKEN_MAX, &token, &mode) != 0)
        diagnostics_add(diagnostics, DIAGNOSTIC_ERROR, node->mark,
                        "the token file %.256s cannot be read: %s; accepted: a file of up to 4096 "
                        "bytes that holds the token",
                        path, strerror(errno));
    else
        result = take_token(buffer_slice(&token), node->mark, settings, diagnostics);
    if (mode & S_IROTH)
        diagnostics_add(diagnostics, DIAGNOSTIC_WARNING, node->mark,
                        "every user can read the token file %.256s; better: chmod o-r", path);
    buffer_free(&token);
    return result;
}
