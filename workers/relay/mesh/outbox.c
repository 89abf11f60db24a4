#include "workers/relay/mesh/outbox.h"

#include <errno.h>

#include "base/table.h"
#include "codecs/envelope_pack.h"

static bool has_room(const struct outbox *outbox, size_t bytes)
{
    return outbox->count == 0 ||
           (outbox->count < OUTBOX_COUNT_MAX && outbox->bytes + bytes <= OUTBOX_BYTES_MAX);
}

bool outbox_add(struct outbox *outbox, struct multipart *multipart)
{
    if (!has_room(outbox, multipart->bytes))
        return false;
    DL_APPEND(outbox->first, multipart);
    outbox->count++;
    outbox->bytes += multipart->bytes;
    return true;
}

static bool takes_more(const struct multipart *multipart)
{
    return multipart->packed > 0 && multipart->count == 0 && multipart->bytes < ENVELOPE_PACK_BYTES;
}

/* The last, or a new one; NULL when there is no memory. */
static struct multipart *open_pack(struct outbox *outbox, struct buffer *spare)
{
    if (outbox->first && takes_more(outbox->first->prev))
        return outbox->first->prev;
    struct multipart *pack = multipart_new_pack(spare);
    if (pack)
        DL_APPEND(outbox->first, pack);
    return pack;
}

int outbox_pack(struct outbox *outbox, const struct envelope *envelope, struct buffer *spare)
{
    size_t bytes = envelope_pack_len(envelope, 1);
    if (!has_room(outbox, bytes)) {
        errno = EAGAIN;
        return -1;
    }
    struct multipart *pack = open_pack(outbox, spare);
    if (!pack || envelope_pack_put(&pack->pack, envelope, 1) != 0) {
        if (pack && pack->packed == 0) {
            DL_DELETE(outbox->first, pack);
            multipart_free(pack);
        }
        errno = ENOMEM;
        return -1;
    }
    pack->packed++;
    pack->bytes += bytes;
    outbox->count++;
    outbox->bytes += bytes;
    return 0;
}

bool outbox_has_full_pack(const struct outbox *outbox)
{
    const struct multipart *last = outbox->first ? outbox->first->prev : NULL;
    return last && last->packed > 0 && !takes_more(last);
}

struct multipart *outbox_take(struct outbox *outbox)
{
    struct multipart *multipart = outbox->first;
    if (!multipart)
        return NULL;
    DL_DELETE(outbox->first, multipart);
    outbox->count -= multipart_envelopes(multipart);
    outbox->bytes -= multipart->bytes;
    return multipart;
}

bool outbox_has_room_again(const struct outbox *outbox)
{
    return outbox->count <= OUTBOX_COUNT_MAX / 2 && outbox->bytes <= OUTBOX_BYTES_MAX / 2;
}
