#include "codecs/session_key.h"

#include <errno.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '_' || c == '.';
}

static bool all(struct slice text, bool (*accepted)(char))
{
    for (size_t i = 0; i < text.len; i++)
        if (!accepted(text.data[i]))
            return false;
    return true;
}

static bool is_printable(char c)
{
    return (unsigned char)c >= 0x20 && c != 0x7f;
}

bool actor_is_valid(struct slice actor)
{
    return actor.len >= 1 && actor.len <= ACTOR_MAX && all(actor, is_printable);
}

bool secret_is_valid(struct slice secret)
{
    return secret.len >= 1 && secret.len <= SECRET_MAX && all(secret, is_word);
}

/* Splits at the last `separator`; both parts may be empty. */
static bool split_at_last(struct slice text, char separator, struct slice *head, struct slice *tail)
{
    const char *found = text.len > 0 ? memrchr(text.data, separator, text.len) : NULL;
    if (!found)
        return false;
    *head = slice_of(text.data, (size_t)(found - text.data));
    *tail = slice_of(found + 1, text.len - head->len - 1);
    return true;
}

static bool cluster_parts_are_valid(struct slice host, struct slice port)
{
    return host.len >= 1 && host.len + 1 + port.len <= CLUSTER_ID_MAX && all(host, is_word) &&
           port.len >= 1 && all(port, is_digit);
}

bool cluster_id_is_valid(struct slice id)
{
    struct slice host, port;
    return split_at_last(id, ':', &host, &port) && cluster_parts_are_valid(host, port);
}

bool address_is_valid(struct slice address)
{
    const size_t prefix = strlen(ADDRESS_PREFIX);
    struct slice actor, secret;
    return slice_starts_with(address, ADDRESS_PREFIX) &&
           split_at_last(slice_of(address.data + prefix, address.len - prefix), ':', &actor,
                         &secret) &&
           actor_is_valid(actor) && secret_is_valid(secret);
}

static char *append(char *at, const char *data, size_t len)
{
    memcpy(at, data, len);
    at[len] = '\0';
    return at + len;
}

int session_key_parse(struct slice text, struct session_key *key)
{
    struct slice actor, rest, secret, home = SLICE_EMPTY;
    errno = EINVAL;
    if (!split_at_last(text, ':', &actor, &rest))
        return -1;
    bool has_home = split_at_last(rest, '~', &secret, &home);
    if (!has_home)
        secret = rest;
    if (!actor_is_valid(actor) || !secret_is_valid(secret))
        return -1;
    key->home[0] = '\0';
    if (has_home) {
        struct slice host, port;
        if (!split_at_last(home, '.', &host, &port) || !cluster_parts_are_valid(host, port))
            return -1;
        append(append(append(key->home, host.data, host.len), ":", 1), port.data, port.len);
    }
    char *at = append(key->address, ADDRESS_PREFIX, strlen(ADDRESS_PREFIX));
    at = append(append(at, actor.data, actor.len), ":", 1);
    append(at, secret.data, secret.len);
    return 0;
}

size_t session_key_format(struct slice address, struct slice home, char *text)
{
    if (!address_is_valid(address) || (home.len > 0 && !cluster_id_is_valid(home)))
        return 0;
    const size_t prefix = strlen(ADDRESS_PREFIX);
    char *at = append(text, address.data + prefix, address.len - prefix);
    struct slice host, port;
    if (home.len > 0 && split_at_last(home, ':', &host, &port)) {
        at = append(append(at, "~", 1), host.data, host.len);
        at = append(append(at, ".", 1), port.data, port.len);
    }
    return (size_t)(at - text);
}
