/* The keys with which hosts know each other when the mesh is encrypted. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codecs/curve_key.h"
#include "ctl/commands.h"
#include "io/child_contract.h"

enum { KEY_FILE_MAX = 256 };

static int refuse(int status, const char *path, const char *why)
{
    fprintf(stderr, "msgserverctl: %s: %s\n", path, why);
    return status;
}

/* Returns 0, or -1 with errno. */
static int write_whole(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t written = write(fd, text, len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -1;
        text += written;
        len -= (size_t)written;
    }
    return fsync(fd);
}

static int write_key(const char *path, const char *secret_key)
{
    char line[CURVE_KEY_ROOM + 1];
    int len = snprintf(line, sizeof line, "%s\n", secret_key);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (fd < 0 && errno == EEXIST)
        return refuse(EXIT_OS, path, "it is there already, and stays as it is; name a new file");
    if (fd < 0)
        return refuse(EXIT_OS, path, strerror(errno));
    int written = write_whole(fd, line, (size_t)len);
    int error = errno;
    explicit_bzero(line, sizeof line);
    if (close(fd) != 0 && written == 0) {
        error = errno;
        written = -1;
    }
    if (written == 0)
        return EXIT_OK;
    unlink(path);
    return refuse(EXIT_OS, path, strerror(error));
}

int mesh_keygen_command(const char *path)
{
    char secret_key[CURVE_KEY_ROOM], public_key[CURVE_KEY_ROOM];
    if (curve_pair_make(secret_key, public_key) != 0)
        return refuse(EXIT_OS, path, "no key can be made: the system gives no random bytes");
    int status = write_key(path, secret_key);
    explicit_bzero(secret_key, sizeof secret_key);
    if (status == EXIT_OK)
        printf("%s\n", public_key);
    return status;
}

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

/* Returns the length of what is there, without line ends; or -1 with errno. */
static ssize_t read_key(const char *path, char text[KEY_FILE_MAX], mode_t *mode)
{
    struct stat state;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -1;
    ssize_t len = fstat(fd, &state) == 0 ? read(fd, text, KEY_FILE_MAX) : -1;
    int error = errno;
    close(fd);
    errno = error;
    *mode = len < 0 ? 0 : state.st_mode;
    while (len > 0 && is_blank(text[len - 1]))
        len--;
    return len;
}

int mesh_public_key_command(const char *path)
{
    char text[KEY_FILE_MAX], public_key[CURVE_KEY_ROOM];
    mode_t mode;
    ssize_t len = read_key(path, text, &mode);
    if (len < 0)
        return refuse(errno == ENOENT ? EXIT_NO_INPUT : EXIT_OS, path, strerror(errno));
    int derived = curve_pair_public(slice_of(text, (size_t)len), public_key);
    explicit_bzero(text, sizeof text);
    if (derived != 0)
        return refuse(EXIT_DAMAGED, path,
                      "it holds no secret key; msgserverctl mesh keygen makes one");
    if (mode & (S_IRWXG | S_IRWXO))
        refuse(EXIT_OK, path,
               "it is open to others than its owner, which msgserverd refuses: chmod 600");
    printf("%s\n", public_key);
    return EXIT_OK;
}
