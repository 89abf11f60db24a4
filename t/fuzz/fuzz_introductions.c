/* What strangers say first: a handshake is read or refused, and what is read of it can be shown to
 * anybody; a ZAP request is allowed for an allowed key alone. */
#include <stdint.h>
#include <stdlib.h>

#include "workers/relay/mesh/handshake.h"
#include "workers/relay/mesh/zap.h"

enum { FRAMES_MAX = 10 };

static const char KEY[] = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7";

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void check_handshake(struct slice json)
{
    static const struct service SERVICE = {"game", "1.2.3"};
    struct handshake handshake;
    if (handshake_read(json, &SERVICE, &handshake) != 0)
        return;
    require(cluster_id_is_valid(slice_from_string(handshake.cluster_id)));
    for (const char *at = handshake.software; *at; at++)
        require(*at > ' ' && *at < 0x7f);
}

static bool allows(void *context, struct slice key)
{
    unsigned *asked = context;
    ++*asked;
    require(curve_key_is_valid(key));
    return slice_equals_string(key, KEY);
}

/* Frames are a byte, their length, and so many bytes. */
static void check_zap(struct slice bytes)
{
    struct slice frames[FRAMES_MAX];
    size_t count = 0;
    unsigned asked = 0;
    while (bytes.len > 0 && count < FRAMES_MAX) {
        size_t len = (unsigned char)bytes.data[0];
        if (len > bytes.len - 1)
            len = bytes.len - 1;
        frames[count++] = slice_of(bytes.data + 1, len);
        bytes = slice_of(bytes.data + 1 + len, bytes.len - 1 - len);
    }
    struct zap_answer answer = zap_judge(frames, count, allows, &asked);
    require(answer.why && *answer.why);
    require(!answer.allowed || (asked == 1 && strcmp(answer.key, KEY) == 0));
    require(!answer.key[0] || asked == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = slice_of(data, size);
    check_handshake(bytes);
    check_zap(bytes);
    return 0;
}
