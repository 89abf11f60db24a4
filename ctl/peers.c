/* msgserverctl peers */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/backend_client.h"
#include "ctl/brief.h"
#include "ctl/commands.h"
#include "io/child_contract.h"

enum { ID_WIDTH = 22 }; /* 16 digits, a colon and a port */

static const char *text_of(const json_t *object, const char *name, const char *otherwise)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : otherwise;
}

static uint64_t number_of(const json_t *object, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(object, name));
}

static void print_host(const json_t *host)
{
    printf("%s  msgserver %s at %s, game %s, version %s\n", text_of(host, "clusterId", "?"),
           text_of(host, "software", "?"),
           text_of(host, "bind", "no address (server.mmrp.bind.port is not set)"),
           text_of(host, "game", "?"), text_of(host, "version", "?"));
}

static uint64_t sum_of(const json_t *dropped)
{
    uint64_t sum = 0;
    const char *reason;
    json_t *count;
    json_object_foreach((json_t *)dropped, reason, count) sum +=
        (uint64_t)json_integer_value(count);
    return sum;
}

static const char *rtt_of(const json_t *peer, char text[BRIEF_ROOM])
{
    const json_t *rtt = json_object_get(peer, "rttMs");
    return json_is_number(rtt) ? brief_milliseconds(json_number_value(rtt), text) : "-";
}

static void print_figures(const json_t *peer)
{
    char seconds[BRIEF_ROOM], heard[BRIEF_ROOM], rtt[BRIEF_ROOM], sent[BRIEF_ROOM],
        received[BRIEF_ROOM], retried[BRIEF_ROOM], dropped[BRIEF_ROOM], waiting[BRIEF_ROOM];
    const json_t *outbox = json_object_get(peer, "outbox");
    double heard_s = json_number_value(json_object_get(peer, "heardSeconds"));
    printf("%-*s %-11s %5s %6s %6s %7s %8s %7s %7s %7s\n", ID_WIDTH,
           text_of(peer, "clusterId", "?"), text_of(peer, "state", "?"),
           brief_seconds(number_of(peer, "seconds"), seconds),
           heard_s < 10 ? brief_milliseconds(heard_s * 1000, heard)
                        : brief_seconds((uint64_t)heard_s, heard),
           rtt_of(peer, rtt), brief_count(number_of(peer, "sent"), sent),
           brief_count(number_of(peer, "received"), received),
           brief_count(number_of(peer, "retried"), retried),
           brief_count(sum_of(json_object_get(peer, "dropped")), dropped),
           brief_count(number_of(outbox, "count"), waiting));
}

/* What the table has no room for: who it is, and what is out of order. */
static void print_details(const json_t *peer)
{
    const json_t *dropped = json_object_get(peer, "dropped"), *count;
    const json_t *outbox = json_object_get(peer, "outbox");
    const char *software = text_of(peer, "software", ""), *reason, *separator = "  dropped:";
    printf("  %s%s%s, %s\n", text_of(peer, "kind", "?"), *software ? " " : "", software,
           text_of(peer, "uri", "announced nowhere"));
    json_object_foreach((json_t *)dropped, reason, count)
    {
        if (json_integer_value(count) == 0)
            continue;
        printf("%s %" JSON_INTEGER_FORMAT " %s", separator, json_integer_value(count), reason);
        separator = ",";
    }
    if (sum_of(dropped) > 0)
        putchar('\n');
    if (number_of(outbox, "count") > 0)
        printf("  waiting: %" PRIu64 " envelopes of %" PRIu64 " bytes\n",
               number_of(outbox, "count"), number_of(outbox, "bytes"));
}

static void print_peers(const json_t *host, const json_t *peers)
{
    size_t i;
    json_t *peer;
    print_host(host);
    if (json_array_size(peers) == 0) {
        printf("no peers\n");
        return;
    }
    printf("\n%-*s %-11s %5s %6s %6s %7s %8s %7s %7s %7s\n", ID_WIDTH, "PEER", "STATE", "FOR",
           "HEARD", "RTT", "SENT", "RECEIVED", "RETRIED", "DROPPED", "WAITING");
    json_array_foreach((json_t *)peers, i, peer)
    {
        print_figures(peer);
        print_details(peer);
    }
}

int peers_command(const struct ctl_options *options)
{
    struct backend_answer answer;
    int status = backend_ask(options, "/peers", NULL, &answer);
    if (status == EXIT_OK) {
        const json_t *host = json_object_get(answer.object, "host");
        const json_t *peers = json_object_get(answer.object, "peers");
        if (!json_is_object(host) || !json_is_array(peers))
            status = backend_not_understood();
        else if (options->json)
            fwrite(buffer_bytes(&answer.text), 1, buffer_len(&answer.text), stdout);
        else
            print_peers(host, peers);
    }
    backend_answer_free(&answer);
    return status;
}
