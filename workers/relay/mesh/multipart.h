/* The frames of one multipart message as ZeroMQ holds them: received, waiting or about to be sent.
 * Frames are moved with zmq_msg_*, so that a body is copied once at most. */
#ifndef MSGSERVER_RELAY_MESH_MULTIPART_H
#define MSGSERVER_RELAY_MESH_MULTIPART_H

#include <stdbool.h>
#include <zmq.h>

#include "codecs/envelope.h"

/* All-zero is a valid empty multipart that holds no memory. */
struct multipart {
    struct multipart *prev, *next; /* in an outbox (utlist) */
    zmq_msg_t *frames;
    struct slice *slices; /* views of the frames: of what came, and after multipart_view() */
    size_t count;
    size_t ready; /* frames that are initialised: those behind `count` are of an earlier message */
    size_t capacity;
    size_t bytes;       /* of all frames */
    size_t packed;      /* envelopes in a pack; 0: it is none, but one envelope */
    struct buffer pack; /* until it is sealed: then it is the frames */
    bool retried;       /* a socket did not take it at once */
    bool overlong;      /* more than ENVELOPE_FRAMES_MAX came: the rest was thrown away */
};

struct multipart *multipart_from_envelope(const struct envelope *envelope);
/* The same frames with another first one; bodies are shared, not copied. */
struct multipart *multipart_readdressed(const struct multipart *original, struct slice first);
/* Both return NULL with errno ENOMEM. */
/* Puts `first` in the place of the first frame; `bytes` stays what its outbox counted. Returns 0,
 * or -1 with errno ENOMEM. */
int multipart_readdress(struct multipart *multipart, struct slice first);

/* An empty pack (codecs/envelope_pack.h), which takes the memory of `spare`. NULL with errno
 * ENOMEM. */
struct multipart *multipart_new_pack(struct buffer *spare);
/* Makes the frames of a pack for the peer `to`, and gives its memory back to `spare`; nothing to do
 * for what has frames. Returns 0, or -1 with errno ENOMEM. */
int multipart_seal(struct multipart *multipart, struct slice to, struct buffer *spare);
/* What was packed, sealed or not. */
struct slice multipart_pack_bytes(const struct multipart *multipart);
static inline size_t multipart_envelopes(const struct multipart *multipart)
{
    return multipart->packed > 0 ? multipart->packed : 1;
}

/* Closes the frames, all of them; memory of a usual size is kept for the next message. */
void multipart_clear(struct multipart *multipart);
/* What multipart_from_envelope() or multipart_readdressed() made; NULL is accepted. */
void multipart_free(struct multipart *multipart);

/* Reads one whole message into `in`, in place of what is there, and fills `slices`. Returns 1, or 0
 * when none waits, or -1 with errno (ENOMEM: the message was thrown away). Never blocks. Outside of
 * the socket's on_ready(), zmq_watcher_used() must be told. */
int multipart_receive(struct multipart *in, void *socket);

/* Fills `slices`. */
void multipart_view(struct multipart *multipart);

enum multipart_sent {
    MULTIPART_SENT,        /* the frames are empty now */
    MULTIPART_BLOCKED,     /* at the high-water mark, or not connected; nothing happened */
    MULTIPART_UNREACHABLE, /* the ROUTER has no such connection; nothing happened */
    MULTIPART_BROKEN       /* the connection ended between two frames; the message is lost */
};
/* Never blocks. */
enum multipart_sent multipart_send(struct multipart *multipart, void *socket);

#endif
