/* Attachments: one client's live interest in one mailbox each. Handles, states, and how they end.
 *
 *   client here, mailbox here        outlet = its worker, session
 *   client here, mailbox elsewhere   outlet = its worker, away (remote_home.h)
 *   client elsewhere, mailbox here   outlet = its relay (a peer), session, route back
 *
 * What concerns an attachment names it by handle (by route for a peer's), so that nothing late can
 * touch a newer one. One that is announced again (its relay or its home was away meanwhile) does
 * not take over from one whose client came later. */
#ifndef MSGSERVER_RELAY_ATTACHMENT_H
#define MSGSERVER_RELAY_ATTACHMENT_H

#include <ev.h>

#include "base/handle_table.h"
#include "base/slab.h"
#include "base/table.h"
#include "codecs/data_frames.h"
#include "codecs/envelope.h"

struct relay;
struct session;
struct remote_client;

enum attachment_state {
    ATTACHMENT_IDLE,      /* was sent everything there is */
    ATTACHMENT_FULL,      /* has as much in flight as it may; CREDIT goes on */
    ATTACHMENT_CONGESTED, /* its outlet takes no more; the outlet goes on */
    ATTACHMENT_PACED,     /* held back until due_ms */
    ATTACHMENT_HOMELESS,  /* its mailbox's home cannot be reached now */
    ATTACHMENT_OVER
};

/* Where deliveries leave: a worker's data channel (worker_link.h) or a peer (peer_outlet.h). */
struct outlet {
    enum { OUTLET_WORKER, OUTLET_PEER } kind;
    struct attachment *attachments;
    struct attachment *congested; /* those in ATTACHMENT_CONGESTED, longest waiting first */
};

/* The hops back to a client of another host. */
struct return_route {
    uint64_t refreshed_ms; /* when the last connect came; monotonic */
    uint64_t since_us;     /* when the client came, by its host's clock */
    size_t len;
    struct slice hops[]; /* their bytes follow */
};

struct attachment {
    uint64_t handle; /* 0 for a peer's */
    unsigned magic;
    uint8_t style;      /* enum attachment_style */
    uint8_t state;      /* enum attachment_state; changed by attachment_set_state() alone */
    bool was_paced;     /* was held back once: not again */
    uint32_t in_flight; /* messages_cost() of what was sent and not taken yet */
    uint32_t window;    /* most bytes in flight; 0: not known (a MAGE host) */
    uint64_t since_us;  /* when the client came: clock_monotonic_us() */
    uint64_t sent_up_to;
    uint64_t due_ms;       /* while paced; monotonic */
    uint64_t redeliver_ms; /* while in attachments.unconfirmed, else 0; monotonic */
    struct outlet *outlet;
    struct session *session;
    struct remote_client *away;
    struct return_route *route;
    struct attachment *prev, *next;           /* in outlet->attachments */
    struct attachment *wait_prev, *wait_next; /* in outlet->congested or attachments.paced */
    struct attachment *redeliver_prev, *redeliver_next;
};

struct attachments {
    struct slab slab;
    struct handle_table by_handle; /* those of workers */
    struct attachment *paced;      /* soonest first */
    uint64_t pace_ms;
    uint64_t pack_messages; /* most in one delivery */
    ev_timer pace;
    /* Streams with messages that were sent and not confirmed (redelivery.h), soonest first. */
    struct attachment *unconfirmed;
    ev_timer redelivery;
};

/* Returns NULL with errno ENOMEM. `handle` 0: a client of a peer. */
struct attachment *attachment_new(struct relay *relay, struct outlet *outlet,
                                  enum attachment_style style, uint64_t handle);
/* NULL for a stale handle. */
struct attachment *attachment_find(const struct relay *relay, uint64_t handle);

/* The one place where states change: keeps the lists of those who wait. */
void attachment_set_state(struct relay *relay, struct attachment *attachment,
                          enum attachment_state state);

/* Ends the attachment and frees it; attachment_end() tells the client why. Neither tells a home
 * elsewhere: see remote_home_disconnect(). The session lives on from now for its TTL. */
void attachment_end(struct relay *relay, struct attachment *attachment, enum end_reason reason);
void attachment_close(struct relay *relay, struct attachment *attachment);
/* Whether its client came before the other's. */
bool attachment_is_older(const struct attachment *attachment, const struct attachment *other);
/* Ends one that is not the session's: a newer one is. */
void attachment_refuse(struct relay *relay, struct attachment *attachment,
                       const struct session *session);

bool outlet_is_congested(const struct outlet *outlet);

/* A copy, or NULL with errno ENOMEM. Freed with free(). */
struct return_route *return_route_copy(const struct slice *hops, size_t count);
bool return_route_equal(const struct return_route *route, const struct slice *hops, size_t count);

#endif
