/* Random changes of a store, and what it must hold after them. */
#include <inttypes.h>
#include <stdio.h>

#include "store_fixture.h"

uint64_t scatter(uint64_t x)
{
    x = (x ^ x >> 31) * 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 29) * 0xbf58476d1ce4e5b9u;
    return x ^ x >> 32;
}

/* --- what a seed stands for; each is good until the next one of its kind -----------------------
 */

static struct slice some_bytes(char *room, uint64_t seed, size_t len)
{
    for (size_t i = 0; i < len; i++)
        room[i] = (char)(seed >> i % 57);
    return slice_of(room, len);
}

static struct stored_message message_of(uint64_t id, uint64_t seed)
{
    /* One for each of the messages that are added together. */
    static char bodies[3][9000], keys[3][STORED_KEY_MAX], receipts[3][STORED_KEY_MAX];
    size_t room = id % 3;
    if (seed == 0)
        return (struct stored_message){.id = id, .dropped = true};
    uint64_t random = scatter(seed);
    struct stored_message message = {.id = id, .made_ms = seed + 1};
    message.body = some_bytes(bodies[room], random, random % 8 == 0 ? random % 9000 : random % 100);
    if (seed % 3 == 0)
        message.expires_ms = seed * 2;
    if (seed % 5 == 0)
        message.replace_key = some_bytes(keys[room], random, 1 + random % STORED_KEY_MAX);
    if (seed % 7 == 0)
        message.receipt = some_bytes(receipts[room], ~random, 1 + seed % STORED_KEY_MAX);
    return message;
}

static struct stored_message broadcast_of(uint64_t id, uint64_t number)
{
    static char body[9000];
    uint64_t random = scatter(number + 33);
    size_t len = random % 4 == 0 ? random % sizeof body : random % 100;
    return (struct stored_message){.id = id,
                                   .broadcast = id > 0 ? number : 0,
                                   .made_ms = number + 1,
                                   .body = some_bytes(body, random, len)};
}

/* In the order in which they are stored. */
static struct stored_key key_of(size_t which, uint64_t seed)
{
    static char long_key[STORED_KEY_MAX];
    memset(long_key, 'b', sizeof long_key);
    const struct slice keys[MODEL_KEYS] = {SLICE_LITERAL("a"), SLICE_LITERAL("a\1"),
                                           slice_of(long_key, sizeof long_key),
                                           SLICE_LITERAL("1234567890"), SLICE_LITERAL("\xff\xff")};
    static const size_t ORDER[MODEL_KEYS] = {3, 0, 1, 2, 4};
    return (struct stored_key){.key = keys[ORDER[which]],
                               .used_ms = seed,
                               .first_id = seed / 2,
                               .count = (uint32_t)(seed % 1000),
                               .digest = scatter(seed)};
}

static struct stored_session session_of(const struct model *model, int which)
{
    static char address[ADDRESS_MAX + 1];
    const struct model_session *now = &model->sessions[which];
    size_t actor = 1 + scatter(now->number) % 40;
    memcpy(address, ADDRESS_PREFIX, 5);
    memset(address + 5, 'a' + which, actor);
    memcpy(address + 5 + actor, ":x", 2);
    return (struct stored_session){.number = now->number,
                                   .address = slice_of(address, 5 + actor + 2),
                                   .home = now->has_home ? SLICE_LITERAL("host-b:2") : SLICE_EMPTY,
                                   .ttl_ms = 1000 + now->number,
                                   .created_ms = now->number * 3,
                                   .counts = now->counts};
}

static struct stored_receipt receipt_of(uint64_t number)
{
    static char contents[STORED_RECEIPT_MAX];
    uint64_t random = scatter(number + 77);
    size_t len = random % 8 == 0 ? random % (STORED_RECEIPT_MAX + 1) : random % 100;
    return (struct stored_receipt){.number = number, .contents = some_bytes(contents, random, len)};
}

/* --- changes ---------------------------------------------------------------------------------- */

static uint64_t first_id(const struct model_session *session)
{
    return session->counts.confirmed + session->counts.gap + 1;
}

static void session_changed(const struct model *model, int which, bool real)
{
    struct stored_session session = session_of(model, which);
    if (real)
        must(STORE_LMDB.session_changed(fixture_store, &session) == 0);
}

static void create(struct model *model, int which, uint64_t random, bool real)
{
    model->sessions[which] = (struct model_session){
        .exists = true, .has_home = random % 8 == 0, .number = ++model->last_number};
    struct stored_session session = session_of(model, which);
    if (real)
        must(STORE_LMDB.session_created(fixture_store, &session) == 0);
}

