#include "fake_mesh.h"

#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/invariant.h"
#include "codecs/frame.h"
#include "unit.h"

enum { PEERS = 4, MESHES = 4, MESSAGES = 4096 };

struct fake_peer {
    char id[64];
    struct mesh_peer_state state;
    bool full;
};

struct mesh {
    char id[64];
    const struct mesh_handlers *handlers;
    void *context;
    struct fake_peer peers[PEERS];
    const struct mesh_peer_report *reports;
    size_t report_count;
    bool holding;
    struct buffer journal;
    struct buffer inbox; /* a run of slices, each an envelope as pack() writes it */
};

static struct mesh *meshes[MESHES];

static const char *const TYPE_NAMES[] = {[ENVELOPE_UNKNOWN] = "unknown",
#define TYPE_NAME(NAME, text) [ENVELOPE_##NAME] = text,
                                         ENVELOPE_TYPES(TYPE_NAME)
#undef TYPE_NAME
};

struct mesh *mesh_open(struct ev_loop *loop, const struct settings *settings, uint16_t bound_port,
                       const struct mesh_handlers *handlers, void *context, char *why,
                       size_t why_room)
{
    (void)loop;
    (void)bound_port;
    struct mesh *mesh = calloc(1, sizeof *mesh);
    ck_assert_ptr_nonnull(mesh);
    snprintf(mesh->id, sizeof mesh->id, "%s",
             settings->mmrp_cluster_id ? settings->mmrp_cluster_id : "host-a:1");
    mesh->handlers = handlers;
    mesh->context = context;
    for (size_t i = 0; i < MESHES; i++) {
        if (!meshes[i]) {
            meshes[i] = mesh;
            return mesh;
        }
    }
    snprintf(why, why_room, "too many meshes");
    free(mesh);
    return NULL;
}

void mesh_close(struct mesh *mesh)
{
    for (size_t i = 0; i < MESHES; i++)
        if (meshes[i] == mesh)
            meshes[i] = NULL;
    buffer_free(&mesh->journal);
    buffer_free(&mesh->inbox);
    free(mesh);
}

struct slice mesh_cluster_id(const struct mesh *mesh)
{
    return slice_from_string(mesh->id);
}

uint16_t mesh_port(const struct mesh *mesh)
{
    (void)mesh;
    return 1;
}

int mesh_set_peers(struct mesh *mesh, struct slice peers)
{
    (void)mesh;
    (void)peers;
    return 0;
}

static struct fake_peer *find_peer(const struct mesh *mesh, struct slice id)
{
    for (size_t i = 0; i < PEERS; i++)
        if (slice_equals_string(id, mesh->peers[i].id))
            return (struct fake_peer *)&mesh->peers[i];
    return NULL;
}

struct mesh_peer_state mesh_peer(const struct mesh *mesh, struct slice cluster_id)
{
    const struct fake_peer *peer = find_peer(mesh, cluster_id);
    return peer ? peer->state : (struct mesh_peer_state){0};
}

uint64_t mesh_peer_time(struct mesh *mesh, struct slice cluster_id, uint64_t then_us,
                        uint64_t age_us)
{
    (void)mesh;
    (void)cluster_id;
    (void)then_us;
    return clock_monotonic_us() - age_us;
}

static void write_list(struct buffer *out, const struct slice *items, size_t count,
                       const char *separator)
{
    for (size_t i = 0; i < count; i++) {
        buffer_append_string(out, i > 0 ? separator : "");
        buffer_append_slice(out, items[i]);
    }
}

/* Leaves out the times at the end of a connect. */
static void write_line(struct buffer *out, const struct envelope *envelope)
{
    enum { TIMES = 5 };
    size_t count = envelope->message_count;
    if (envelope->type == ENVELOPE_CONNECT && count > TIMES)
        count = TIMES;
    buffer_append_string(out, TYPE_NAMES[envelope->type]);
    buffer_append_string(out, " ");
    write_list(out, envelope->route, envelope->route_len, ",");
    buffer_append_string(out, " | ");
    write_list(out, envelope->messages, count, ";");
    buffer_append_string(out, " | ");
    write_list(out, envelope->return_route, envelope->return_route_len, ",");
    buffer_append_string(out, "\n");
}

