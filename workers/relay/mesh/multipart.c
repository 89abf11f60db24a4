#include "workers/relay/mesh/multipart.h"

#include <errno.h>
#include <stdlib.h>

#include "workers/relay/mesh/zmq_watcher.h"

enum { FIRST_CAPACITY = 16, KEPT_CAPACITY = 1024 };

/* A zmq_msg_t must not be moved as bytes, so realloc() will not do. */
static int grow(struct multipart *m)
{
    size_t capacity = m->capacity ? 2 * m->capacity : FIRST_CAPACITY;
    zmq_msg_t *frames = malloc(capacity * sizeof *frames);
    struct slice *slices = malloc(capacity * sizeof *slices);
    if (!frames || !slices) {
        free(frames);
        free(slices);
        return -1;
    }
    for (size_t i = 0; i < m->ready; i++) {
        zmq_msg_init(&frames[i]);
        zmq_msg_move(&frames[i], &m->frames[i]);
        zmq_msg_close(&m->frames[i]);
    }
    free(m->frames);
    free(m->slices);
    m->slices = slices;
    m->frames = frames;
    m->capacity = capacity;
    return 0;
}

/* The next frame, to be filled; NULL with errno ENOMEM. */
static zmq_msg_t *next_frame(struct multipart *m)
{
    if (m->count == m->capacity && grow(m) != 0)
        return NULL;
    zmq_msg_t *frame = &m->frames[m->count];
    if (m->count == m->ready) {
        zmq_msg_init(frame);
        m->ready++;
    }
    return frame;
}

static int add_frame(struct multipart *m, struct slice frame)
{
    zmq_msg_t *next = next_frame(m);
    if (!next || zmq_msg_init_size(next, frame.len) != 0)
        return -1;
    if (frame.len > 0)
        memcpy(zmq_msg_data(next), frame.data, frame.len);
    m->count++;
    m->bytes += frame.len;
    return 0;
}

static int add_emitted(void *context, struct slice frame, bool more)
{
    (void)more;
    return add_frame(context, frame);
}

struct multipart *multipart_from_envelope(const struct envelope *envelope)
{
    struct multipart *m = calloc(1, sizeof *m);
    if (m && envelope_emit(envelope, 0, add_emitted, m) != 0) {
        multipart_free(m);
        m = NULL;
    }
    if (!m)
        errno = ENOMEM;
    return m;
}

static int share_frame(struct multipart *m, const struct multipart *original, size_t i)
{
    zmq_msg_t *next = next_frame(m);
    /* zmq_msg_copy() counts a reference in the source, which is not const for that alone. */
    if (!next || zmq_msg_copy(next, &original->frames[i]) != 0)
        return -1;
    m->count++;
    m->bytes += zmq_msg_size(&original->frames[i]);
    return 0;
}

struct multipart *multipart_readdressed(const struct multipart *original, struct slice first)
{
    struct multipart *m = calloc(1, sizeof *m);
    bool failed = !m || add_frame(m, first) != 0;
    for (size_t i = 1; !failed && i < original->count; i++)
        failed = share_frame(m, original, i) != 0;
    if (failed) {
        multipart_free(m);
        errno = ENOMEM;
        return NULL;
    }
    return m;
}

struct multipart *multipart_new_pack(struct buffer *spare)
{
    struct multipart *m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    m->pack = *spare;
    *spare = (struct buffer){0};
    buffer_clear(&m->pack);
    return m;
}

int multipart_seal(struct multipart *m, struct slice to, struct buffer *spare)
{
    if (m->packed == 0 || m->count > 0)
        return 0;
    struct slice pack = buffer_slice(&m->pack);
    struct envelope envelope = {.route = {to},
                                .route_len = 1,
                                .messages = &pack,
                                .message_count = 1,
                                .type = ENVELOPE_PACK};
    size_t bytes = m->bytes;
    int result = envelope_emit(&envelope, 0, add_emitted, m);
    if (result != 0)
        multipart_clear(m);
    m->bytes = bytes; /* what its outbox counted */
    if (result != 0)
        return -1;
    buffer_free(spare);
    *spare = m->pack;
    m->pack = (struct buffer){0};
    return 0;
}