static void add(struct model_session *session, uint64_t random, bool real)
{
    struct stored_message messages[3];
    size_t count = 1 + random % 3;
    if (session->last_id + count - first_id(session) >= MODEL_WAITING)
        return;
    for (size_t i = 0; i < count; i++) {
        uint64_t id = ++session->last_id, seed = (random >> 8) % 100000 + i + 1;
        session->seeds[id % MODEL_WAITING] = seed;
        session->broadcasts[id % MODEL_WAITING] = 0;
        messages[i] = message_of(id, seed);
    }
    if (real)
        must(STORE_LMDB.messages_added(fixture_store, session->number, messages, count) == 0);
}

/* Messages were confirmed, or dropped to make room. */
static void take_off(struct model *model, int which, uint64_t random, bool real)
{
    struct model_session *session = &model->sessions[which];
    struct stored_counts *counts = &session->counts;
    uint64_t first = first_id(session);
    if (first > session->last_id)
        return;
    uint64_t id = first + (random >> 8) % (session->last_id + 1 - first);
    if (random % 3 == 0) {
        counts->gap += id + 1 - first;
        counts->dropped += id + 1 - first;
        counts->overflowed += id + 1 - first;
    } else {
        counts->confirmed = id;
        counts->gap = 0;
    }
    bool removal_first = random & 0x80;
    if (real && removal_first)
        must(STORE_LMDB.messages_removed(fixture_store, session->number, id) == 0);
    session_changed(model, which, real);
    if (real && !removal_first)
        must(STORE_LMDB.messages_removed(fixture_store, session->number, id) == 0);
}

static void change_message(struct model *model, int which, uint64_t random, bool real)
{
    struct model_session *session = &model->sessions[which];
    uint64_t first = first_id(session);
    if (first > session->last_id)
        return;
    uint64_t id = first + (random >> 8) % (session->last_id + 1 - first);
    uint64_t *seed = &session->seeds[id % MODEL_WAITING];
    session->counts.dropped++;
    session->counts.replaced += random & 1;
    *seed = random & 1 ? 1 + (random >> 16) % 100000 : 0;
    session->broadcasts[id % MODEL_WAITING] = 0;
    struct stored_message message = message_of(id, *seed);
    if (real)
        must(STORE_LMDB.message_changed(fixture_store, session->number, &message) == 0);
    session_changed(model, which, real);
}

/* Each mailbox with room has it. What the store is told comes in one call or in two. */
static void broadcast(struct model *model, uint64_t random, bool real)
{
    struct stored_recipient recipients[MODEL_SESSIONS];
    size_t count = 0, first;
    uint64_t number = model->last_broadcast + 1;
    struct stored_message message = broadcast_of(0, number);
    if (model->broadcasts[number % MODEL_BROADCASTS] != 0)
        return;
    for (int i = 0; i < MODEL_SESSIONS; i++) {
        struct model_session *session = &model->sessions[i];
        if (!session->exists || session->has_home || (random >> i) % 8 == 0 ||
            session->last_id + 1 - first_id(session) >= MODEL_WAITING)
            continue;
        uint64_t id = ++session->last_id;
        session->broadcasts[id % MODEL_WAITING] = number;
        recipients[count++] = (struct stored_recipient){session->number, id};
    }
    model->last_broadcast = model->broadcasts[number % MODEL_BROADCASTS] = number;
    if (!real)
        return;
    must(STORE_LMDB.broadcast_added(fixture_store, number, &message, MODEL_SESSIONS) == 0);
    first = count > 0 ? (random >> 8) % (count + 1) : 0;
    must(first == 0 || STORE_LMDB.recipients_added(fixture_store, number, recipients, first) == 0);
    must(first == count || STORE_LMDB.recipients_added(fixture_store, number, recipients + first,
                                                       count - first) == 0);
}

static bool is_awaited(const struct model *model, uint64_t number)
{
    for (int i = 0; i < MODEL_SESSIONS; i++) {
        const struct model_session *session = &model->sessions[i];
        for (uint64_t id = first_id(session); session->exists && id <= session->last_id; id++)
            if (session->broadcasts[id % MODEL_WAITING] == number)
                return true;
    }
    return false;
}

static void forget_broadcasts(struct model *model, bool real)
{
    for (int i = 0; i < MODEL_BROADCASTS; i++) {
        uint64_t number = model->broadcasts[i];
        if (number == 0 || is_awaited(model, number))
            continue;
        model->broadcasts[i] = 0;
        if (real)
            must(STORE_LMDB.broadcast_removed(fixture_store, number) == 0);
    }
}

