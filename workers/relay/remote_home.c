#include "workers/relay/remote_home.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/invariant.h"
#include "base/log.h"
#include "workers/relay/delivery.h"
#include "workers/relay/redelivery.h"
#include "workers/relay/relay.h"
#include "workers/relay/remote_home_internal.h"
#include "workers/relay/routing.h"
#include "workers/relay/worker_link.h"

/* Most IDs that are confirmed at once when a home is back; it sends the others again. */
enum { CONFIRM_RANGE_MAX = 1000 };

/* A connect that comes back undelivered is tried again so many times in a row, tick by tick. */
enum { CONNECT_ERRORS_MAX = 10, CONNECT_ERROR_MEMORY_MS = 3000 };

/* Within this time we hear that a host which stops is not announced any more. (That of one that was
 * killed ends with its ZooKeeper session: after several seconds.) */
enum { STOP_NOTICE_MS = 1000 };

/* Connects of one home that are repeated in one tick: for 160,000 clients within the interval. */
enum { REFRESHED_PER_TICK = 4000, RECONNECT_INTERVAL_MS = 1000 };

static struct slice home_id(const struct remote_home *home)
{
    return slice_of(home->id, home->id_len);
}

static struct slice client_address(const struct remote_client *client)
{
    return slice_of(client->address, client->address_len);
}

static struct remote_home *find_home(const struct relay *relay, struct slice id)
{
    struct remote_home *home;
    HASH_FIND(hh, relay->homes.homes, id.data, id.len, home);
    return home;
}

struct remote_client *remote_home_find(const struct relay *relay, struct slice address)
{
    struct remote_client *client;
    HASH_FIND(hh, relay->homes.clients, address.data, address.len, client);
    return client;
}

static void note_peer(struct relay *relay, struct remote_home *home, uint64_t now_ms)
{
    struct mesh_peer_state peer = mesh_peer(relay->mesh, home_id(home));
    if (peer.known)
        home->is_msgserver = peer.is_msgserver;
    if (peer.up) {
        home->away_since_ms = 0;
        return;
    }
    if (home->away_since_ms == 0)
        home->away_since_ms = now_ms;
    if (now_ms < home->away_since_ms + STOP_NOTICE_MS)
        home->was_announced = peer.known;
    else
        home->was_announced |= peer.known;
}

/* One that stops takes back its announcement, and then its connections end; we may hear of either
 * first. One that is announced for some time longer was killed, or is slow, or cut off: it may come
 * back with all that it has. */
static uint64_t patience_ms(const struct remote_home *home)
{
    return home->was_announced ? HOME_AWAY_LIMIT_MS : HOME_UNKNOWN_LIMIT_MS;
}

static struct remote_home *get_home(struct relay *relay, struct slice id)
{
    struct remote_home *home = find_home(relay, id);
    if (home)
        return home;
    home = calloc(1, sizeof *home + id.len);
    if (!home)
        return NULL;
    home->id_len = (uint16_t)id.len;
    memcpy(home->id, id.data, id.len);
    HASH_ADD_KEYPTR(hh, relay->homes.homes, home->id, home->id_len, home);
    if (!home->hh.tbl) {
        free(home);
        return NULL;
    }
    note_peer(relay, home, clock_monotonic_ms());
    return home;
}

static void free_home_if_unused(struct relay *relay, struct remote_home *home)
{
    if (home->clients)
        return;
    HASH_DELETE(hh, relay->homes.homes, home);
    free(home);
}

/* A MAGE host asks nobody whether a session exists: whoever names an address gets its mailbox. So
 * only sessions that a backend told us of are connected there; a host of ours checks by itself. */
static bool may_connect(const struct remote_client *client)
{
    const struct remote_home *home = client->home;
    return home->away_since_ms == 0 && (home->is_msgserver || client->adopted);
}

static struct remote_client *new_client(struct relay *relay, struct attachment *attachment,
                                        const struct frame_attach *attach, bool adopted)
{
    struct remote_home *home = get_home(relay, attach->home);
    if (!home)
        return NULL;
    struct remote_client *client = calloc(1, sizeof *client + attach->address.len);
    if (client) {
        client->address_len = (uint16_t)attach->address.len;
        memcpy(client->address, attach->address.data, attach->address.len);
        HASH_ADD_KEYPTR(hh, relay->homes.clients, client->address, client->address_len, client);
        if (client->hh.tbl) {
            client->attachment = attachment;
            client->home = home;
            client->adopted = adopted;
            client->attached_ms = client->connected_ms = clock_monotonic_ms();
            home->unproven += !adopted;
            DL_APPEND(home->clients, client);
            return client;
        }
        free(client);
    }
    free_home_if_unused(relay, home);
    return NULL;
}

