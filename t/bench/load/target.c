#include "bench/load/target.h"

#include <err.h>
#include <stdlib.h>

#include "base/units.h"
#include "bench/load/watch.h"

int target_connect_publisher(const struct target *target)
{
    uint64_t port;
    if (parse_u64(slice_from_string(target->publish), &port) == 0)
        return connect_port((uint16_t)port, 1);
    return connect_file(target->publish);
}

void put_bytes(struct buffer *out, const void *bytes, size_t len)
{
    if (buffer_append(out, bytes, len) != 0)
        err(EXIT_FAILURE, "writing a request");
}

void put_text(struct buffer *out, const char *text)
{
    put_bytes(out, text, strlen(text));
}

void put_post(struct buffer *out, const char *path, const char *content_type, size_t length)
{
    if (buffer_printf(out,
                      "POST %s HTTP/1.1\r\nHost: bench\r\nContent-Type: %s\r\n"
                      "Content-Length: %zu\r\n\r\n",
                      path, content_type, length) != 0)
        err(EXIT_FAILURE, "writing a request");
}