struct slice multipart_pack_bytes(const struct multipart *m)
{
    enum { PACK_FRAME = 2 }; /* to | <> | pack | … */
    if (m->count == 0)
        return buffer_slice(&m->pack);
    zmq_msg_t *frame = &m->frames[PACK_FRAME];
    return slice_of(zmq_msg_data(frame), zmq_msg_size(frame));
}

int multipart_readdress(struct multipart *m, struct slice first)
{
    zmq_msg_t frame;
    if (zmq_msg_init_size(&frame, first.len) != 0)
        return -1;
    memcpy(zmq_msg_data(&frame), first.data, first.len);
    return zmq_msg_move(&m->frames[0], &frame);
}

void multipart_clear(struct multipart *m)
{
    for (size_t i = 0; i < m->ready; i++)
        zmq_msg_close(&m->frames[i]);
    m->count = m->ready = 0;
    m->bytes = 0;
    m->overlong = false;
    if (m->capacity > KEPT_CAPACITY) {
        free(m->frames);
        free(m->slices);
        m->frames = NULL;
        m->slices = NULL;
        m->capacity = 0;
    }
}

void multipart_free(struct multipart *m)
{
    if (!m)
        return;
    multipart_clear(m);
    buffer_free(&m->pack);
    free(m->frames);
    free(m->slices);
    free(m);
}

static int receive_frame(zmq_msg_t *frame, void *socket)
{
    int rc;
    do
        rc = zmq_msg_recv(frame, socket, ZMQ_DONTWAIT);
    while (rc < 0 && errno == EINTR);
    return rc;
}

/* A multipart that is not kept must still be read to its end, or its rest would pass for the next
 * message. */
static int throw_rest_away(void *socket, bool more)
{
    while (more) {
        zmq_msg_t frame;
        zmq_msg_init(&frame);
        int rc = receive_frame(&frame, socket);
        more = rc >= 0 && zmq_msg_more(&frame);
        zmq_msg_close(&frame);
        if (rc < 0)
            return -1;
    }
    return 0;
}

static int receive_whole(struct multipart *in, void *socket)
{
    for (bool more = true; more;) {
        if (in->count == ENVELOPE_FRAMES_MAX + 1) { /* + 1: the ROUTER's first frame */
            in->overlong = true;
            return throw_rest_away(socket, more) == 0 ? 1 : -1;
        }
        zmq_msg_t *frame = next_frame(in);
        if (!frame) {
            throw_rest_away(socket, true);
            errno = ENOMEM;
            return -1;
        }
        if (receive_frame(frame, socket) < 0)
            return errno == EAGAIN ? 0 : -1;
        in->count++;
        more = zmq_msg_more(frame);
    }
    return 1;
}

void multipart_view(struct multipart *m)
{
    for (size_t i = 0; i < m->count; i++)
        m->slices[i] = slice_of(zmq_msg_data(&m->frames[i]), zmq_msg_size(&m->frames[i]));
}

/* zmq_msg_recv() closes what is in the frame that it is given, so nothing else needs to. */
int multipart_receive(struct multipart *in, void *socket)
{
    in->count = in->bytes = 0;
    in->overlong = false;
    int rc = receive_whole(in, socket);
    if (rc != 1)
        return rc;
    multipart_view(in);
    for (size_t i = 0; i < in->count; i++)
        in->bytes += in->slices[i].len;
    return 1;
}

static int send_frame(zmq_msg_t *frame, void *socket, bool more)
{
    int rc;
    do
        rc = zmq_msg_send(frame, socket, ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0));
    while (rc < 0 && errno == EINTR);
    return rc;
}

enum multipart_sent multipart_send(struct multipart *m, void *socket)
{
    bool broken = false;
    zmq_watcher_used(socket);
    for (size_t i = 0; i < m->count; i++) {
        if (send_frame(&m->frames[i], socket, i + 1 < m->count) >= 0)
            continue;
        if (i == 0)
            return errno == EAGAIN ? MULTIPART_BLOCKED : MULTIPART_UNREACHABLE;
        /* The connection ended: libzmq took the earlier frames back, and swallows the rest of the
         * message, which it must be given (zmq lb_t). */
        broken = true;
    }
    return broken ? MULTIPART_BROKEN : MULTIPART_SENT;
}