static void pack_list(struct buffer *out, const struct slice *items, size_t count)
{
    put_u32(out, (uint32_t)count);
    for (size_t i = 0; i < count; i++)
        put_slice(out, items[i]);
}

/* As the peer receives it: without its own identity, and with ours on a tracked return route. */
static void pack(struct mesh *to, const struct mesh *from, const struct envelope *envelope)
{
    struct buffer packed = {0};
    struct slice back[ENVELOPE_ROUTE_MAX + 1] = {mesh_cluster_id(from)};
    bool tracked = envelope->flags & ENVELOPE_TRACK_ROUTE;
    memcpy(back + 1, envelope->return_route, sizeof envelope->return_route);
    put_slice(&packed, mesh_cluster_id(from));
    put_u8(&packed, (uint8_t)envelope->type);
    put_u8(&packed, envelope->flags);
    pack_list(&packed, envelope->route + 1, envelope->route_len - 1);
    pack_list(&packed, envelope->messages, envelope->message_count);
    pack_list(&packed, back, tracked ? envelope->return_route_len + 1 : 0);
    put_slice(&to->inbox, buffer_slice(&packed));
    buffer_free(&packed);
}

static size_t unpack_list(struct frame_reader *reader, struct slice *items, size_t room)
{
    size_t count = get_u32(reader);
    ck_assert_uint_le(count, room);
    for (size_t i = 0; i < count; i++)
        items[i] = get_slice(reader);
    return count;
}

static struct envelope unpack(struct slice packed, struct slice *sender)
{
    static struct slice messages[MESSAGES];
    struct frame_reader reader = reader_of(packed);
    struct envelope envelope = {.messages = messages};
    *sender = get_slice(&reader);
    envelope.type = (enum envelope_type)get_u8(&reader);
    envelope.type_name = slice_from_string(TYPE_NAMES[envelope.type]);
    envelope.flags = get_u8(&reader);
    envelope.route_len = unpack_list(&reader, envelope.route, ENVELOPE_ROUTE_MAX);
    envelope.message_count = unpack_list(&reader, messages, MESSAGES);
    envelope.return_route_len = unpack_list(&reader, envelope.return_route, ENVELOPE_ROUTE_MAX);
    return envelope;
}

static void deliver(struct mesh *mesh, struct slice packed)
{
    struct slice sender;
    struct envelope envelope = unpack(packed, &sender);
    mesh->handlers->on_envelope(mesh->context, sender, &envelope);
}

size_t fake_mesh_pump(void)
{
    size_t count = 0;
    for (size_t i = 0; i < MESHES; i++) {
        if (!meshes[i] || buffer_len(&meshes[i]->inbox) == 0)
            continue;
        struct buffer inbox = meshes[i]->inbox;
        meshes[i]->inbox = (struct buffer){0};
        struct frame_reader reader = reader_of(buffer_slice(&inbox));
        for (; reader_left(&reader) > 0; count++)
            deliver(meshes[i], get_slice(&reader));
        buffer_free(&inbox);
    }
    return count;
}

size_t fake_mesh_waiting(const struct mesh *mesh)
{
    struct frame_reader reader = reader_of(buffer_slice(&mesh->inbox));
    size_t count = 0;
    for (; reader_left(&reader) > 0; count++)
        get_slice(&reader);
    return count;
}

bool fake_mesh_connect_waits(const struct mesh *mesh)
{
    struct frame_reader reader = reader_of(buffer_slice(&mesh->inbox));
    struct slice sender;
    while (reader_left(&reader) > 0)
        if (unpack(get_slice(&reader), &sender).type == ENVELOPE_CONNECT)
            return true;
    return false;
}

