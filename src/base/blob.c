#include "base/blob.h"

#include <errno.h>
#include <stdlib.h>

#include "base/invariant.h"

struct blob *blob_new(struct slice bytes)
{
    if (bytes.len > UINT32_MAX - sizeof(struct blob)) {
        errno = ENOMEM;
        return NULL;
    }
    struct blob *blob = malloc(sizeof *blob + bytes.len);
    if (!blob)
        return NULL;
    blob->references = 1;
    blob->len = (uint32_t)bytes.len;
    blob->made_ms = blob->broadcast = 0;
    if (bytes.len > 0)
        memcpy(blob->data, bytes.data, bytes.len);
    return blob;
}

struct blob *blob_retain(struct blob *blob)
{
    INVARIANT(blob->references > 0 && blob->references < UINT32_MAX, "a blob's count is broken");
    blob->references++;
    return blob;
}

void blob_release(struct blob *blob)
{
    if (!blob)
        return;
    INVARIANT(blob->references > 0, "a blob was released more often than retained");
    if (--blob->references == 0)
        free(blob);
}
