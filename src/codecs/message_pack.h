/* What clients read and confirm: message packs, event streams, and lists of IDs (client facts). */
#ifndef MSGSERVER_CODECS_MESSAGE_PACK_H
#define MSGSERVER_CODECS_MESSAGE_PACK_H

#include <stdint.h>

#include "base/buffer.h"
#include "codecs/data_frames.h"

/* Bytes that the pack of a run (as in FRAME_DELIVER, not empty) takes, so that a header can be
 * written before it. */
size_t message_pack_len(struct slice run);
/* Appends {"1":[…],"2":[…]}. Returns 0, or -1 with `out` as it was and errno ENOMEM, or EPROTO for
 * a broken run. */
int message_pack_put(struct buffer *out, struct slice run);
/* {"0":[["session.unset","noSession"]]} */
int message_pack_put_unset(struct buffer *out, const char *reason);

/* One event of an event stream per message: "id: 5\ndata: {"5":[…]}\n\n"; a body with line breaks
 * gets one data line for each. Returns as message_pack_put() does. */
int event_stream_put(struct buffer *out, struct slice run);
/* The same for session.unset; without an id, so that Last-Event-ID stays. */
int event_stream_put_unset(struct buffer *out, const char *reason);
#define EVENT_STREAM_HEARTBEAT ":\n\n"

/* Reads "1,2,3": unknown, empty and repeated entries are no errors, nor is a comma at the end
 * (client facts). Anything that is no number makes it fail. Writes at most `room` IDs other than 0
 * to `ids`; when there are more, the highest ones are kept, for a confirmation of n covers all
 * below it. Returns how many, or -1 with errno EINVAL. */
long id_list_parse(struct slice text, uint64_t *ids, size_t room);

#endif