/* The hop of the attachment that an envelope is about; empty for a confirmation. */
static struct slice subject(struct slice packed)
{
    struct slice sender;
    struct envelope envelope = unpack(packed, &sender);
    switch (envelope.type) {
    case ENVELOPE_CONNECT:
        return envelope.return_route[envelope.return_route_len - 1];
    case ENVELOPE_DISCONNECT:
        return envelope.messages[1];
    case ENVELOPE_MESSAGEPACK:
    case ENVELOPE_HOST_GONE:
        return envelope.route[envelope.route_len - 1];
    default:
        return SLICE_EMPTY;
    }
}

void fake_mesh_hand_on(struct mesh *mesh, size_t n)
{
    struct buffer inbox = mesh->inbox, rest = {0};
    struct frame_reader reader = reader_of(buffer_slice(&inbox));
    for (size_t i = 0; i < n; i++)
        get_slice(&reader);
    struct slice about = subject(get_slice(&reader)), chosen = SLICE_EMPTY;
    reader = reader_of(buffer_slice(&inbox));
    while (reader_left(&reader) > 0) {
        struct slice packed = get_slice(&reader);
        if (!chosen.data && slice_equal(subject(packed), about))
            chosen = packed;
        else
            put_slice(&rest, packed);
    }
    mesh->inbox = rest;
    deliver(mesh, chosen);
    buffer_free(&inbox);
}

void fake_mesh_lose(struct mesh *mesh)
{
    buffer_free(&mesh->inbox);
}

int mesh_send(struct mesh *mesh, const struct envelope *envelope)
{
    const struct fake_peer *peer = find_peer(mesh, envelope->route[0]);
    if (!peer || !peer->state.up || peer->full) {
        errno = peer && peer->full ? EAGAIN : EHOSTUNREACH;
        return -1;
    }
    for (size_t i = 0; i < envelope->message_count; i++)
        ck_assert_uint_gt(envelope->messages[i].len, 0);
    ck_assert_str_eq(TYPE_NAMES[envelope->type], envelope_type_name(envelope->type));
    write_line(&mesh->journal, envelope);
    for (size_t i = 0; i < MESHES; i++)
        if (meshes[i] && strcmp(meshes[i]->id, peer->id) == 0)
            pack(meshes[i], mesh, envelope);
    return 0;
}

uint32_t mesh_broadcast(struct mesh *mesh, struct slice body, uint32_t *failed)
{
    uint32_t told = 0;
    struct envelope envelope = {
        .type = ENVELOPE_BROADCAST, .route_len = 1, .messages = &body, .message_count = 1};
    for (size_t i = 0; i < PEERS; i++) {
        if (!mesh->peers[i].state.known)
            continue;
        envelope.route[0] = slice_from_string(mesh->peers[i].id);
        if (mesh_send(mesh, &envelope) == 0)
            told++;
        else
            ++*failed;
    }
    return told;
}

void mesh_hold(struct mesh *mesh)
{
    mesh->holding = true;
}

void mesh_release(struct mesh *mesh)
{
    mesh->holding = false;
}

bool fake_mesh_holds(const struct mesh *mesh)
{
    return mesh->holding;
}

struct mesh_counters mesh_counters(const struct mesh *mesh)
{
    (void)mesh;
    return (struct mesh_counters){0};
}

void fake_mesh_set_reports(struct mesh *mesh, const struct mesh_peer_report *reports, size_t count)
{
    mesh->reports = reports;
    mesh->report_count = count;
}

void mesh_each_peer(const struct mesh *mesh,
                    void (*each)(void *context, const struct mesh_peer_report *report),
                    void *context)
{
    for (size_t i = 0; i < mesh->report_count; i++)
        each(context, &mesh->reports[i]);
    for (size_t i = 0; i < PEERS && !mesh->reports; i++) {
        const struct fake_peer *peer = &mesh->peers[i];
        struct mesh_peer_report report = {.id = slice_from_string(peer->id),
                                          .state = peer->state.up ? "up" : "connecting",
                                          .is_msgserver = peer->state.is_msgserver};
        if (peer->id[0])
            each(context, &report);
    }
}

