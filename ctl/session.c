/* msgserverctl session KEY */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/backend_client.h"
#include "ctl/brief.h"
#include "ctl/commands.h"
#include "io/child_contract.h"

static uint64_t number_of(const json_t *object, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(object, name));
}

static void print_client(const json_t *session)
{
    char since[BRIEF_ROOM];
    const char *host, *style;
    json_int_t seconds;
    json_t *attachment = json_object_get(session, "attachment");
    if (json_unpack(attachment, "{s:s, s:s, s:I}", "host", &host, "style", &style, "seconds",
                    &seconds) == 0)
        printf("  client    at %s, %s, for %s\n", host, style,
               brief_seconds((uint64_t)seconds, since));
    else if (json_is_true(json_object_get(session, "attached")))
        printf("  client    attached; its home does not say where\n");
    else
        printf("  client    none\n");
}

static void print_session(const json_t *session)
{
    char age[BRIEF_ROOM], ttl[BRIEF_ROOM];
    printf("%s\n", json_string_value(json_object_get(session, "sessionKey")));
    printf("  home      %s\n", json_string_value(json_object_get(session, "home")));
    print_client(session);
    printf("  age       %s; ends %s after its client left\n",
           brief_seconds(number_of(session, "age"), age),
           brief_seconds(number_of(session, "ttl"), ttl));
    printf("  waiting   %" PRIu64 ", of %" PRIu64 " bytes\n", number_of(session, "pending"),
           number_of(session, "pendingBytes"));
    printf("  messages  accepted %" PRIu64 " = confirmed %" PRIu64 " + waiting %" PRIu64
           " + dropped %" PRIu64 "; highest ID %" PRIu64 "\n",
           number_of(session, "accepted"), number_of(session, "confirmed"),
           number_of(session, "pending"), number_of(session, "dropped"),
           number_of(session, "lastId"));
}

int session_command(const struct ctl_options *options)
{
    struct backend_answer answer;
    int status = backend_ask(options, "/sessions/", options->argument, &answer);
    if (status == EXIT_OK) {
        if (!json_is_string(json_object_get(answer.object, "sessionKey")) ||
            !json_is_string(json_object_get(answer.object, "home")))
            status = backend_not_understood();
        else if (options->json)
            fwrite(buffer_bytes(&answer.text), 1, buffer_len(&answer.text), stdout);
        else
            print_session(answer.object);
    }
    backend_answer_free(&answer);
    return status;
}
