#include "workers/relay/remote_pack.h"

#include <errno.h>

#include "base/units.h"
#include "codecs/json_text.h"
#include "workers/relay/relay.h"
#include "workers/relay/worker_link.h"

int remote_pack_read(const struct envelope *envelope, bool checked, struct remote_pack *pack)
{
    uint64_t id, last = 0;
    *pack = (struct remote_pack){.messages = envelope->messages + 1,
                                 .count = (envelope->message_count - 1) / 2,
                                 .checked = checked};
    errno = EPROTO;
    if (envelope->message_count % 2 == 0)
        return -1;
    for (size_t i = 0; i < pack->count; i++, last = id) {
        if (parse_u64(pack->messages[2 * i], &id) != 0 || id == 0 || (i > 0 && id != last + 1)) {
            errno = EPROTO;
            return -1;
        }
        if (i == 0)
            pack->first_id = id;
    }
    return 0;
}

static struct slice body_of(const struct remote_pack *pack, size_t index)
{
    struct json_error error;
    struct slice body = pack->messages[2 * index + 1];
    return pack->checked || json_check_message(body, &error) ? body : SLICE_LITERAL("[]");
}

enum remote_pack_rest remote_pack_choose(const struct remote_pack *pack, uint64_t next_id,
                                         uint32_t room, bool has_room, struct remote_run *run)
{
    *run = (struct remote_run){.first_id = next_id};
    if (pack->count == 0)
        return REMOTE_REST_NONE;
    if (pack->first_id > next_id)
        return REMOTE_REST_GAP;
    if (next_id - pack->first_id >= pack->count)
        return REMOTE_REST_NONE;
    run->index = (size_t)(next_id - pack->first_id);
    for (size_t i = run->index; i < pack->count; i++) {
        if (!has_room || messages_cost(run->count, run->bytes) >= room)
            return REMOTE_REST_FULL;
        run->count++;
        run->bytes += body_of(pack, i).len;
    }
    return REMOTE_REST_NONE;
}

int remote_pack_put(struct relay *relay, const struct attachment *attachment,
                    const struct remote_pack *pack, const struct remote_run *run)
{
    enum { MESSAGE_OVERHEAD = 8 + 4 };
    struct data_channel *channel = worker_link_of(attachment->outlet)->channel;
    struct buffer *out = data_channel_out(channel);
    size_t mark;
    bool failed = frame_begin(out, FRAME_DELIVER, &mark) != 0 ||
                  put_u64(out, attachment->handle) != 0 ||
                  put_u32(out, (uint32_t)(run->count * MESSAGE_OVERHEAD + run->bytes)) != 0;
    for (size_t i = 0; i < run->count && !failed; i++)
        failed = put_message(out, run->first_id + i, body_of(pack, run->index + i)) != 0;
    if (frame_end(out, mark, failed) != 0)
        return -1;
    data_channel_wrote(channel);
    metric_add(&relay->metrics, METRIC_DELIVERED, run->count);
    return 0;
}
