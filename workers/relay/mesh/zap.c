#include "workers/relay/mesh/zap.h"

#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "codecs/z85.h"
#include "workers/relay/mesh/multipart.h"
#include "workers/relay/mesh/sockets.h"
#include "workers/relay/mesh/zmq_watcher.h"

enum {
    ANSWERS_PER_ROUND = 16, /* a flood of strangers must not keep the loop from its work */
    LOG_INTERVAL_MS = 60000
};

/* Of a request, after the sender's identity and the delimiter. */
enum request_frame {
    REQUEST_VERSION,
    REQUEST_ID,
    REQUEST_DOMAIN,
    REQUEST_ADDRESS,
    REQUEST_IDENTITY,
    REQUEST_MECHANISM,
    REQUEST_CREDENTIALS,
    REQUEST_FRAMES
};
enum { ENVELOPE_FRAMES = 2 };

struct zap {
    struct ev_loop *loop;
    zsock_t *sock;
    struct zmq_watcher watcher;
    struct multipart in;
    zap_allows *allows;
    void *context;
    uint64_t *denied;
    struct log_limit log;
};

struct zap_answer zap_judge(const struct slice *frames, size_t count, zap_allows *allows,
                            void *context)
{
    struct zap_answer answer = {.why = "not a CURVE request of ZAP 1.0"};
    if (count != REQUEST_FRAMES || !slice_equals_string(frames[REQUEST_VERSION], "1.0") ||
        !slice_equals_string(frames[REQUEST_MECHANISM], "CURVE") ||
        frames[REQUEST_CREDENTIALS].len != CURVE_KEY_BYTES)
        return answer;
    if (!slice_equals_string(frames[REQUEST_DOMAIN], SOCKETS_ZAP_DOMAIN)) {
        answer.why = "unknown domain";
        return answer;
    }
    z85_encode(frames[REQUEST_CREDENTIALS].data, CURVE_KEY_BYTES, answer.key);
    answer.allowed = allows(context, slice_from_string(answer.key));
    answer.why = answer.allowed ? "OK" : "its key is not allowed";
    return answer;
}

static void report(struct zap *zap, const struct zap_answer *answer, struct slice address)
{
    uint64_t suppressed;
    ++*zap->denied;
    if (log_limit_pass(&zap->log, LOG_INTERVAL_MS, &suppressed))
        LOG_WARNING("mesh-connection-denied", "address=%s key=%s why=\"%s\" suppressed=%llu",
                    LOG_TEXT(address), answer->key, answer->why, (unsigned long long)suppressed);
}

static bool send_frame(const struct zap *zap, struct slice frame, bool more)
{
    return zmq_send(sockets_handle(zap->sock), frame.data, frame.len,
                    ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0)) >= 0;
}

/* The asker may be gone: then the answer is for nobody. */
static void send_answer(const struct zap *zap, const struct zap_answer *answer)
{
    const struct slice *asked = zap->in.slices;
    const struct slice frames[] = {
        asked[0],
        SLICE_EMPTY,
        SLICE_LITERAL("1.0"),
        asked[ENVELOPE_FRAMES + REQUEST_ID],
        answer->allowed ? SLICE_LITERAL("200") : SLICE_LITERAL("400"),
        slice_from_string(answer->why),
        slice_from_string(answer->allowed ? answer->key : ""),
        SLICE_EMPTY /* metadata */
    };
    const size_t count = sizeof frames / sizeof *frames;
    for (size_t i = 0; i < count; i++)
        if (!send_frame(zap, frames[i], i + 1 < count))
            return;
}

static void answer_request(struct zap *zap)
{
    if (zap->in.overlong || zap->in.count < ENVELOPE_FRAMES + REQUEST_ID + 1 ||
        zap->in.slices[1].len != 0) {
        LOG_ERROR("zap-request-dropped", "frames=%zu", zap->in.count);
        return;
    }
    const struct slice *frames = zap->in.slices + ENVELOPE_FRAMES;
    size_t count = zap->in.count - ENVELOPE_FRAMES;
    struct zap_answer answer = zap_judge(frames, count, zap->allows, zap->context);
    if (!answer.allowed)
        report(zap, &answer, count > REQUEST_ADDRESS ? frames[REQUEST_ADDRESS] : SLICE_EMPTY);
    send_answer(zap, &answer);
}

static void on_ready(void *context, int events)
{
    (void)events;
    struct zap *zap = context;
    for (int i = 0; i < ANSWERS_PER_ROUND; i++) {
        int rc = multipart_receive(&zap->in, sockets_handle(zap->sock));
        if (rc == 0)
            return;
        if (rc > 0)
            answer_request(zap);
    }
}

struct zap *zap_open(struct ev_loop *loop, zap_allows *allows, void *context, uint64_t *denied)
{
    struct zap *zap = calloc(1, sizeof *zap);
    if (!zap)
        return NULL;
    zap->loop = loop;
    zap->allows = allows;
    zap->context = context;
    zap->denied = denied;
    zap->sock = sockets_zap();
    if (zap->sock &&
        zmq_watcher_start(&zap->watcher, loop, sockets_handle(zap->sock), on_ready, zap) == 0)
        return zap;
    int saved_errno = errno;
    zap_close(zap);
    errno = saved_errno;
    return NULL;
}

void zap_close(struct zap *zap)
{
    if (!zap)
        return;
    zmq_watcher_stop(&zap->watcher);
    multipart_clear(&zap->in);
    free(zap->in.frames);
    free(zap->in.slices);
    sockets_close(&zap->sock);
    free(zap);
}