void remote_client_set_due(struct remote_client *client, bool due)
{
    if (client->connect_due == due)
        return;
    client->connect_due = due;
    client->home->due += due ? 1 : (size_t)-1;
}

void remote_home_leave(struct relay *relay, struct attachment *attachment)
{
    struct remote_client *client = attachment->away;
    if (!client)
        return;
    struct remote_home *home = client->home;
    attachment->away = NULL;
    remote_client_set_due(client, false);
    home->unproven -= !client->adopted;
    HASH_DELETE(hh, relay->homes.clients, client);
    DL_DELETE(home->clients, client);
    free(client);
    free_home_if_unused(relay, home);
    metric_sub(&relay->metrics, METRIC_ATTACHED_ELSEWHERE, 1);
}

void remote_home_disconnect(struct relay *relay, const struct attachment *attachment)
{
    const struct remote_client *client = attachment->away;
    if (!client || !may_connect(client))
        return;
    if (routing_send_disconnect(relay, home_id(client->home), attachment, client_address(client)) !=
        0)
        LOG_DEBUG("disconnect-not-sent", "errno=%d", errno);
}

/* What could not be confirmed while the home was away. */
static void send_waiting_confirmation(struct relay *relay, struct remote_client *client)
{
    struct buffer ids = {0};
    int failed = 0;
    if (client->confirm_to == 0)
        return;
    /* Not by comparing IDs: what a client confirms may be the highest number there is. */
    uint64_t count = client->confirm_to - client->confirm_from + 1;
    for (uint64_t i = 0; i < count && failed == 0; i++)
        failed = put_u64(&ids, client->confirm_from + i);
    if (failed == 0 && routing_send_confirm(relay, home_id(client->home), client_address(client),
                                            buffer_slice(&ids)) == 0)
        client->confirm_from = client->confirm_to = 0;
    buffer_free(&ids);
}

uint32_t remote_client_room(const struct attachment *attachment)
{
    uint32_t in_flight = attachment->in_flight;
    return in_flight < attachment->window ? attachment->window - in_flight : 1;
}

/* Keeps the home's clients in the order of their last connects. */
static void note_connected(struct remote_client *client)
{
    client->connected_ms = clock_monotonic_ms();
    DL_DELETE(client->home->clients, client);
    DL_APPEND(client->home->clients, client);
}

/* A confirmation goes before the connect it came with (MMRP fact). */
static void send_connect(struct relay *relay, struct remote_client *client)
{
    struct attachment *attachment = client->attachment;
    if (!may_connect(client)) {
        remote_client_set_due(client, false);
        attachment_set_state(relay, attachment, ATTACHMENT_HOMELESS);
        return;
    }
    struct connect_order order = {.after = client->next_id > 0 ? client->next_id - 1 : 0,
                                  .window = remote_client_room(attachment),
                                  .resend = client->resend,
                                  .since_us = attachment->since_us,
                                  .age_us = clock_monotonic_us() - attachment->since_us,
                                  .confirmed = client->confirmed};
    send_waiting_confirmation(relay, client);
    note_connected(client);
    if (routing_send_connect(relay, home_id(client->home), attachment, client_address(client),
                             &order) != 0) {
        remote_client_set_due(client, true);
        return;
    }
    remote_client_set_due(client, false);
    client->resend = false;
    client->granted = order.window;
    client->since_connect = 0;
    attachment_set_state(relay, attachment, ATTACHMENT_IDLE);
}

static void note_confirmed(struct remote_client *client, struct slice confirmed)
{
    struct frame_reader reader = reader_of(confirmed);
    while (reader_left(&reader) > 0) {
        uint64_t id = get_u64(&reader);
        if (id == 0)
            continue;
        if (client->confirm_from == 0 || id < client->confirm_from)
            client->confirm_from = id;
        if (id > client->confirm_to)
            client->confirm_to = id;
    }
    if (client->confirm_to - client->confirm_from >= CONFIRM_RANGE_MAX)
        client->confirm_from = client->confirm_to - CONFIRM_RANGE_MAX + 1;
}

