#include "workers/client/message_stream_request.h"

#include <errno.h>
#include <string.h>

#include "base/table.h"
#include "codecs/message_pack.h"
#include "codecs/query_string.h"

static const struct {
    const char *name;
    enum transport transport;
} TRANSPORTS[] = {
    {"longpolling", TRANSPORT_LONG_POLLING},
    {"shortpolling", TRANSPORT_SHORT_POLLING},
    {"websocket", TRANSPORT_WEBSOCKET},
    {"sse", TRANSPORT_SSE},
};

static const char *const ERROR_TEXTS[MESSAGE_STREAM_ERRORS] = {
    [MESSAGE_STREAM_OK] = "",
    [MESSAGE_STREAM_BROKEN_ENCODING] = "Broken %XX in the query",
    [MESSAGE_STREAM_REPEATED] =
        "transport, sessionKey, confirmIds and lastEventId may be given once only",
    [MESSAGE_STREAM_BAD_IDS] = "Expected message IDs like 1,2,3",
    [MESSAGE_STREAM_NO_MEMORY] = "Out of memory",
};

const char *message_stream_error_text(enum message_stream_error error)
{
    return ERROR_TEXTS[error];
}

static enum message_stream_error take_transport(struct slice value,
                                                struct message_stream_request *request)
{
    request->transport = value.len > 0 ? TRANSPORT_UNKNOWN : TRANSPORT_MISSING;
    for (size_t i = 0; i < sizeof TRANSPORTS / sizeof *TRANSPORTS; i++)
        if (slice_equals_string(value, TRANSPORTS[i].name))
            request->transport = TRANSPORTS[i].transport;
    size_t len = value.len < TRANSPORT_NAME_MAX ? value.len : TRANSPORT_NAME_MAX;
    for (size_t i = 0; i < len; i++) {
        char c = value.data[i];
        bool printable = c > ' ' && c <= '~';
        request->transport_name[i] = '?';
        if (printable)
            request->transport_name[i] = c;
    }
    request->transport_name[len] = '\0';
    return MESSAGE_STREAM_OK;
}

static enum message_stream_error take_key(struct slice value,
                                          struct message_stream_request *request)
{
    request->has_key = value.len > 0;
    request->key_hash = table_hash(value.data, value.len);
    request->key_is_valid = session_key_parse(value, &request->key) == 0;
    return MESSAGE_STREAM_OK;
}

/* With more IDs than there is room for, the ones that do not fit are covered or come again. */
static enum message_stream_error take_ids(struct slice value,
                                          struct message_stream_request *request)
{
    long count = id_list_parse(value, request->confirmed + request->confirmed_count,
                               CONFIRMED_MAX - request->confirmed_count);
    if (count < 0)
        return MESSAGE_STREAM_BAD_IDS;
    request->confirmed_count += (size_t)count;
    return MESSAGE_STREAM_OK;
}

static const struct parameter_rule {
    const char *name;
    enum message_stream_error (*take)(struct slice value, struct message_stream_request *request);
} PARAMETERS[] = {
    {"transport", take_transport},
    {"sessionKey", take_key},
    {"confirmIds", take_ids},
    {"lastEventId", take_ids},
};
enum { PARAMETER_COUNT = sizeof PARAMETERS / sizeof *PARAMETERS };

static enum message_stream_error take_parameter(const struct parameter_rule *rule,
                                                struct slice encoded,
                                                struct message_stream_request *request)
{
    struct buffer value = {0};
    if (query_decode(encoded, &value) != 0)
        return errno == ENOMEM ? MESSAGE_STREAM_NO_MEMORY : MESSAGE_STREAM_BROKEN_ENCODING;
    enum message_stream_error error = rule->take(buffer_slice(&value), request);
    buffer_free(&value);
    return error;
}

enum message_stream_error message_stream_request_parse(const struct http_request *http,
                                                       struct message_stream_request *request)
{
    memset(request, 0, sizeof *request);
    struct slice query = http->query;
    struct query_parameter parameter;
    bool seen[PARAMETER_COUNT] = {0};
    enum message_stream_error error = MESSAGE_STREAM_OK;
    while (error == MESSAGE_STREAM_OK && query_next(&query, &parameter)) {
        size_t rule = 0;
        while (rule < PARAMETER_COUNT && !query_name_is(&parameter, PARAMETERS[rule].name))
            rule++;
        if (rule == PARAMETER_COUNT)
            continue;
        error = seen[rule] ? MESSAGE_STREAM_REPEATED
                           : take_parameter(&PARAMETERS[rule], parameter.value, request);
        seen[rule] = true;
    }
    struct slice last_event_id = http_request_field(http, "last-event-id");
    if (error == MESSAGE_STREAM_OK && last_event_id.len > 0)
        error = take_ids(last_event_id, request);
    return error;
}
