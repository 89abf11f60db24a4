/* What a relay takes over from the one before it: sessions and messages out of the store, and
 * totals that go on, so that accepted = confirmed + pending + dropped holds over restarts. */
#ifndef MSGSERVER_RELAY_RECOVERY_H
#define MSGSERVER_RELAY_RECOVERY_H

#include <stddef.h>

struct relay;

/* While nothing else is stored, the store is told this often that the relay lives. */
enum { RECOVERY_ALIVE_MS = 5000 };

/* Fills the registry of a relay that has a mesh and was not run yet. A session lives for its TTL
 * from when the relay before lived last: never shorter than it was promised. Returns 0, or -1 with
 * `why` filled. */
int recovery_run(struct relay *relay, char *why, size_t why_room);

/* Writes into relay->totals what end_batch() wants. Returns 0, or -1 with errno ENOMEM. */
int recovery_put_totals(struct relay *relay);

#endif
