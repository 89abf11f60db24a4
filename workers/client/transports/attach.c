#include "workers/client/transports/attach.h"

#include "base/clock.h"

bool transport_attach(struct connection *connection, enum attachment_style style,
                      const struct message_stream_request *request,
                      const struct attachment_events *events)
{
    connection->attachment =
        attachment_new(connection->worker->relay, style, slice_from_string(request->key.address),
                       slice_from_string(request->key.home), request->confirmed,
                       request->confirmed_count, events, connection);
    return connection_wrote(connection, !connection->attachment);
}

bool transport_must_hold_refusal(struct connection *connection, enum end_reason reason)
{
    if (!session_refusals_note(&connection->worker->refusals, connection->key_hash,
                               clock_monotonic_ms()))
        return false;
    connection->refused = true;
    connection->refusal = (uint8_t)reason;
    connection_set_deadline(connection, DEADLINE_PACE);
    return true;
}
