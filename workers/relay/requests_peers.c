#include "workers/relay/requests_peers.h"

#include "workers/relay/relay.h"

struct records {
    struct buffer run;
    struct buffer record;
    bool failed;
};

static void put_record(void *context, const struct mesh_peer_report *report)
{
    struct records *records = context;
    const struct mesh_peer_counters *counters = &report->counters;
    struct peer_record fields = {.id = report->id,
                                 .uri = report->uri,
                                 .state = slice_from_string(report->state),
                                 .software = report->software,
                                 .is_msgserver = report->is_msgserver,
                                 .state_ms = report->state_ms,
                                 .heard_ms = report->heard_ms,
                                 .rtt_us = report->rtt_us,
                                 .received = counters->received,
                                 .sent = counters->sent,
                                 .retried = counters->retried,
                                 .outbox_full = counters->outbox_full,
                                 .lost = counters->lost,
                                 .malformed = counters->malformed,
                                 .strangers = counters->strangers,
                                 .unroutable = counters->unroutable,
                                 .outbox_count = report->outbox_count,
                                 .outbox_bytes = report->outbox_bytes};
    buffer_clear(&records->record);
    records->failed = records->failed || put_peer_record(&records->record, &fields) != 0 ||
                      put_slice(&records->run, buffer_slice(&records->record)) != 0;
}

int answer_read_peers(struct relay *relay, struct slice payload, struct buffer *reply)
{
    struct frame_read_peers read;
    struct records records = {0};
    if (get_read_peers(payload, &read) != 0)
        return -1;
    mesh_each_peer(relay->mesh, put_record, &records);
    const struct settings *settings = relay->settings;
    struct frame_peer_reports reports = {.id = relay_cluster_id(relay),
                                         .bind_host = slice_from_string(settings->mmrp_host),
                                         .port = mesh_port(relay->mesh),
                                         .game = slice_from_string(settings->service_name),
                                         .version = slice_from_string(settings->service_version),
                                         .software = SLICE_LITERAL(PACKAGE_VERSION),
                                         .peers = buffer_slice(&records.run)};
    bool failed = records.failed || put_peer_reports_fields(reply, &reports) != 0;
    buffer_free(&records.run);
    buffer_free(&records.record);
    return failed ? -1 : 0;
}
