#include "master/discovery/announcement.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/units.h"

/* --- writing ---------------------------------------------------------------------------------- */

static json_t *strings_to_json(const struct string_list *strings)
{
    json_t *array = json_array();
    for (size_t i = 0; i < strings->count; i++) {
        if (json_array_append_new(array, json_string(strings->items[i])) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

int announcement_encode(const struct announcement *announcement, struct buffer *out)
{
    /* jansson keeps the order in which keys are put. "o" takes the reference, also on failure. */
    json_t *ips = strings_to_json(announcement->ips);
    json_t *document =
        ips ? json_pack("{s:o, s:{s:s, s:s, s:s, s:I, s:s*}}", "ips", ips, "data", "game",
                        announcement->game, "version", announcement->version, "clusterId",
                        announcement->cluster_id, "timestamp", (json_int_t)announcement->timestamp,
                        "publicKey", announcement->public_key)
            : NULL;
    if (!document) {
        errno = EINVAL;
        return -1;
    }
    char *text = json_dumps(document, JSON_COMPACT);
    json_decref(document);
    int result = text ? buffer_append_string(out, text) : -1;
    free(text);
    return result;
}

/* --- reading ---------------------------------------------------------------------------------- */

static const char *const FAULTS[] = {
#define ANNOUNCEMENT_TEXT(NAME, text) text,
    ANNOUNCEMENT_VERDICTS(ANNOUNCEMENT_TEXT)};

const char *announcement_fault(enum announcement_verdict verdict)
{
    return FAULTS[verdict];
}

/* The digits after the last ':' of the name, 1 to 65535. */
static bool read_port(struct slice name, unsigned *port)
{
    size_t at = name.len;
    uint64_t value;
    while (at > 0 && name.data[at - 1] != ':')
        at--;
    if (at == 0 || parse_u64(slice_of(name.data + at, name.len - at), &value) != 0 || value == 0 ||
        value > UINT16_MAX)
        return false;
    *port = (unsigned)value;
    return true;
}

/* It becomes a ZeroMQ identity and part of log lines. */
static bool is_cluster_id(const char *text)
{
    size_t len = strlen(text);
    if (len == 0 || len >= PEER_ID_ROOM)
        return false;
    for (size_t i = 0; i < len; i++)
        if (text[i] <= ' ' || text[i] > '~')
            return false;
    return true;
}

static bool read_timestamp(const json_t *value, uint64_t *timestamp)
{
    const double above_u53 = 9007199254740992.0; /* JavaScript's exact integers end here */
    double number = json_number_value(value);
    *timestamp = 0;
    if (!value)
        return true;
    if (!json_is_number(value) || !(number >= 0 && number < above_u53))
        return false;
    *timestamp = (uint64_t)number;
    return true;
}

/* null counts as none, as for a host that turned CURVE off. */
static bool read_public_key(const json_t *value, char public_key[CURVE_KEY_ROOM])
{
    const char *text = json_string_value(value);
    *public_key = '\0';
    if (!value || json_is_null(value))
        return true;
    if (!text || !curve_key_is_valid(slice_from_string(text)))
        return false;
    memcpy(public_key, text, CURVE_KEY_ROOM);
    return true;
}

static bool is_reachable(uint32_t address, const struct peer_rule *rule)
{
    for (size_t i = 0; i < rule->network_count; i++)
        if (netmask_contains(&rule->networks[i], address))
            return true;
    return rule->network_count == 0;
}

static enum announcement_verdict read_address(const json_t *ips, const struct peer_rule *rule,
                                              const char **chosen)
{
    size_t index;
    json_t *item;
    uint32_t address;
    *chosen = NULL;
    if (!json_is_array(ips))
        return ANNOUNCEMENT_NO_IPS;
    json_array_foreach(ips, index, item)
    {
        const char *text = json_string_value(item);
        if (!text)
            return ANNOUNCEMENT_NO_IPS;
        if (!*chosen && ipv4_parse(slice_from_string(text), &address) == 0 &&
            is_reachable(address, rule))
            *chosen = text;
    }
    return *chosen ? ANNOUNCEMENT_PEER : ANNOUNCEMENT_NO_ADDRESS;
}

static enum announcement_verdict read_document(const json_t *document, unsigned port,
                                               const struct peer_rule *rule, struct peer *peer)
{
    const json_t *data = json_object_get(document, "data");
    const char *game = json_string_value(json_object_get(data, "game"));
    const char *version = json_string_value(json_object_get(data, "version"));
    const char *cluster_id = json_string_value(json_object_get(data, "clusterId"));
    const char *address;

    if (!json_is_object(document))
        return ANNOUNCEMENT_NOT_OBJECT;
    if (!json_is_object(data))
        return ANNOUNCEMENT_NO_DATA;
    if (!game)
        return ANNOUNCEMENT_NO_GAME;
    if (!version)
        return ANNOUNCEMENT_NO_VERSION;
    if (strcmp(game, rule->game) != 0 || strcmp(version, rule->version) != 0)
        return ANNOUNCEMENT_OTHER_CLUSTER;
    if (!cluster_id || !is_cluster_id(cluster_id))
        return ANNOUNCEMENT_NO_CLUSTER_ID;
    if (!read_timestamp(json_object_get(data, "timestamp"), &peer->timestamp))
        return ANNOUNCEMENT_NO_TIMESTAMP;
    if (!read_public_key(json_object_get(data, "publicKey"), peer->public_key))
        return ANNOUNCEMENT_NO_PUBLIC_KEY;
    enum announcement_verdict verdict =
        read_address(json_object_get(document, "ips"), rule, &address);
    if (verdict == ANNOUNCEMENT_PEER) {
        snprintf(peer->cluster_id, sizeof peer->cluster_id, "%s", cluster_id);
        snprintf(peer->uri, sizeof peer->uri, "tcp://%.15s:%u", address, port & UINT16_MAX);
    }
    return verdict;
}

enum announcement_verdict announcement_read(struct slice name, struct slice json,
                                            const struct peer_rule *rule, struct peer *peer)
{
    unsigned port;
    if (json.len > ANNOUNCEMENT_MAX_BYTES)
        return ANNOUNCEMENT_TOO_LARGE;
    if (name.len > ANNOUNCEMENT_MAX_NAME || !read_port(name, &port))
        return ANNOUNCEMENT_NO_PORT;
    json_t *document = json_loadb(json.len ? json.data : "", json.len, JSON_DECODE_ANY, NULL);
    if (!document)
        return ANNOUNCEMENT_NOT_JSON;
    enum announcement_verdict verdict = read_document(document, port, rule, peer);
    json_decref(document);
    return verdict;
}
