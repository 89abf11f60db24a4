/* POST /sessions, GET /sessions/KEY, DELETE /sessions/KEY, GET /sessions/KEY/messages/ID. */
#include <inttypes.h>

#include <jansson.h>

#include "base/units.h"
#include "codecs/data_frames.h"
#include "codecs/query_string.h"
#include "workers/client/backend/relay_call.h"

/* What one may ask for in POST /sessions; the strings live as long as the JSON document. */
struct session_wish {
    struct slice actor;
    struct slice key;
    struct slice home;
    uint64_t ttl_ms;
};

static struct slice string_of(const json_t *value)
{
    return slice_of(json_string_value(value), json_string_length(value));
}

/* Seconds as a number, or text with a unit. */
static bool read_ttl(const json_t *value, uint64_t *ttl_ms)
{
    if (json_is_integer(value) && json_integer_value(value) > 0)
        *ttl_ms = (uint64_t)json_integer_value(value) * 1000;
    else if (!json_is_string(value) || parse_duration(string_of(value), 1000, ttl_ms) != 0)
        return false;
    const struct setting_row *row = setting_row_find("server.sessions.ttl");
    return *ttl_ms >= row->min && *ttl_ms <= row->max;
}

/* Returns NULL, or what is wrong with the member. */
static const char *read_member(struct session_wish *wish, const char *name, const json_t *value)
{
    if (strcmp(name, "ttl") == 0)
        return read_ttl(value, &wish->ttl_ms)
                   ? NULL
                   : "\"ttl\" must be from 1 second to 365 days: 600, or \"10m\".";
    if (!json_is_string(value))
        return "\"actorId\", \"key\" and \"home\" must be strings, and there are no other members "
               "but \"ttl\".";
    if (strcmp(name, "actorId") == 0) {
        wish->actor = string_of(value);
        return actor_is_valid(wish->actor)
                   ? NULL
                   : "\"actorId\" must have 1 to 256 bytes and no control characters.";
    }
    if (strcmp(name, "key") == 0) {
        wish->key = string_of(value);
        return secret_is_valid(wish->key)
                   ? NULL
                   : "\"key\" must have 1 to 128 letters, digits, '-', '_' or '.'.";
    }
    if (strcmp(name, "home") == 0) {
        wish->home = string_of(value);
        return cluster_id_is_valid(wish->home)
                   ? NULL
                   : "\"home\" must be a cluster ID, like e2dd6de0a6166a3f:15001.";
    }
    return "Unknown member; accepted are \"actorId\", \"ttl\", \"key\" and \"home\".";
}

static const char *read_wish(struct session_wish *wish, json_t *document)
{
    const char *name, *wrong;
    json_t *value;
    if (!json_is_object(document))
        return "Send a JSON object, like {\"actorId\":\"bob\"}.";
    json_object_foreach(document, name, value)
    {
        wrong = read_member(wish, name, value);
        if (wrong)
            return wrong;
    }
    if (wish->actor.len == 0)
        return "\"actorId\" is missing: send {\"actorId\":\"bob\"}.";
    if (wish->home.len > 0 && wish->key.len == 0)
        return "\"home\" needs \"key\": the session was made at that host, with that key.";
    return NULL;
}

static const char *const STYLE_NAMES[] = {[STYLE_STREAM] = "stream",
                                          [STYLE_LONG_POLL] = "longpolling",
                                          [STYLE_SHORT_POLL] = "shortpolling"};

/* Where the client is; null when there is none, or its home is too old to say. */
static int put_attachment(struct buffer *out, const struct frame_session *session)
{
    if (session->attached_at.len == 0)
        return buffer_append_string(out, ",\"attachment\":null");
    return buffer_append_string(out, ",\"attachment\":{\"host\":") != 0 ||
                   put_json_string(out, session->attached_at) != 0 ||
                   buffer_printf(out, ",\"style\":\"%s\",\"seconds\":%" PRIu64 "}",
                                 STYLE_NAMES[session->attached_style],
                                 session->attached_ms / 1000) != 0
               ? -1
               : 0;
}

