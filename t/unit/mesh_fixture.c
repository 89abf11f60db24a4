#include "mesh_fixture.h"

#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "codecs/frame.h"

struct ev_loop *loop;

static void append(char *text, struct slice piece)
{
    size_t len = strlen(text);
    if (piece.len > NODE_TEXT_MAX - 1 - len)
        piece.len = NODE_TEXT_MAX - 1 - len;
    if (piece.len > 0)
        memcpy(text + len, piece.data, piece.len);
    text[len + piece.len] = '\0';
}

static void append_frame(char *text, struct slice frame)
{
    if (text[0])
        append(text, SLICE_LITERAL("|"));
    append(text, frame.len ? frame : SLICE_LITERAL("<>"));
}

static void on_envelope(void *context, struct slice sender, const struct envelope *envelope)
{
    (void)sender;
    struct node *node = context;
    if (node->envelope_count < NODE_ENVELOPES_MAX) {
        char *text = node->envelopes[node->envelope_count], meta[64];
        text[0] = '\0';
        for (size_t i = 0; i < envelope->route_len; i++)
            append_frame(text, envelope->route[i]);
        append_frame(text, SLICE_EMPTY);
        for (size_t i = 0; i < envelope->message_count; i++)
            append_frame(text, envelope->messages[i]);
        append_frame(text, SLICE_EMPTY);
        for (size_t i = 0; i < envelope->return_route_len; i++)
            append_frame(text, envelope->return_route[i]);
        snprintf(meta, sizeof meta, "%u %.*s", envelope->flags, (int)envelope->type_name.len,
                 envelope->type_name.data);
        append_frame(text, slice_from_string(meta));
    }
    node->envelope_count++;
}

static void on_peer(void *context, struct slice cluster_id, bool up, bool is_msgserver)
{
    struct node *node = context;
    ck_assert(mesh_peer(node->mesh, cluster_id).up == up || !up);
    ck_assert(!up || mesh_peer(node->mesh, cluster_id).is_msgserver == is_msgserver);
    if (up)
        node->ups++;
    else
        node->downs++;
}

static void on_writable(void *context, struct slice cluster_id)
{
    (void)cluster_id;
    ((struct node *)context)->writables++;
}

static const struct mesh_handlers HANDLERS = {on_envelope, on_peer, on_writable};

static void set(struct settings *settings, const char *key, const char *text)
{
    ck_assert_int_eq(setting_set(settings, setting_row_find(key), slice_from_string(text)), 0);
}

void node_start(struct node *node, const char *id, uint16_t bound_port)
{
    node_start_with_curve(node, id, bound_port, NULL);
}

void node_start_with_curve(struct node *node, const char *id, uint16_t bound_port,
                           const struct node_curve *curve)
{
    struct settings settings;
    char why[256] = "";
    if (!loop)
        loop = ev_loop_new(EVFLAG_AUTO);
    memset(node, 0, sizeof *node);
    ck_assert_int_eq(settings_init(&settings), 0);
    set(&settings, "server.mmrp.bind.host", "127.0.0.1");
    set(&settings, "server.mmrp.bind.port", "*");
    set(&settings, "server.mmrp.clusterId", id);
    if (curve) {
        set(&settings, "server.mmrp.curve.peersFile", curve->peers_file);
        set(&settings, "derived.meshSecretKey", curve->secret_key);
        set(&settings, "derived.meshPublicKey", curve->public_key);
    }
    /* ZeroMQ closes sockets in the background: an earlier life may still hold the port. */
    uint64_t limit = wait_limit();
    do
        node->mesh = mesh_open(loop, &settings, bound_port, &HANDLERS, node, why, sizeof why);
    while (!node->mesh && bound_port > 0 && run_once(limit));
    ck_assert_msg(node->mesh != NULL, "%s", why);
    settings_free(&settings);
    snprintf(node->id, sizeof node->id, "%s", id);
    snprintf(node->uri, sizeof node->uri, "tcp://127.0.0.1:%u", mesh_port(node->mesh));
    ck_assert(bound_port == 0 || mesh_port(node->mesh) == bound_port);
    ck_assert_slice_eq(mesh_cluster_id(node->mesh), id);
}

