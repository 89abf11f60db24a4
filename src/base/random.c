#include "base/random.h"

#include <errno.h>
#include <sys/random.h>

#include "base/invariant.h"

void random_bytes(void *bytes, size_t len)
{
    size_t done = 0;
    while (done < len) {
        ssize_t got = getrandom((char *)bytes + done, len - done, 0);
        INVARIANT(got >= 0 || errno == EINTR, "the kernel gives no random bytes");
        if (got > 0)
            done += (size_t)got;
    }
}