static int put_session_json(struct buffer *out, const struct frame_session *session)
{
    char key[SESSION_KEY_MAX + 1];
    struct slice key_home = session->adopted ? SLICE_EMPTY : session->home;
    size_t key_len = session_key_format(session->address, key_home, key);
    struct session_key parts;
    if (key_len == 0 || session_key_parse(slice_of(key, key_len), &parts) != 0)
        return -1;
    const size_t prefix = strlen(ADDRESS_PREFIX);
    const char *colon = memrchr(session->address.data, ':', session->address.len);
    struct slice actor =
        slice_of(session->address.data + prefix, (size_t)(colon - session->address.data) - prefix);
    return buffer_append_string(out, "{\"sessionKey\":") != 0 ||
                   put_json_string(out, slice_of(key, key_len)) != 0 ||
                   buffer_append_string(out, ",\"actorId\":") != 0 ||
                   put_json_string(out, actor) != 0 ||
                   buffer_append_string(out, ",\"home\":") != 0 ||
                   put_json_string(out, session->home) != 0 ||
                   buffer_printf(out, ",\"ttl\":%" PRIu64 ",\"age\":%" PRIu64 ",\"attached\":%s",
                                 session->ttl_ms / 1000, session->age_ms / 1000,
                                 session->attached ? "true" : "false") != 0 ||
                   put_attachment(out, session) != 0 ||
                   buffer_printf(out,
                                 ",\"lastId\":%" PRIu64 ",\"accepted\":%" PRIu64
                                 ",\"confirmed\":%" PRIu64 ",\"dropped\":%" PRIu64
                                 ",\"replaced\":%" PRIu64 ",\"overflowed\":%" PRIu64
                                 ",\"pending\":%" PRIu64 ",\"pendingBytes\":%" PRIu64 "}\n",
                                 session->last_id, session->accepted, session->confirmed,
                                 session->dropped, session->replaced, session->overflowed,
                                 session->pending, session->pending_bytes) != 0
               ? -1
               : 0;
}

/* `context` is the status of success. */
static void answer_session(struct exchange *exchange, struct slice payload, const void *context)
{
    struct frame_session session;
    struct buffer body = {0};
    if (get_session(payload, &session) != 0 || session.outcome >= OUTCOME_COUNT ||
        session.attached_style > STYLE_SHORT_POLL) {
        answer_outcome(exchange, OUTCOME_HOST_GONE);
    } else if (session.outcome != OUTCOME_QUEUED) {
        answer_outcome(exchange, session.outcome);
    } else if (put_session_json(&body, &session) != 0) {
        buffer_free(&body);
        answer_failure(exchange, REQUEST_NO_MEMORY);
    } else {
        answer_json(exchange, *(const unsigned *)context, &body);
    }
}

static const unsigned OK = 200, CREATED = 201;

void sessions_create(struct exchange *exchange, struct slice rest)
{
    (void)rest;
    struct slice text = exchange_request_of(exchange)->body;
    struct session_wish wish = {0};
    struct buffer payload = {0};
    json_error_t error;
    json_t *document =
        json_loadb(text.data ? text.data : "", text.len, JSON_REJECT_DUPLICATES, &error);
    const char *wrong = document ? read_wish(&wish, document) : NULL;
    if (!document) {
        answer_error(exchange, API_BAD_JSON, "The body is not JSON: line %d, column %d: %s.",
                     error.line, error.column, error.text);
        return;
    }
    struct frame_create_session create = {wish.actor, wish.key, wish.home, wish.ttl_ms};
    if (wrong)
        answer_error(exchange, API_BAD_REQUEST, "%s", wrong);
    else if (put_create_session_fields(&payload, &create) != 0)
        answer_failure(exchange, REQUEST_NO_MEMORY);
    else
        relay_call(exchange, SLICE_EMPTY, FRAME_CREATE_SESSION, &payload, FRAME_SESSION,
                   answer_session, &CREATED);
    json_decref(document);
}

/* Reads the key in the path; answers and returns false when it is none. */
static bool key_in_path(struct exchange *exchange, struct slice rest, struct session_key *key)
{
    char text[SESSION_KEY_MAX];
    long len = path_decode_into(rest, text, sizeof text);
    if (len >= 0 && session_key_parse(slice_of(text, (size_t)len), key) == 0)
        return true;
    answer_outcome(exchange, OUTCOME_INVALID_KEY);
    return false;
}

