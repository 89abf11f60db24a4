/* What routing_in.c and routing_out.c share: names on the wire. */
#ifndef MSGSERVER_RELAY_ROUTING_NAMES_H
#define MSGSERVER_RELAY_ROUTING_NAMES_H

#include "codecs/data_frames.h"
#include "codecs/envelope.h"

struct relay;

enum {
    SCRATCH_KEPT = 1 << 20, /* larger rooms are given back after use */
};

/* Why an attachment ended, to a host of ours: the reasons that clients know, and our own. */
static inline const char *end_name(enum end_reason reason)
{
    const char *unset = end_reason_unset(reason);
    if (unset)
        return unset;
    return reason == END_SUPERSEDED ? "superseded" : reason == END_STOPPING ? "stopping" : "failed";
}

static inline enum end_reason end_from_name(struct slice name)
{
    for (int reason = 0; reason < END_REASONS; reason++)
        if (slice_equals_string(name, end_name((enum end_reason)reason)))
            return (enum end_reason)reason;
    return END_HOST_GONE; /* what the message says when a MAGE host sends it without a reason */
}

static inline const char *style_name(enum attachment_style style)
{
    static const char *const NAMES[] = {
        [STYLE_STREAM] = "never", [STYLE_LONG_POLL] = "ondelivery", [STYLE_SHORT_POLL] = "always"};
    return NAMES[style];
}

/* -1 when `name` is no style. */
static inline int style_from_name(struct slice name)
{
    for (int style = STYLE_STREAM; style <= STYLE_SHORT_POLL; style++)
        if (slice_equals_string(name, style_name((enum attachment_style)style)))
            return style;
    return -1;
}

/* Sends token, operation and payload, headed by its version, in an envelope whose type and route
 * are set; a request also tells which replies are understood. */
int routing_send_operation(struct relay *relay, struct envelope *envelope, struct slice token,
                           uint16_t operation, uint8_t version, struct slice payload);

#endif