static void change_key(struct model_session *session, uint64_t random, bool real)
{
    size_t which = random % MODEL_KEYS;
    uint64_t *seed = &session->keys[which];
    *seed = *seed ? 0 : 1 + (random >> 8) % 100000;
    struct stored_key key = key_of(which, *seed);
    if (real && *seed)
        must(STORE_LMDB.key_added(fixture_store, session->number, &key) == 0);
    if (real && !*seed)
        must(STORE_LMDB.key_removed(fixture_store, session->number, key.key) == 0);
}

static void change_receipts(struct model *model, uint64_t random, bool real)
{
    uint64_t waiting = model->receipts_last - model->receipts_gone;
    if (random % 8 == 0 || waiting > 200) {
        model->receipts_gone += waiting ? (random >> 8) % (waiting + 1) : 0;
        if (real)
            must(STORE_LMDB.receipts_removed(fixture_store, model->receipts_gone) == 0);
        return;
    }
    struct stored_receipt receipt = receipt_of(++model->receipts_last);
    if (real)
        must(STORE_LMDB.receipt_added(fixture_store, &receipt) == 0);
}

void operate(struct model *model, uint64_t number, bool real)
{
    uint64_t random = scatter(number + 1000);
    int which = (int)(random % MODEL_SESSIONS);
    struct model_session *session = &model->sessions[which];
    random >>= 8;
    uint64_t choice = random % 64;
    random >>= 6;
    if (!session->exists) {
        create(model, which, random, real);
    } else if (choice == 0) {
        session->exists = false;
        if (real)
            must(STORE_LMDB.session_deleted(fixture_store, session->number) == 0);
    } else if (choice < 8) {
        change_receipts(model, random, real);
    } else if (choice < 16) {
        change_key(session, random, real);
    } else if (session->has_home) {
        session->counts.confirmed++;
        session_changed(model, which, real);
    } else if (choice < 24) {
        change_message(model, which, random, real);
    } else if (choice < 34) {
        take_off(model, which, random, real);
    } else if (choice < 60) {
        add(session, random, real);
    } else {
        broadcast(model, random, real);
    }
    /* Not at once: some wait for nobody. */
    if (choice % 2 == 0)
        forget_broadcasts(model, real);
}

/* --- comparison ------------------------------------------------------------------------------- */

static int next_by_number(const struct model *model, uint64_t after)
{
    int best = -1;
    for (int i = 0; i < MODEL_SESSIONS; i++)
        if (model->sessions[i].exists && model->sessions[i].number > after &&
            (best < 0 || model->sessions[i].number < model->sessions[best].number))
            best = i;
    return best;
}

static void print_model(const struct model *model, struct buffer *out)
{
    uint64_t last = model->last_broadcast;
    for (uint64_t n = last > MODEL_BROADCASTS ? last - MODEL_BROADCASTS : 1; n <= last; n++) {
        struct stored_message message = broadcast_of(0, n);
        if (model->broadcasts[n % MODEL_BROADCASTS] == n)
            print_broadcast(out, n, &message);
    }
    for (uint64_t n = model->receipts_gone + 1; n <= model->receipts_last; n++) {
        struct stored_receipt receipt = receipt_of(n);
        print_receipt(out, &receipt);
    }
    uint64_t after = 0;
    for (int i; (i = next_by_number(model, after)) >= 0;) {
        const struct model_session *session = &model->sessions[i];
        struct stored_session stored = session_of(model, i);
        print_session(out, &stored);
        for (uint64_t id = first_id(session); id <= session->last_id; id++) {
            uint64_t number = session->broadcasts[id % MODEL_WAITING];
            struct stored_message message =
                number ? broadcast_of(id, number)
                       : message_of(id, session->seeds[id % MODEL_WAITING]);
            print_message(out, &message);
        }
        for (size_t k = 0; k < MODEL_KEYS; k++) {
            struct stored_key key = key_of(k, session->keys[k]);
            if (session->keys[k])
                print_key(out, &key);
        }
        after = session->number;
    }
}

void expect_model(const struct model *model, uint64_t operations)
{
    struct buffer wanted = {0};
    print_model(model, &wanted);
    ck_assert_msg(slice_equal(buffer_slice(&fixture_found), buffer_slice(&wanted)),
                  "after %" PRIu64 " operations: found %.*s\nwanted %.*s", operations,
                  (int)buffer_len(&fixture_found), buffer_bytes(&fixture_found),
                  (int)buffer_len(&wanted), buffer_bytes(&wanted));
    buffer_free(&wanted);
}