struct buffer *fake_mesh_journal(struct mesh *mesh)
{
    return &mesh->journal;
}

static struct fake_peer *get_peer(struct mesh *mesh, const char *id)
{
    struct fake_peer *peer = find_peer(mesh, slice_from_string(id));
    if (!peer) {
        peer = find_peer(mesh, SLICE_EMPTY);
        ck_assert_ptr_nonnull(peer);
        snprintf(peer->id, sizeof peer->id, "%s", id);
    }
    return peer;
}

void fake_mesh_set_peer(struct mesh *mesh, const char *id, struct mesh_peer_state state)
{
    struct fake_peer *peer = get_peer(mesh, id);
    struct mesh_peer_state before = peer->state;
    peer->state = state;
    if (before.up != state.up || (state.up && before.is_msgserver != state.is_msgserver))
        mesh->handlers->on_peer(mesh->context, slice_from_string(id), state.up, state.is_msgserver);
}

void fake_mesh_set_full(struct mesh *mesh, const char *id, bool full)
{
    struct fake_peer *peer = get_peer(mesh, id);
    peer->full = full;
    if (!full)
        mesh->handlers->on_writable(mesh->context, slice_from_string(id));
}

/* Splits in place; an empty text gives no items. */
static size_t split(char *text, const char *separator, struct slice *items, size_t room)
{
    size_t count = 0;
    for (char *rest = text, *item; *text && (item = strsep(&rest, separator));) {
        ck_assert_uint_lt(count, room);
        items[count++] = slice_from_string(item);
    }
    return count;
}

static char *next_part(char **rest)
{
    static char nothing[1];
    char *end = *rest ? strstr(*rest, " | ") : NULL, *part = *rest ? *rest : nothing;
    if (end)
        *end = '\0';
    *rest = end ? end + 3 : NULL;
    return part;
}

void fake_mesh_receive(struct mesh *mesh, const char *line)
{
    fake_mesh_receive_from(mesh, mesh->peers[0].id, line);
}

static void receive_envelope(struct mesh *mesh, const char *sender, const struct envelope *envelope)
{
    mesh->handlers->on_envelope(mesh->context,
                                envelope->return_route_len > 0 ? envelope->return_route[0]
                                                               : slice_from_string(sender),
                                envelope);
}

void fake_mesh_receive_from(struct mesh *mesh, const char *sender, const char *line)
{
    struct slice messages[64];
    char *copy = strdup(line), *rest = copy;
    char *route = strchr(copy, ' ');
    ck_assert_ptr_nonnull(route);
    *route++ = '\0';
    struct envelope envelope = {.messages = messages, .type_name = slice_from_string(copy)};
    for (size_t i = 1; i < sizeof TYPE_NAMES / sizeof *TYPE_NAMES; i++)
        if (strcmp(TYPE_NAMES[i], copy) == 0)
            envelope.type = (enum envelope_type)i;
    rest = route;
    char *messages_text = NULL, *back = NULL;
    route = next_part(&rest);
    messages_text = next_part(&rest);
    back = next_part(&rest);
    envelope.route_len = split(route, ",", envelope.route, ENVELOPE_ROUTE_MAX);
    envelope.message_count = split(messages_text, ";", messages, 64);
    envelope.return_route_len = split(back, ",", envelope.return_route, ENVELOPE_ROUTE_MAX);
    if (envelope.return_route_len > 0)
        envelope.flags = ENVELOPE_TRACK_ROUTE;
    receive_envelope(mesh, sender, &envelope);
    free(copy);
}

void fake_mesh_receive_envelope(struct mesh *mesh, const struct envelope *envelope)
{
    receive_envelope(mesh, mesh->peers[0].id, envelope);
}

void mesh_complain(struct mesh *mesh, struct slice sender, const struct envelope *envelope,
                   const char *why)
{
    (void)mesh, (void)sender, (void)envelope, (void)why;
}
