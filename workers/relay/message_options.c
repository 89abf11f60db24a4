#include "workers/relay/message_options.h"

#include <errno.h>
#include <stdlib.h>

#include "base/invariant.h"
#include "store/store.h"

/* What malloc and the table add. */
enum { SIDE_COST = 48, NUMBER_BYTES = sizeof(uint64_t) };

static uint64_t cost_of(size_t text_len)
{
    return sizeof(struct message_options) + NUMBER_BYTES + text_len + SIDE_COST;
}

static char *copy(char *at, struct slice text)
{
    if (text.len > 0)
        memcpy(at, text.data, text.len);
    return at + text.len;
}

struct message_options *options_new(struct host_budget *budget, uint64_t session,
                                    const struct message_wish *wish)
{
    size_t len = wish->replace_key.len + wish->receipt.len;
    INVARIANT(wish->replace_key.len <= STORED_KEY_MAX && wish->receipt.len <= STORED_KEY_MAX,
              "an option is too long");
    if (budget_charge(budget, cost_of(len)) != 0)
        return NULL;
    struct message_options *options = calloc(1, sizeof *options + NUMBER_BYTES + len);
    if (!options) {
        budget_discharge(budget, cost_of(len));
        return NULL;
    }
    options->expires_ms = wish->expires_ms;
    options->replace_key_len = (uint16_t)wish->replace_key.len;
    options->receipt_len = (uint16_t)wish->receipt.len;
    memcpy(options->text, &session, NUMBER_BYTES);
    copy(copy(options->text + NUMBER_BYTES, wish->replace_key), wish->receipt);
    return options;
}

void options_free(struct host_budget *budget, struct message_options *options)
{
    if (!options)
        return;
    INVARIANT(!options->hh.tbl, "options were freed while they could be found");
    budget_discharge(budget, cost_of((size_t)options->replace_key_len + options->receipt_len));
    free(options);
}

struct slice options_replace_key(const struct message_options *options)
{
    return slice_of(options->text + NUMBER_BYTES, options->replace_key_len);
}

struct slice options_receipt(const struct message_options *options)
{
    return slice_of(options->text + NUMBER_BYTES + options->replace_key_len, options->receipt_len);
}

struct message_options *replaceable_find(const struct replaceable *table, uint64_t session,
                                         struct slice key)
{
    char text[NUMBER_BYTES + STORED_KEY_MAX];
    struct message_options *found;
    INVARIANT(key.len <= STORED_KEY_MAX, "a replace key is too long");
    memcpy(text, &session, NUMBER_BYTES);
    copy(text + NUMBER_BYTES, key);
    HASH_FIND(hh, table->options, text, NUMBER_BYTES + key.len, found);
    return found;
}

void replaceable_add(struct replaceable *table, struct message_options *options)
{
    uint64_t session;
    memcpy(&session, options->text, NUMBER_BYTES);
    struct message_options *older = replaceable_find(table, session, options_replace_key(options));
    if (older)
        replaceable_remove(table, older);
    HASH_ADD_KEYPTR(hh, table->options, options->text,
                    (unsigned)(NUMBER_BYTES + options->replace_key_len), options);
}

void replaceable_remove(struct replaceable *table, struct message_options *options)
{
    if (!options->hh.tbl)
        return;
    HASH_DELETE(hh, table->options, options);
    options->hh.tbl = NULL;
}
