#include "ctl/store_place.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/units.h"
#include "ctl/configured.h"
#include "io/child_contract.h"

static const char OWN_NAME[] = "store.mdb";
static const char NAME_IT[] = "where the store is; name its directory as PATH";

static int refuse(int status, const char *path, const char *why)
{
    fprintf(stderr, "msgserverctl: %s: %s\n", path, why);
    return status;
}

static int take_file(struct store_place *place, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    int len = slash == path ? 1 : (int)(name - path) - 1; /* without the slash, but for the root */
    struct store_directory *directory = &place->directory;
    if (strlen(path) >= sizeof directory->path)
        return refuse(EXIT_NO_INPUT, path, strerror(ENAMETOOLONG));
    snprintf(directory->path, sizeof directory->path, "%.*s", slash ? len : 1, slash ? path : ".");
    snprintf(directory->file, sizeof directory->file, "%s", path);
    directory->lock = -1;
    place->is_own = strcmp(name, OWN_NAME) == 0;
    return EXIT_OK;
}

static int take_directory(struct store_place *place, const char *path)
{
    place->is_own = true;
    if (store_directory_find(&place->directory, path) == 0)
        return EXIT_OK;
    fprintf(stderr, "msgserverctl: there is no usual place for a store: name its directory\n");
    return EXIT_NO_INPUT;
}

static int take_path(struct store_place *place, const char *path)
{
    struct stat state;
    if (stat(path, &state) != 0)
        return refuse(errno == ENOENT || errno == ENOTDIR ? EXIT_NO_INPUT : EXIT_OS, path,
                      strerror(errno));
    return S_ISDIR(state.st_mode) ? take_directory(place, path) : take_file(place, path);
}

static int take_configured(struct store_place *place, const struct ctl_options *options,
                           struct buffer *text)
{
    int status = configured_value(options, NAME_IT, "server.store.engine", text);
    if (status != EXIT_OK)
        return status;
    if (strcmp(buffer_bytes(text), "lmdb") != 0)
        return refuse(EXIT_NO_INPUT, "server.store.engine",
                      "the configured engine keeps nothing on the disk");
    buffer_truncate(text, 0);
    status = configured_value(options, NAME_IT, "server.store.size", text);
    if (status != EXIT_OK)
        return status;
    if (parse_size(slice_from_string(buffer_bytes(text)), &place->size) != 0)
        return refuse(EXIT_SOFTWARE, "server.store.size", "its value is not understood");
    buffer_truncate(text, 0);
    status = configured_value(options, NAME_IT, "server.store.path", text);
    if (status != EXIT_OK)
        return status;
    return take_directory(place, *buffer_bytes(text) ? buffer_bytes(text) : NULL);
}

int store_place_find(struct store_place *place, const struct ctl_options *options)
{
    struct buffer text = {0};
    *place = (struct store_place){0};
    int status = options->argument ? take_path(place, options->argument)
                                   : take_configured(place, options, &text);
    buffer_free(&text);
    return status;
}

int store_place_lock(struct store_place *place, bool shared)
{
    if (shared && !place->is_own)
        return EXIT_OK;
    if (store_directory_lock(&place->directory, shared) == 0)
        return EXIT_OK;
    if (errno == EWOULDBLOCK)
        return refuse(EXIT_IN_USE, place->directory.file,
                      "a running server is using this store: stop it first, or check a copy that "
                      "was made while it was stopped");
    if (shared && errno == ENOENT) /* no server has been here yet */
        return EXIT_OK;
    fprintf(stderr, "msgserverctl: %s/lock cannot be opened: %s\n", place->directory.path,
            strerror(errno));
    return errno == ENOENT || errno == ENOTDIR ? EXIT_NO_INPUT : EXIT_OS;
}

int store_place_unreadable(const struct store_place *place)
{
    const char *path = place->directory.file;
    if (errno == ENOENT || errno == ENOTDIR)
        return refuse(EXIT_NO_INPUT, path,
                      "there is no store; a server would begin with an empty one");
    if (errno == ENODATA)
        return refuse(EXIT_NO_INPUT, path, "it is empty; a server would begin with an empty store");
    return refuse(EXIT_OS, path, strerror(errno));
}