static const char *const STATE_NAMES[MESSAGE_STATES] = {
    [MESSAGE_PENDING] = "pending", [MESSAGE_CONFIRMED] = "confirmed", [MESSAGE_DROPPED] = "dropped",
    [MESSAGE_SETTLED] = "settled", [MESSAGE_UNKNOWN] = "unknown",
};

static void answer_message_state(struct exchange *exchange, struct slice payload,
                                 const void *context)
{
    (void)context;
    struct frame_message_state message;
    struct buffer body = {0};
    if (get_message_state(payload, &message) != 0 || message.outcome >= OUTCOME_COUNT ||
        message.state >= MESSAGE_STATES || message.settlement > SETTLEMENT_COUNT) {
        answer_outcome(exchange, OUTCOME_HOST_GONE);
        return;
    }
    if (message.outcome != OUTCOME_QUEUED) {
        answer_outcome(exchange, message.outcome);
        return;
    }
    int failed = buffer_printf(&body, "{\"state\":\"%s\",\"sent\":%s", STATE_NAMES[message.state],
                               message.sent ? "true" : "false");
    if (message.settlement < SETTLEMENT_COUNT)
        failed |= buffer_printf(&body, ",\"outcome\":\"%s\",\"at\":%" PRIu64,
                                settlement_code(message.settlement), message.at_ms);
    if (failed != 0 || buffer_append_string(&body, "}\n") != 0) {
        buffer_free(&body);
        answer_failure(exchange, REQUEST_NO_MEMORY);
        return;
    }
    answer_json(exchange, 200, &body);
}

/* "KEY/messages/ID": cuts it after the key, and gives the rest. False for a key alone, which has a
 * colon after its last slash. */
static bool take_message_id(struct slice *rest, struct slice *id)
{
    static const char MIDDLE[] = "/messages/";
    const size_t middle = sizeof MIDDLE - 1;
    const char *slash = memrchr(rest->data, '/', rest->len);
    size_t len = slash ? (size_t)(slash + 1 - rest->data) : 0;
    *id = slice_of(rest->data + len, rest->len - len);
    if (len < middle || memcmp(rest->data + len - middle, MIDDLE, middle) != 0 ||
        (id->len > 0 && memchr(id->data, ':', id->len)) || memmem(id->data, id->len, "%3", 2))
        return false;
    rest->len = len - middle;
    return true;
}

static void read_message(struct exchange *exchange, struct slice rest, struct slice id)
{
    struct session_key key;
    struct buffer payload = {0};
    struct frame_read_message read;
    if (!key_in_path(exchange, rest, &key))
        return;
    read.address = slice_from_string(key.address);
    if (parse_u64(id, &read.id) != 0)
        answer_error(exchange, API_BAD_REQUEST,
                     "The ID of a message is a number, as in /sessions/KEY/messages/12.");
    else if (put_read_message_fields(&payload, &read) != 0)
        answer_failure(exchange, REQUEST_NO_MEMORY);
    else
        relay_call(exchange, slice_from_string(key.home), FRAME_READ_MESSAGE, &payload,
                   FRAME_MESSAGE_STATE, answer_message_state, NULL);
}

void sessions_read(struct exchange *exchange, struct slice rest)
{
    struct session_key key;
    struct buffer payload = {0};
    struct slice id;
    if (take_message_id(&rest, &id)) {
        read_message(exchange, rest, id);
        return;
    }
    if (!key_in_path(exchange, rest, &key))
        return;
    struct frame_read_session read = {slice_from_string(key.address)};
    if (put_read_session_fields(&payload, &read) != 0)
        answer_failure(exchange, REQUEST_NO_MEMORY);
    else
        relay_call(exchange, slice_from_string(key.home), FRAME_READ_SESSION, &payload,
                   FRAME_SESSION, answer_session, &OK);
}

void sessions_delete(struct exchange *exchange, struct slice rest)
{
    struct session_key key;
    struct buffer payload = {0};
    if (!key_in_path(exchange, rest, &key))
        return;
    struct frame_delete_session remove = {slice_from_string(key.address)};
    if (put_delete_session_fields(&payload, &remove) != 0)
        answer_failure(exchange, REQUEST_NO_MEMORY);
    else
        relay_call(exchange, slice_from_string(key.home), FRAME_DELETE_SESSION, &payload,
                   FRAME_SESSION, answer_session, &OK);
}
