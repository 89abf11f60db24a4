#include "workers/relay/mesh/handshake.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

#include "base/units.h"
#include "codecs/envelope_pack.h"

static const char SERVER[] = "msgserver";
static const char PACK_FORM[] = "1"; /* ENVELOPE_PACK_FORM */

int handshake_write(struct slice cluster_id, const struct service *service, struct buffer *json)
{
    int len = (int)cluster_id.len;
    /* jansson keeps the order of members; MAGE's is kept byte for byte. */
    json_t *object = json_pack("{s:s#, s:s#, s:b, s:b, s:s, s:s, s:s, s:s, s:s}", "clusterId",
                               cluster_id.data, len, "identity", cluster_id.data, len, "isRelay", 1,
                               "isClient", 0, "server", SERVER, "software", PACKAGE_VERSION, "game",
                               service->game, "version", service->version, "pack", PACK_FORM);
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    int rc = text ? buffer_append_string(json, text) : -1;
    free(text);
    if (rc != 0)
        errno = ENOMEM;
    return rc;
}

static const char *text_member(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static bool differs(const char *theirs, const char *ours)
{
    return theirs && strcmp(theirs, ours) != 0;
}

/* It is shown to operators as it is. */
static void copy_printable(char out[HANDSHAKE_SOFTWARE_MAX + 1], const char *text)
{
    size_t len = 0;
    for (; text && text[len] > ' ' && text[len] < 0x7f && len < HANDSHAKE_SOFTWARE_MAX; len++)
        out[len] = text[len];
    out[len] = '\0';
}

static int read_members(const json_t *object, const struct service *service,
                        struct handshake *handshake)
{
    const char *cluster_id = text_member(object, "clusterId");
    const char *identity = text_member(object, "identity");
    const char *server = text_member(object, "server");
    uint64_t form;
    const json_t *is_relay = json_object_get(object, "isRelay");
    if (!cluster_id || !identity || !json_is_boolean(is_relay) ||
        !cluster_id_is_valid(slice_from_string(cluster_id)))
        return -1;
    handshake->is_relay = json_is_true(is_relay);
    handshake->is_msgserver = server && strcmp(server, SERVER) == 0;
    handshake->is_foreign = differs(text_member(object, "game"), service->game) ||
                            differs(text_member(object, "version"), service->version);
    handshake->reads_packs =
        parse_u64(slice_from_string(text_member(object, "pack")), &form) == 0 &&
        form >= ENVELOPE_PACK_FORM;
    copy_printable(handshake->software, text_member(object, "software"));
    if (handshake->is_relay && strcmp(cluster_id, identity) != 0)
        return -1;
    memcpy(handshake->cluster_id, cluster_id, strlen(cluster_id) + 1);
    return 0;
}

int handshake_read(struct slice json, const struct service *service, struct handshake *handshake)
{
    json_t *object = json.len <= HANDSHAKE_MAX
                         ? json_loadb(json.data ? json.data : "", json.len, 0, NULL)
                         : NULL;
    int rc = json_is_object(object) ? read_members(object, service, handshake) : -1;
    json_decref(object);
    if (rc != 0)
        errno = EINVAL;
    return rc;
}
