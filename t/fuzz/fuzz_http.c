/* Requests with their bodies: in pieces they mean what they mean as a whole. The first byte seeds
 * where they are split. */
#include <stdint.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "codecs/http_request.h"
#include "codecs/query_string.h"

enum { MAX_HEAD = 2048, MAX_BODY = 4096, SPLITS = 4 };

static uint32_t split_state;

static size_t split_below(size_t bound)
{
    split_state = split_state * 1664525u + 1013904223u;
    return (split_state >> 8) % bound;
}

struct outcome {
    enum http_body_progress progress;
    enum http_error error;
    size_t used;
    struct buffer decoded;
};

/* Feeds the body in pieces of at most `piece` bytes (0: of random length). */
static struct outcome decode_body(const struct http_request *request, struct slice bytes,
                                  size_t piece)
{
    struct outcome outcome = {0};
    struct http_body body;
    outcome.progress = http_body_start(&body, request, MAX_BODY, &outcome.error);
    while (outcome.progress == HTTP_BODY_MORE && bytes.len > 0) {
        size_t len = piece ? piece : 1 + split_below(bytes.len);
        struct slice in = slice_of(bytes.data, len < bytes.len ? len : bytes.len), out;
        const char *start = in.data;
        do {
            outcome.progress = http_body_feed(&body, &in, &out, &outcome.error);
            if (buffer_append_slice(&outcome.decoded, out) != 0)
                abort();
        } while (outcome.progress == HTTP_BODY_MORE && in.len > 0);
        size_t taken = (size_t)(in.data - start);
        outcome.used += taken;
        bytes = slice_of(bytes.data + taken, bytes.len - taken);
    }
    if (buffer_len(&outcome.decoded) > MAX_BODY || body.taken != buffer_len(&outcome.decoded))
        abort();
    return outcome;
}

/* Returns the body's length, or -1 when it is wrong or not whole. */
static long check_body(const struct http_request *request, struct slice bytes)
{
    struct outcome whole = decode_body(request, bytes, bytes.len);
    for (size_t piece = 0; piece < 2; piece++) {
        struct outcome split = decode_body(request, bytes, piece);
        if (split.progress != whole.progress || split.error != whole.error ||
            split.used != whole.used ||
            !slice_equal(buffer_slice(&split.decoded), buffer_slice(&whole.decoded)))
            abort();
        buffer_free(&split.decoded);
    }
    buffer_free(&whole.decoded);
    return whole.progress == HTTP_BODY_DONE ? (long)whole.used : -1;
}

static void check_query(struct slice query)
{
    struct query_parameter parameter;
    while (query_next(&query, &parameter)) {
        struct buffer decoded = {0};
        char room[64];
        long len = query_decode_into(parameter.value, room, sizeof room);
        int status = query_decode(parameter.value, &decoded);
        if (len >= 0 &&
            (status != 0 || !slice_equal(slice_of(room, (size_t)len), buffer_slice(&decoded))))
            abort();
        query_name_is(&parameter, "sessionKey");
        buffer_free(&decoded);
    }
}

/* A prefix needs more bytes, or already says what the whole says. */
static void check_prefix(struct slice bytes, size_t cut, long wanted, enum http_error wanted_error)
{
    struct http_request request;
    enum http_error error;
    long len = http_request_parse(slice_of(bytes.data, cut), MAX_HEAD, &request, &error);
    bool must_need_more = wanted == 0 || (wanted > 0 && cut < (size_t)wanted);
    bool may_need_more = must_need_more || wanted < 0;
    if (len == 0 ? !may_need_more || error != HTTP_OK
                 : must_need_more || len != wanted || error != wanted_error)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    split_state = data[0];
    struct slice bytes = slice_of(data + 1, size - 1);
    while (bytes.len > 0) {
        struct http_request request;
        enum http_error error;
        long head = http_request_parse(bytes, MAX_HEAD, &request, &error);
        for (int i = 0; i < SPLITS; i++)
            check_prefix(bytes, split_below(bytes.len), head, error);
        if (head <= 0)
            return 0;
        check_query(request.query);
        path_matches_route(request.path, "/msgstream");
        bytes = slice_of(bytes.data + head, bytes.len - (size_t)head);
        long body = check_body(&request, bytes);
        if (body < 0)
            return 0;
        bytes = slice_of(bytes.data + body, bytes.len - (size_t)body);
    }
    return 0;
}
