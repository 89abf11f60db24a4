/* What session_messages.h is made of: the steps that entering and leaving messages share. */
#ifndef MSGSERVER_RELAY_MESSAGE_SETTLING_H
#define MSGSERVER_RELAY_MESSAGE_SETTLING_H

#include "workers/relay/session_messages.h"

/* Before the mailbox frees the options (NULL is accepted): no table has them any more, and whoever
 * asked for a receipt has it. */
void message_let_go_of(struct session_registry *registry, const struct session *session,
                       struct message_options *options, enum settlement settlement);
void message_count_settled(struct session_registry *registry, struct mailbox_freed freed,
                           enum settlement settlement);

/* Drops the mailbox's oldest live message; its ID stays. */
void message_drop_oldest(struct session_registry *registry, struct session *session,
                         enum settlement settlement);

/* As session_drop_due(), but a part only when it is very much. */
void message_drop_due(struct session_registry *registry, struct session *session);

/* Tells the store where the mailbox stands. */
void message_store_counts(struct session_registry *registry, struct session *session);

/* Room within the mailbox's own limits; drops older messages, and counts them, when the policy says
 * so. */
bool message_make_mailbox_room(struct session_registry *registry, struct session *session,
                               size_t count, uint64_t bytes, uint32_t *dropped);
/* Whether it is worth trying again, after a failure (errno) for want of room on the host. `drops`
 * counts the attempts for one message. */
bool message_make_host_room(struct session_registry *registry, unsigned *drops);
enum outcome message_refuse(struct session_registry *registry, size_t count, enum limit limit,
                            struct acceptance *acceptance);

/* Before a message comes in that expires then (0: never): makes what the two below need for it.
 * Returns 0, or -1 with errno ENOMEM. */
int message_times_prepare(struct session_registry *registry, struct session *session,
                          uint64_t expires_ms);
/* After something left or entered: keeps registry.oldest right. */
void message_note_oldest(struct session_registry *registry, struct session *session);
/* A live entry that came in: keeps registry.due right, which is a lower bound, since what is
 * confirmed before its time is not taken out. */
void message_note_end(struct session_registry *registry, struct session *session,
                      const struct mailbox_entry *entry);

#endif