void node_stop(struct node *node)
{
    mesh_close(node->mesh);
    node->mesh = NULL;
}

void node_announce_with_key(struct node *node, const char *id, const char *uri, const char *key)
{
    struct buffer peers = {0};
    ck_assert_int_eq(put_slice(&peers, slice_from_string(id)), 0);
    ck_assert_int_eq(put_slice(&peers, slice_from_string(uri)), 0);
    ck_assert_int_eq(put_slice(&peers, slice_from_string(key)), 0);
    ck_assert_int_eq(mesh_set_peers(node->mesh, buffer_slice(&peers)), 0);
    buffer_free(&peers);
}

void node_announce_list(struct node *node, const char *const *texts)
{
    struct buffer peers = {0};
    for (; *texts; texts += 2) {
        ck_assert_int_eq(put_slice(&peers, slice_from_string(texts[0])), 0);
        ck_assert_int_eq(put_slice(&peers, slice_from_string(texts[1])), 0);
        ck_assert_int_eq(put_slice(&peers, SLICE_EMPTY), 0);
    }
    ck_assert_int_eq(mesh_set_peers(node->mesh, buffer_slice(&peers)), 0);
    buffer_free(&peers);
}

bool node_sees(const struct node *node, const char *id)
{
    return mesh_peer(node->mesh, slice_from_string(id)).up;
}

bool node_got(const struct node *node, const char *text)
{
    for (size_t i = 0; i < node->envelope_count && i < NODE_ENVELOPES_MAX; i++)
        if (strcmp(node->envelopes[i], text) == 0)
            return true;
    return false;
}

static bool all_see_all(const struct node *nodes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < count; k++)
            if (i != k && !node_sees(&nodes[i], nodes[k].id))
                return false;
    return true;
}

void nodes_join(struct node *nodes, size_t count)
{
    struct buffer peers = {0};
    for (size_t i = 0; i < count; i++) {
        char id[32];
        snprintf(id, sizeof id, "%c:1", (int)('A' + i));
        node_start(&nodes[i], id, 0);
        ck_assert_int_eq(put_slice(&peers, slice_from_string(nodes[i].id)), 0);
        ck_assert_int_eq(put_slice(&peers, slice_from_string(nodes[i].uri)), 0);
        ck_assert_int_eq(put_slice(&peers, SLICE_EMPTY), 0);
    }
    for (size_t i = 0; i < count; i++)
        ck_assert_int_eq(mesh_set_peers(nodes[i].mesh, buffer_slice(&peers)), 0);
    buffer_free(&peers);
    WAIT_FOR(all_see_all(nodes, count));
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < count; k++)
            ck_assert(i == k ||
                      mesh_peer(nodes[i].mesh, slice_from_string(nodes[k].id)).is_msgserver);
}

uint64_t wait_limit(void)
{
    return clock_monotonic_ms() + 10000;
}

static void tick(struct ev_loop *ticking, ev_timer *timer, int events)
{
    (void)ticking;
    (void)timer;
    (void)events;
}

/* The timer lets the caller look at what no event of the loop tells: raw sockets and clocks. */
bool run_once(uint64_t limit)
{
    ev_timer timer;
    ev_timer_init(&timer, tick, 0.001, 0.);
    ev_now_update(loop);
    ev_timer_start(loop, &timer);
    ev_run(loop, EVRUN_ONCE);
    ev_timer_stop(loop, &timer);
    return clock_monotonic_ms() < limit;
}

void run_for(unsigned milliseconds)
{
    uint64_t limit = clock_monotonic_ms() + milliseconds;
    while (run_once(limit))
        continue;
}

void fill_route(struct slice *route, size_t *len, const char *text)
{
    *len = 0;
    while (text && *text) {
        size_t hop = strcspn(text, "|");
        route[(*len)++] = slice_of(text, hop);
        text += hop + (text[hop] == '|');
    }
}

