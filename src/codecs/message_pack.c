#include "codecs/message_pack.h"

#include <errno.h>

#include "base/units.h"

static size_t decimal_len(uint64_t number)
{
    size_t digits = 1;
    for (; number >= 10; number /= 10)
        digits++;
    return digits;
}

/* What one message adds to a pack: "5":[…] */
static size_t entry_len(const struct message *message)
{
    return strlen("\"\":") + decimal_len(message->id) + message->body.len;
}

size_t message_pack_len(struct slice run)
{
    struct frame_reader reader = reader_of(run);
    struct message message;
    size_t len = strlen("{"); /* each message adds the comma or brace after it */
    while (get_message(&reader, &message))
        len += entry_len(&message) + 1;
    return len > strlen("{") ? len : strlen("{}");
}

static int put_entry_name(struct buffer *out, uint64_t id)
{
    if (buffer_append(out, "\"", 1) != 0 || buffer_append_u64(out, id) != 0)
        return -1;
    return buffer_append(out, "\":", 2);
}

static int put_entries(struct buffer *out, struct slice run)
{
    struct frame_reader reader = reader_of(run);
    struct message message;
    const char *before = "{";
    for (; get_message(&reader, &message); before = ",")
        if (buffer_append(out, before, 1) != 0 || put_entry_name(out, message.id) != 0 ||
            buffer_append_slice(out, message.body) != 0)
            return -1;
    if (reader_finish(&reader) != 0)
        return -1;
    return buffer_append_string(out, *before == '{' ? "{}" : "}");
}

/* Puts with `put`, all or nothing. */
static int put_whole(struct buffer *out, struct slice run,
                     int (*put)(struct buffer *, struct slice))
{
    const size_t before = buffer_len(out);
    if (put(out, run) == 0)
        return 0;
    const int error = errno;
    buffer_truncate(out, before);
    errno = error;
    return -1;
}

int message_pack_put(struct buffer *out, struct slice run)
{
    /* One allocation for all of it. */
    if (!buffer_reserve(out, message_pack_len(run)))
        return -1;
    return put_whole(out, run, put_entries);
}

int message_pack_put_unset(struct buffer *out, const char *reason)
{
    return buffer_printf(out, "{\"0\":[[\"session.unset\",\"%s\"]]}", reason);
}

/* A line break would end the field, so each line of `body` gets a field of its own. The client
 * joins them with LF: that is the same JSON, for a string holds no raw line break. */
static int put_lines(struct buffer *out, struct slice body)
{
    size_t start = 0;
    for (size_t i = 0; i < body.len; i++) {
        if (body.data[i] != '\r' && body.data[i] != '\n')
            continue;
        if (buffer_append(out, body.data + start, i - start) != 0 ||
            buffer_append_string(out, "\ndata: ") != 0)
            return -1;
        if (body.data[i] == '\r' && i + 1 < body.len && body.data[i + 1] == '\n')
            i++;
        start = i + 1;
    }
    return start < body.len ? buffer_append(out, body.data + start, body.len - start) : 0;
}

static int put_event(struct buffer *out, const struct message *message)
{
    if (buffer_append_string(out, "id: ") != 0 || buffer_append_u64(out, message->id) != 0 ||
        buffer_append_string(out, "\ndata: {") != 0 || put_entry_name(out, message->id) != 0 ||
        put_lines(out, message->body) != 0)
        return -1;
    return buffer_append_string(out, "}\n\n");
}

static int put_events(struct buffer *out, struct slice run)
{
    struct frame_reader reader = reader_of(run);
    struct message message;
    while (get_message(&reader, &message))
        if (put_event(out, &message) != 0)
            return -1;
    return reader_finish(&reader);
}

int event_stream_put(struct buffer *out, struct slice run)
{
    return put_whole(out, run, put_events);
}

int event_stream_put_unset(struct buffer *out, const char *reason)
{
    return buffer_printf(out, "data: {\"0\":[[\"session.unset\",\"%s\"]]}\n\n", reason);
}

/* Keeps `id` among the highest `room` different ones. Returns how many there are now. */
static size_t keep_id(uint64_t *ids, size_t count, size_t room, uint64_t id)
{
    size_t lowest = 0;
    for (size_t i = 0; i < count; i++) {
        if (ids[i] == id)
            return count;
        if (ids[i] < ids[lowest])
            lowest = i;
    }
    if (count < room)
        ids[count++] = id;
    else if (count > 0 && ids[lowest] < id)
        ids[lowest] = id;
    return count;
}

static struct slice take_entry(struct slice *text)
{
    const char *comma = text->len > 0 ? memchr(text->data, ',', text->len) : NULL;
    struct slice entry = slice_of(text->data, comma ? (size_t)(comma - text->data) : text->len);
    const size_t taken = comma ? entry.len + 1 : entry.len;
    *text = taken < text->len ? slice_of(text->data + taken, text->len - taken) : SLICE_EMPTY;
    return entry;
}

long id_list_parse(struct slice text, uint64_t *ids, size_t room)
{
    size_t count = 0;
    while (text.len > 0) {
        struct slice entry = take_entry(&text);
        uint64_t id = 0;
        if (entry.len > 0 && parse_u64(entry, &id) != 0) {
            errno = EINVAL;
            return -1;
        }
        if (id != 0)
            count = keep_id(ids, count, room, id);
    }
    return (long)count;
}
