/* What a value must be beyond its type: one function per kind of text, one table of keys. */
#ifndef MSGSERVER_MASTER_CONFIG_VALUE_CHECKS_H
#define MSGSERVER_MASTER_CONFIG_VALUE_CHECKS_H

#include "codecs/settings.h"
#include "master/config/pool.h"

enum { VALUE_WHY_ROOM = 192 };

/* Checks the text of a scalar, or of one item of a list, and gives its canonical form (often the
 * same pointer). Returns NULL with `why` a part of a sentence ("" when memory was short) when it is
 * not accepted. */
const char *value_check(const struct setting_row *row, const char *text, struct pool *pool,
                        char why[VALUE_WHY_ROOM]);

#endif
