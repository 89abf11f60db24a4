/* What the relay counted, as the store keeps it. */
#ifndef MSGSERVER_CTL_STORE_TOTALS_H
#define MSGSERVER_CTL_STORE_TOTALS_H

#include "store/inspect.h"

struct store_totals {
    bool known; /* they could be read */
    uint64_t accepted, confirmed, dropped;
    bool balanced; /* accepted = confirmed + waiting + dropped */
};

/* Calls `each` (unless NULL) for every total. */
struct store_totals store_totals_read(const struct store_findings *findings,
                                      void (*each)(void *context, struct slice name,
                                                   uint64_t value),
                                      void *context);

#endif
