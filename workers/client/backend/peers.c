/* GET /peers: this host of the cluster, and how it stands with each of the others. */
#include <inttypes.h>

#include "workers/client/backend/relay_call.h"

/* `null` for an empty text. */
static int put_member(struct buffer *out, const char *name, struct slice text)
{
    return buffer_printf(out, "\"%s\":", name) != 0 ||
                   (text.len > 0 ? put_json_string(out, text)
                                 : buffer_append_string(out, "null")) != 0
               ? -1
               : 0;
}

static int put_host(struct buffer *out, const struct frame_peer_reports *reports)
{
    bool failed = buffer_append_string(out, "{\"host\":{") != 0 ||
                  put_member(out, "clusterId", reports->id) != 0;
    if (reports->port > 0)
        failed = failed ||
                 buffer_printf(out, ",\"bind\":\"tcp://%.*s:%u\",", (int)reports->bind_host.len,
                               reports->bind_host.data, reports->port) != 0;
    else
        failed = failed || buffer_append_string(out, ",\"bind\":null,") != 0;
    return failed || put_member(out, "game", reports->game) != 0 ||
                   buffer_append_string(out, ",") != 0 ||
                   put_member(out, "version", reports->version) != 0 ||
                   buffer_append_string(out, ",") != 0 ||
                   put_member(out, "software", reports->software) != 0 ||
                   buffer_append_string(out, "}") != 0
               ? -1
               : 0;
}

/* Fractions of a second and of a millisecond. */
static int put_times(struct buffer *out, const struct peer_record *peer)
{
    if (buffer_printf(out, ",\"seconds\":%" PRIu64 ",\"heardSeconds\":%" PRIu64 ".%03" PRIu64,
                      peer->state_ms / 1000, peer->heard_ms / 1000, peer->heard_ms % 1000) != 0)
        return -1;
    return peer->rtt_us > 0 ? buffer_printf(out, ",\"rttMs\":%" PRIu64 ".%03" PRIu64,
                                            peer->rtt_us / 1000, peer->rtt_us % 1000)
                            : buffer_append_string(out, ",\"rttMs\":null");
}

static int put_counters(struct buffer *out, const struct peer_record *peer)
{
    return buffer_printf(
        out,
        ",\"received\":%" PRIu64 ",\"sent\":%" PRIu64 ",\"retried\":%" PRIu64
        ",\"dropped\":{\"outboxFull\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"malformed\":%" PRIu64
        ",\"strangers\":%" PRIu64 ",\"unroutable\":%" PRIu64 "},\"outbox\":{\"count\":%" PRIu64
        ",\"bytes\":%" PRIu64 "}}",
        peer->received, peer->sent, peer->retried, peer->outbox_full, peer->lost, peer->malformed,
        peer->strangers, peer->unroutable, peer->outbox_count, peer->outbox_bytes);
}

static int put_peer(struct buffer *out, const struct peer_record *peer)
{
    const char *kind = peer->is_msgserver ? "msgserver" : "mage";
    return buffer_append_string(out, "{") != 0 || put_member(out, "clusterId", peer->id) != 0 ||
                   buffer_append_string(out, ",") != 0 || put_member(out, "uri", peer->uri) != 0 ||
                   buffer_append_string(out, ",") != 0 ||
                   put_member(out, "state", peer->state) != 0 || put_times(out, peer) != 0 ||
                   buffer_printf(out, ",\"kind\":\"%s\",", kind) != 0 ||
                   put_member(out, "software", peer->software) != 0 || put_counters(out, peer) != 0
               ? -1
               : 0;
}

static int put_peers(struct buffer *out, struct slice run)
{
    struct frame_reader reader = reader_of(run);
    const char *separator = "";
    while (reader_left(&reader) > 0) {
        struct peer_record peer;
        if (get_peer_record(get_slice(&reader), &peer) != 0 ||
            buffer_append_string(out, separator) != 0 || put_peer(out, &peer) != 0)
            return -1;
        separator = ",";
    }
    return reader_finish(&reader);
}

static void answer_peers(struct exchange *exchange, struct slice payload, const void *context)
{
    (void)context;
    struct frame_peer_reports reports;
    struct buffer body = {0};
    if (get_peer_reports(payload, &reports) != 0 || put_host(&body, &reports) != 0 ||
        buffer_append_string(&body, ",\"peers\":[") != 0 || put_peers(&body, reports.peers) != 0 ||
        buffer_append_string(&body, "]}\n") != 0) {
        buffer_free(&body);
        answer_failure(exchange, REQUEST_NO_MEMORY);
        return;
    }
    answer_json(exchange, 200, &body);
}

void peers_read(struct exchange *exchange, struct slice rest)
{
    (void)rest;
    struct buffer payload = {0};
    relay_call(exchange, SLICE_EMPTY, FRAME_READ_PEERS, &payload, FRAME_PEER_REPORTS, answer_peers,
               NULL);
}
