/* Envelopes between this relay and its peers: what comes in is checked and handed on, what goes out
 * is put together here. Which peer, socket and queue is the mesh's affair. */
#ifndef MSGSERVER_RELAY_ROUTING_H
#define MSGSERVER_RELAY_ROUTING_H

#include "codecs/data_frames.h"
#include "codecs/envelope.h"
#include "codecs/requests.h"

struct relay;
struct attachment;
struct remote_client;

/* "<incarnation>-<request id>-<seal>", with a NUL. */
enum { REQUEST_TOKEN_ROOM = 64 };
/* "<cluster ID>:<handle>", the last hop of a route to one of our attachments. */
enum { HOP_ROOM = 160 };

/* `sender`: as in mesh_handlers.on_envelope. */
void routing_on_envelope(struct relay *relay, struct slice sender, const struct envelope *envelope);

/* All return 0, or -1 with errno as mesh_send() has it. */

int routing_send_envelope(struct relay *relay, const struct envelope *envelope);

/* IDs `first` to `last` of the attachment's mailbox (none when last < first) to its host. */
int routing_send_pack(struct relay *relay, const struct attachment *attachment, uint64_t first,
                      uint64_t last);
/* msgServer.hostGone with the reason, to the host of a client. A MAGE host would end the session
 * whatever the reason, so it is not told when only the attachment is over. */
void routing_send_end(struct relay *relay, const struct attachment *attachment,
                      struct slice address, enum end_reason reason);

struct connect_order {
    uint64_t after;
    uint32_t window;
    bool resend;
    uint64_t since_us, age_us;
    uint64_t confirmed;
};
int routing_send_connect(struct relay *relay, struct slice home,
                         const struct attachment *attachment, struct slice address,
                         const struct connect_order *order);
int routing_send_disconnect(struct relay *relay, struct slice home,
                            const struct attachment *attachment, struct slice address);
/* The same for an attachment that is over: `hop` is what its route ended with. */
int routing_send_stale_disconnect(struct relay *relay, struct slice home, struct slice hop,
                                  struct slice address);
/* `ids`: a run of u64. */
int routing_send_confirm(struct relay *relay, struct slice home, struct slice address,
                         struct slice ids);
/* `bodies`: a run of slices. */
int routing_send_messages(struct relay *relay, struct slice home, struct slice address,
                          struct slice bodies);
int routing_send_request(struct relay *relay, struct slice home, struct slice token,
                         uint16_t operation, struct slice payload);

#endif
