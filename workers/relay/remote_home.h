/* Clients here whose mailbox is elsewhere: the attaching side of msgServer.connect.
 *
 * Nothing is buffered here. What the client cannot take now is ignored, and asked for again with
 * another connect; what comes twice is left out; what comes after a gap waits for the gap. Between
 * two hosts of ours six more messages of the connect make that cheap (a MAGE host reads the first
 * two only, and resends everything unconfirmed):
 *
 *   address | style | after | window | resend | since | age | confirmed
 *
 * "after": the last ID that the client was given; "window": bytes that the home may send before the
 * next connect, as messages_cost() counts them, 0 for no limit; "resend": "1" when what the home
 * sent after `after` did not arrive; "since" and "age": when the client came (microseconds, by its
 * host's clock) and how long ago that was, so that a connect that comes late or again does not take
 * over from a newer client; "confirmed": the highest ID that the client confirmed.
 *
 * All that one host keeps for the other may be lost: with a connection, a process, a full queue. So
 * a connect is repeated every REMOTE_REFRESH_MS, which tells the home again what it should know, or
 * us that the mailbox or the attachment is over; a home closes what was not repeated; and a pack
 * for an attachment that is over here is answered with a disconnect. */
#ifndef MSGSERVER_RELAY_REMOTE_HOME_H
#define MSGSERVER_RELAY_REMOTE_HOME_H

#include "base/table.h"
#include "codecs/data_frames.h"
#include "codecs/envelope.h"

struct relay;
struct attachment;
struct remote_home;

enum {
    /* A home that is away is waited for this long; one that discovery does not know (it may just
     * be starting), that long. Then the client is told hostGone. A session that nobody vouches for
     * at a home that seems to be MAGE's is refused after the latter time. */
    HOME_AWAY_LIMIT_MS = 30000,
    HOME_UNKNOWN_LIMIT_MS = 5000,
    /* Between hosts of ours; see above. */
    REMOTE_REFRESH_MS = 20000,
    REMOTE_EXPIRY_MS = 70000,
};

struct remote_client {
    struct attachment *attachment;
    struct remote_home *home;
    struct remote_client *prev, *next; /* in home->clients */
    uint64_t next_id;                  /* to give to the client; 0 until the first pack */
    uint64_t given_to, confirmed;      /* highest IDs that the client got and confirmed */
    uint64_t confirm_from, confirm_to; /* confirmations that wait for the home; 0: none */
    uint32_t granted;                  /* bytes that the last connect allowed */
    uint32_t since_connect;            /* bytes given since then */
    bool was_connected;                /* the home knew the session, once */
    bool connect_due;                  /* at the next tick, or when the peer takes it */
    bool resend;                       /* the next connect says so */
    bool adopted;                      /* a backend told us that its home has the session */
    uint8_t errors;                    /* connects that came back in a row */
    uint64_t last_error_ms;
    uint64_t attached_ms;
    uint64_t connected_ms; /* of the last connect */
    uint16_t address_len;
    UT_hash_handle hh;
    char address[];
};

struct remote_homes {
    struct remote_home *homes;     /* by cluster ID; only those with clients */
    struct remote_client *clients; /* by address */
};

/* Connects the attachment to the mailbox at attach->home. `adopted`: the registry here has a record
 * of the session; without one, only a host of ours is asked for its mailbox. */
void remote_home_attach(struct relay *relay, struct attachment *attachment,
                        const struct frame_attach *attach, bool adopted);
/* Tells the home that the client left, if its mailbox is elsewhere at all. */
void remote_home_disconnect(struct relay *relay, const struct attachment *attachment);
/* Frees what is kept for an attachment that is over; nothing to do for others. */
void remote_home_leave(struct relay *relay, struct attachment *attachment);

/* `confirmed`: a run of IDs as in FRAME_CONFIRM. */
void remote_home_confirm(struct relay *relay, struct attachment *attachment,
                         struct slice confirmed);
/* The client took bytes, or its worker does again. */
void remote_home_credit(struct relay *relay, struct attachment *attachment);
void remote_home_go_on(struct relay *relay, struct attachment *attachment);

/* For redelivery.h: whether the client has something that it did not confirm; asks the home for all
 * of it again. */
bool remote_home_has_unconfirmed(const struct attachment *attachment);
void remote_home_redeliver(struct relay *relay, struct attachment *attachment);

/* What the home sends: a pack (messages: address, then ID and body in turn), or the end. */
void remote_home_on_pack(struct relay *relay, struct attachment *attachment,
                         const struct envelope *pack);
void remote_home_on_end(struct relay *relay, struct attachment *attachment, enum end_reason reason);
/* A connect came back undelivered. */
void remote_home_on_error(struct relay *relay, struct attachment *attachment);

void remote_home_on_peer(struct relay *relay, struct slice cluster_id, bool up);
void remote_home_on_writable(struct relay *relay, struct slice cluster_id);
void remote_home_tick(struct relay *relay, uint64_t now_ms);

/* The client here of a mailbox elsewhere, or NULL. */
struct remote_client *remote_home_find(const struct relay *relay, struct slice address);

#endif