int send_text(struct node *node, const char *route, const char *body, const char *return_route,
              enum envelope_type type, uint8_t flags)
{
    struct slice message = slice_from_string(body);
    struct envelope envelope = {.messages = &message,
                                .message_count = 1,
                                .flags = flags,
                                .type = type,
                                .type_name = slice_from_string(envelope_type_name(type))};
    fill_route(envelope.route, &envelope.route_len, route);
    fill_route(envelope.return_route, &envelope.return_route_len, return_route);
    return mesh_send(node->mesh, &envelope);
}

/* --- a host that is not ours --------------------------------------------------------- */

static void *raw_socket(void *context, int type, const char *id)
{
    int none = 0, one = 1;
    void *socket = zmq_socket(context, type);
    ck_assert_ptr_nonnull(socket);
    zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof none);
    if (type == ZMQ_ROUTER)
        zmq_setsockopt(socket, ZMQ_ROUTER_MANDATORY, &one, sizeof one);
    else
        zmq_setsockopt(socket, ZMQ_ROUTING_ID, id, strlen(id));
    return socket;
}

void mage_start(struct mage *mage, const char *id, int receive_high_water)
{
    size_t room = sizeof mage->uri;
    mage->context = zmq_ctx_new();
    mage->router = raw_socket(mage->context, ZMQ_ROUTER, id);
    mage->dealer = raw_socket(mage->context, ZMQ_DEALER, id);
    if (receive_high_water > 0)
        zmq_setsockopt(mage->router, ZMQ_RCVHWM, &receive_high_water, sizeof receive_high_water);
    ck_assert_int_eq(zmq_bind(mage->router, "tcp://127.0.0.1:*"), 0);
    ck_assert_int_eq(zmq_getsockopt(mage->router, ZMQ_LAST_ENDPOINT, mage->uri, &room), 0);
}

void mage_connect(struct mage *mage, const struct node *node)
{
    ck_assert_int_eq(zmq_connect(mage->dealer, node->uri), 0);
}

void mage_stop(struct mage *mage)
{
    if (mage->router)
        zmq_close(mage->router);
    zmq_close(mage->dealer);
    zmq_ctx_term(mage->context);
}

void raw_send(void *socket, const char *text)
{
    const char *next = text;
    while (next) {
        size_t len = strcspn(next, "|");
        bool empty = len == 2 && memcmp(next, "<>", 2) == 0;
        const char *frame = next;
        next = frame[len] == '|' ? frame + len + 1 : NULL;
        /* A '0' or '1' before a type stands for the flags byte. */
        char meta[128];
        if (!next && len > 1 && len < sizeof meta && (frame[0] == '0' || frame[0] == '1')) {
            memcpy(meta, frame, len);
            meta[0] = (char)(frame[0] - '0');
            frame = meta;
        }
        int rc = zmq_send(socket, frame, empty ? 0 : len, next ? ZMQ_SNDMORE : 0);
        ck_assert_msg(rc >= 0, "%s: %s", text, zmq_strerror(errno));
    }
}

bool raw_receive_now(void *socket, char text[NODE_TEXT_MAX])
{
    int more = 1;
    text[0] = '\0';
    while (more) {
        zmq_msg_t frame;
        zmq_msg_init(&frame);
        if (zmq_msg_recv(&frame, socket, ZMQ_DONTWAIT) < 0)
            return false;
        more = zmq_msg_more(&frame);
        char *bytes = zmq_msg_data(&frame);
        if (!more && zmq_msg_size(&frame) > 0 && (unsigned char)bytes[0] < 10)
            bytes[0] = (char)(bytes[0] + '0');
        append_frame(text, slice_of(bytes, zmq_msg_size(&frame)));
        zmq_msg_close(&frame);
    }
    return true;
}

const char *raw_receive(void *socket, char text[NODE_TEXT_MAX])
{
    WAIT_FOR(raw_receive_now(socket, text));
    return text;
}