static void confirm(struct relay *relay, struct remote_client *client, struct slice confirmed)
{
    uint64_t highest = delivery_highest(confirmed);
    if (confirmed.len == 0)
        return;
    if (highest > client->confirmed)
        client->confirmed = highest;
    redelivery_note(relay, client->attachment);
    if (!may_connect(client) ||
        routing_send_confirm(relay, home_id(client->home), client_address(client), confirmed) != 0)
        note_confirmed(client, confirmed);
}

void remote_home_attach(struct relay *relay, struct attachment *attachment,
                        const struct frame_attach *attach, bool adopted)
{
    struct remote_client *old = remote_home_find(relay, attach->address);
    if (old && attachment_is_older(attachment, old->attachment)) {
        attachment_end(relay, attachment, END_SUPERSEDED);
        return;
    }
    if (old) {
        if (old->home->is_msgserver)
            remote_home_disconnect(relay, old->attachment);
        attachment_end(relay, old->attachment, END_SUPERSEDED);
    }
    struct remote_client *client = new_client(relay, attachment, attach, adopted);
    if (!client) {
        attachment_end(relay, attachment, END_FAILED);
        return;
    }
    attachment->away = client;
    client->was_connected = (attach->flags & ATTACH_RESUMED) != 0;
    metric_add(&relay->metrics, METRIC_ATTACHED_ELSEWHERE, 1);
    confirm(relay, client, attach->confirmed);
    send_connect(relay, client);
}

void remote_home_confirm(struct relay *relay, struct attachment *attachment, struct slice confirmed)
{
    confirm(relay, attachment->away, confirmed);
    /* What could not leave now leaves with a connect, which tells the home nothing else new. */
    if (attachment->away->confirm_to != 0 && attachment->state != ATTACHMENT_HOMELESS)
        remote_client_set_due(attachment->away, true);
}

void remote_client_renew_window(struct relay *relay, struct remote_client *client)
{
    const struct attachment *attachment = client->attachment;
    if (attachment->state == ATTACHMENT_IDLE && attachment->style == STYLE_STREAM &&
        client->home->is_msgserver && client->since_connect >= client->granted / 2 &&
        attachment->in_flight <= attachment->window / 2)
        send_connect(relay, client);
}

void remote_home_credit(struct relay *relay, struct attachment *attachment)
{
    if (attachment->state == ATTACHMENT_FULL && attachment->in_flight <= attachment->window / 2)
        send_connect(relay, attachment->away);
    else
        remote_client_renew_window(relay, attachment->away);
}

void remote_home_go_on(struct relay *relay, struct attachment *attachment)
{
    struct remote_client *client = attachment->away;
    client->resend = true;
    send_connect(relay, client);
}

bool remote_home_has_unconfirmed(const struct attachment *attachment)
{
    return attachment->away->given_to > attachment->away->confirmed;
}

/* The next pack is taken whatever it begins with: only the home knows what is not confirmed. */
void remote_home_redeliver(struct relay *relay, struct attachment *attachment)
{
    struct remote_client *client = attachment->away;
    if (client->resend || client->connect_due)
        return;
    client->next_id = 0;
    client->resend = true;
    send_connect(relay, client);
}

void remote_home_on_end(struct relay *relay, struct attachment *attachment, enum end_reason reason)
{
    if (reason == END_NO_SESSION && attachment->away->was_connected)
        reason = END_HOST_GONE; /* it was there, and is lost */
    attachment_end(relay, attachment, reason);
}

void remote_home_on_error(struct relay *relay, struct attachment *attachment)
{
    struct remote_client *client = attachment->away;
    uint64_t now_ms = clock_monotonic_ms();
    if (now_ms >= client->last_error_ms + CONNECT_ERROR_MEMORY_MS)
        client->errors = 0;
    client->last_error_ms = now_ms;
    if (++client->errors >= CONNECT_ERRORS_MAX) {
        attachment_end(relay, attachment, END_HOST_GONE);
        return;
    }
    client->resend = true;
    remote_client_set_due(client, true);
}

