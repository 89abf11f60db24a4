/* Where the crash-safe store lies: its directory, the lock on it, its one file. */
#ifndef MSGSERVER_STORE_DIRECTORY_H
#define MSGSERVER_STORE_DIRECTORY_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct settings;

struct store_directory {
    char path[PATH_MAX - 64];
    char file[PATH_MAX];
    int lock; /* descriptor; the lock ends with the process */
};

/* Finds server.store.path (NULL: not set), or: store in $STATE_DIRECTORY or $MESOS_SANDBOX;
 * /var/lib/msgserver/store as root; store in $XDG_STATE_HOME/msgserver or ~/.local/state/msgserver.
 * Touches nothing. Returns 0, or -1 when there is no such place. */
int store_directory_find(struct store_directory *directory, const char *path);

/* Takes the lock, alone or `shared` with others who only read; a process that is just ending is
 * waited for. Returns 0, or -1 with errno: EWOULDBLOCK when another process has it, ENOENT when
 * there is no lock to share. */
int store_directory_lock(struct store_directory *directory, bool shared);

/* Finds the directory, makes it (mode 0700) and locks it; what msgserverctl left in there when it
 * was killed goes. Returns 0, or -1 with `why` filled. */
int store_directory_open(struct store_directory *directory, const struct settings *settings,
                         char *why, size_t why_room);
void store_directory_close(struct store_directory *directory);

/* The file that a compaction writes before it takes the place of the store's. */
void store_compacting_path(const struct store_directory *directory, char path[PATH_MAX]);

/* Renames the file to store.<label>-<UTC time>, gives back the disk's room that it never used, and
 * logs that. Returns 0, or -1 with `why` filled.
 */
int store_set_aside(const struct store_directory *directory, const char *label, const char *reason,
                    char *why, size_t why_room);

/* Makes what was renamed in there last. Returns 0, or an errno. */
int store_directory_sync(const struct store_directory *directory);

/* Writes into `why` that the file cannot have its `bytes`, by the errno of who tried. */
void store_tell_no_room(const struct store_directory *directory, uint64_t bytes, int error,
                        char *why, size_t why_room);

/* Takes the disk's room for the first `bytes` of the file, which must exist; with `sync`, also the
 * file's name and what it has are on the disk then. Returns 0, or -1 with `why` filled. */
int store_allocate(const struct store_directory *directory, uint64_t bytes, bool sync, char *why,
                   size_t why_room);

#endif
