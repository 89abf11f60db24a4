/* The client worker's end of the data channel: attachments and requests, across relay restarts. */
#ifndef MSGSERVER_CLIENT_RELAY_LINK_H
#define MSGSERVER_CLIENT_RELAY_LINK_H

#include <ev.h>

#include "codecs/data_frames.h"
#include "codecs/requests.h"

struct relay_link;
struct attachment;

/* `window`: server.limits.attachmentWindow. */
struct relay_link *relay_link_new(struct ev_loop *loop, uint32_t incarnation, size_t window);
void relay_link_free(struct relay_link *link);
/* A new data channel replaces the old one, if any: every attachment is announced again as resumed,
 * and requests that were under way end with their failure. Takes the descriptor. */
int relay_link_connect(struct relay_link *link, int fd);
bool relay_link_is_up(const struct relay_link *link);
/* Frees the memory that is kept for further frames. */
void relay_link_free_room(struct relay_link *link);

/* What an attachment's owner (a connection) does with what comes. */
struct attachment_events {
    /* `messages`: a run as in FRAME_DELIVER; empty only for STYLE_SHORT_POLL. Poll attachments are
     * over after the call, and so is the pointer. */
    void (*on_messages)(void *owner, struct slice messages, uint32_t count, size_t body_bytes);
    /* The attachment is over, and so is the pointer. */
    void (*on_end)(void *owner, enum end_reason reason);
};

/* `address` and `home` as in codecs/session_key.h; copied. Returns NULL with errno ENOMEM. With the
 * relay away the attachment waits for it. */
struct attachment *attachment_new(struct relay_link *link, enum attachment_style style,
                                  struct slice address, struct slice home,
                                  const uint64_t *confirmed, size_t confirmed_count,
                                  const struct attachment_events *events, void *owner);
/* The owner leaves: no event follows. */
void attachment_detach(struct attachment *attachment);
void attachment_confirm(struct attachment *attachment, const uint64_t *ids, size_t count);
/* The client's socket took `bytes` of what was delivered, as messages_cost() counts them. The relay
 * hears of it when they are many, or with the next confirmation. */
void attachment_credit(struct attachment *attachment, size_t bytes);

enum request_failure {
    REQUEST_ANSWERED,
    REQUEST_RELAY_DOWN, /* never sent, or the relay died: it may have been carried out */
    REQUEST_TIMED_OUT,
    REQUEST_NO_MEMORY
};
/* `operation` is what the reply is (codecs/requests.h); both are empty unless ANSWERED. Called
 * exactly once per request, never from within relay_link_request(). */
typedef void (*request_done)(void *context, enum request_failure failure, uint16_t operation,
                             struct slice payload);

/* Asks the relay of `home` (empty: this host's). `payload` as put_<request>_fields() wrote it.
 * Returns an id to cancel with, or 0 with errno ENOMEM: then done() is not called. */
uint64_t relay_link_request(struct relay_link *link, struct slice home, uint16_t operation,
                            struct slice payload, request_done done, void *context);
void relay_link_cancel(struct relay_link *link, uint64_t request);

#endif
