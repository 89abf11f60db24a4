#include "workers/relay/mesh/outbox.h"

#include "base/table.h"

bool outbox_add(struct outbox *outbox, struct multipart *multipart)
{
    if (outbox->count > 0 &&
        (outbox->count >= OUTBOX_COUNT_MAX || outbox->bytes + multipart->bytes > OUTBOX_BYTES_MAX))
        return false;
    DL_APPEND(outbox->first, multipart);
    outbox->count++;
    outbox->bytes += multipart->bytes;
    return true;
}

struct multipart *outbox_take(struct outbox *outbox)
{
    struct multipart *multipart = outbox->first;
    if (!multipart)
        return NULL;
    DL_DELETE(outbox->first, multipart);
    outbox->count--;
    outbox->bytes -= multipart->bytes;
    return multipart;
}

bool outbox_has_room_again(const struct outbox *outbox)
{
    return outbox->count <= OUTBOX_COUNT_MAX / 2 && outbox->bytes <= OUTBOX_BYTES_MAX / 2;
}