static void home_lost(struct relay *relay, struct remote_home *home)
{
    for (struct remote_client *client = home->clients; client; client = client->next) {
        remote_client_set_due(client, false);
        /* A home answers a connect only when there is a message or no session: so it was there. */
        if (client->attachment->state != ATTACHMENT_HOMELESS)
            client->was_connected = true;
        attachment_set_state(relay, client->attachment, ATTACHMENT_HOMELESS);
    }
}

/* The next of those who were there when `last` was the last: connects change their order. */
static struct remote_client *next_of(const struct remote_client *client,
                                     const struct remote_client *last)
{
    return client == last ? NULL : client->next;
}

static void home_back(struct relay *relay, struct remote_home *home)
{
    home->reconnect_due = false;
    home->reconnected_ms = clock_monotonic_ms();
    struct remote_client *last = home->clients ? home->clients->prev : NULL;
    for (struct remote_client *client = home->clients, *next; client; client = next) {
        next = next_of(client, last);
        client->resend = true;
        send_connect(relay, client);
    }
}

/* A home that is there says so anew: anybody can in its name, so not more often than by ticks. */
static void home_confirmed(struct relay *relay, struct remote_home *home)
{
    if (clock_monotonic_ms() < home->reconnected_ms + RECONNECT_INTERVAL_MS)
        home->reconnect_due = true;
    else
        home_back(relay, home);
}

void remote_home_on_peer(struct relay *relay, struct slice cluster_id, bool up)
{
    struct remote_home *home = find_home(relay, cluster_id);
    if (!home)
        return;
    bool was_up = home->away_since_ms == 0;
    note_peer(relay, home, clock_monotonic_ms());
    if (!up)
        home_lost(relay, home);
    else if (was_up)
        home_confirmed(relay, home);
    else
        home_back(relay, home);
}

static void send_due(struct relay *relay, struct remote_home *home)
{
    struct remote_client *last = home->clients ? home->clients->prev : NULL;
    for (struct remote_client *client = home->clients, *next; client; client = next) {
        next = next_of(client, last);
        if (home->due == 0)
            return;
        if (client->connect_due)
            send_connect(relay, client);
    }
}

/* See remote_home.h. A poll is over soon enough. */
static void refresh(struct relay *relay, struct remote_home *home, uint64_t now_ms)
{
    struct remote_client *client;
    for (int i = 0; i < REFRESHED_PER_TICK && home->is_msgserver; i++) {
        client = home->clients;
        if (!client || now_ms < client->connected_ms + REMOTE_REFRESH_MS)
            return;
        if (client->attachment->style == STYLE_STREAM &&
            client->attachment->state == ATTACHMENT_IDLE)
            send_connect(relay, client);
        else
            note_connected(client);
        if (client->connect_due) /* the peer takes no more now */
            return;
    }
}

void remote_home_on_writable(struct relay *relay, struct slice cluster_id)
{
    struct remote_home *home = find_home(relay, cluster_id);
    if (home)
        send_due(relay, home);
}

static void give_up(struct relay *relay, struct remote_home *home)
{
    LOG_NOTICE("home-given-up", "home=%s", LOG_TEXT(home_id(home)));
    /* The last one takes the home with it. */
    for (struct remote_client *client = home->clients, *next; client; client = next) {
        next = client->next;
        attachment_end(relay, client->attachment, END_HOST_GONE);
    }
}

/* At a MAGE host; before its kind was known, ours may have been meant. */
static void refuse_unproven(struct relay *relay, struct remote_home *home, uint64_t now_ms)
{
    struct remote_client *client, *next;
    if (home->is_msgserver || home->unproven == 0)
        return;
    DL_FOREACH_SAFE(home->clients, client, next) {
        if (!client->adopted && now_ms >= client->attached_ms + HOME_UNKNOWN_LIMIT_MS)
            attachment_end(relay, client->attachment, END_NO_SESSION);
    }
}

void remote_home_tick(struct relay *relay, uint64_t now_ms)
{
    for (struct remote_home *home = relay->homes.homes, *next; home; home = next) {
        next = home->hh.next;
        if (home->away_since_ms == 0) {
            if (home->reconnect_due)
                home_back(relay, home);
            send_due(relay, home);
            refresh(relay, home, now_ms);
            refuse_unproven(relay, home, now_ms);
            continue;
        }
        note_peer(relay, home, now_ms);
        if (home->away_since_ms > 0 && now_ms >= home->away_since_ms + patience_ms(home))
            give_up(relay, home);
    }
}
