#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <time.h>

#include "ctl/commands.h"
#include "ctl/store_place.h"
#include "ctl/store_totals.h"
#include "io/child_contract.h"

static const char SET_ASIDE_NEXT[] =
    "at its next start, the server sets it aside as store.damaged-<time> and begins with an empty "
    "one";
static const char NOT_READ_NEXT[] = "no server reads this file";
static const char UNDO_NEXT[] =
    "at its next start, the server undoes that commit: a kill cut it off, or it was damaged since";

static const char *next(const struct store_place *place, const struct store_findings *findings)
{
    if (!place->is_own)
        return NOT_READ_NEXT;
    return findings->damage ? SET_ASIDE_NEXT : UNDO_NEXT;
}

static bool is_cut_off(const struct store_findings *findings)
{
    return !findings->damage && findings->pages.is == STORE_CUT_OFF;
}

static void format_time(uint64_t ms, char text[32])
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm parts;
    if (!gmtime_r(&seconds, &parts) || strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
        snprintf(text, 32, "%s", "?");
}

/* --- for people ------------------------------------------------------------------------------- */

static void print_totals(const struct store_findings *findings)
{
    struct store_totals totals = store_totals_read(findings, NULL, NULL);
    if (!totals.known) {
        printf("  counts            there are none\n");
        return;
    }
    printf("  counts            accepted %" PRIu64 " %s confirmed %" PRIu64 " + pending %" PRIu64
           " + dropped %" PRIu64 "%s\n",
           totals.accepted, totals.balanced ? "=" : "is not", totals.confirmed, findings->messages,
           totals.dropped,
           totals.balanced ? "" : "; the server goes on, and logs store-unbalanced");
}

static void print_text(const struct store_findings *findings)
{
    char last[32] = "never";
    if (findings->was_used)
        format_time(findings->alive_ms, last);
    printf("  sessions          %" PRIu64, findings->sessions);
    if (findings->adopted > 0)
        printf(", %" PRIu64 " of them with a mailbox on another host", findings->adopted);
    printf("\n  waiting messages  %" PRIu64 ", of %" PRIu64 " bytes\n", findings->messages,
           findings->message_bytes);
    printf("  broadcasts        %" PRIu64
           " (each counts as a message in every mailbox it waits in)\n",
           findings->broadcasts);
    printf("  placeholders      %" PRIu64 " (IDs of dropped messages that clients are owed)\n",
           findings->owed);
    printf("  idempotency keys  %" PRIu64 "\n", findings->keys);
    printf("  receipts          %" PRIu64 "\n", findings->receipts);
    printf("  cluster ID        %s\n", *findings->cluster_id ? findings->cluster_id : "none");
    printf("  last in use       %s\n", last);
    printf("  size              %" PRIu64 " of %" PRIu64 " bytes in use\n",
           findings->used_pages * findings->page_bytes, findings->file_bytes);
    print_totals(findings);
}

/* --- for programs ----------------------------------------------------------------------------- */

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static void put_total(void *context, struct slice name, uint64_t value)
{
    char key[64];
    snprintf(key, sizeof key, "%.*s", (int)name.len, name.data);
    json_object_set_new(context, key, number(value));
}

static void put_totals(json_t *result, const struct store_findings *findings)
{
    json_t *values = json_object();
    struct store_totals totals = store_totals_read(findings, put_total, values);
    json_object_set_new(result, "totals", totals.known ? json_incref(values) : json_null());
    json_object_set_new(result, "balanced",
                        totals.known ? json_boolean(totals.balanced) : json_null());
    json_decref(values);
}

static void put_findings(json_t *result, const struct store_findings *findings)
{
    json_object_set_new(result, "sessions", number(findings->sessions));
    json_object_set_new(result, "sessionsOfOtherHosts", number(findings->adopted));
    json_object_set_new(result, "messages", number(findings->messages));
    json_object_set_new(result, "messageBytes", number(findings->message_bytes));
    json_object_set_new(result, "broadcasts", number(findings->broadcasts));
    json_object_set_new(result, "placeholders", number(findings->owed));
    json_object_set_new(result, "idempotencyKeys", number(findings->keys));
    json_object_set_new(result, "receipts", number(findings->receipts));
    json_object_set_new(result, "clusterId",
                        *findings->cluster_id ? json_string(findings->cluster_id) : json_null());
    json_object_set_new(result, "lastUsed",
                        findings->was_used ? number(findings->alive_ms) : json_null());
    json_object_set_new(result, "usedBytes", number(findings->used_pages * findings->page_bytes));
    json_object_set_new(result, "sizeBytes", number(findings->file_bytes));
    put_totals(result, findings);
}

static void put_cut_off(json_t *result, const struct store_place *place,
                        const struct store_findings *findings)
{
    json_object_set_new(result, "cutOffCommit", number(findings->pages.transaction));
    json_object_set_new(result, "why", json_string(findings->pages.why));
    json_object_set_new(result, "next", json_string(next(place, findings)));
}

static void print_json(const struct store_place *place, const struct store_findings *findings)
{
    json_t *result = json_object();
    json_t *path = json_string(place->directory.file); /* NULL when it is not UTF-8 */
    json_object_set_new(result, "file", path ? path : json_null());
    json_object_set_new(result, "sound", json_boolean(!findings->damage));
    if (findings->damage) {
        json_object_set_new(result, "why", json_string(findings->damage));
        json_object_set_new(result, "next", json_string(next(place, findings)));
    } else {
        put_findings(result, findings);
        if (is_cut_off(findings))
            put_cut_off(result, place, findings);
    }
    json_dumpf(result, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(result);
}

/* ---------------------------------------------------------------------------------------------- */

static void print_findings(const struct store_place *place, const struct store_findings *findings)
{
    const char *file = place->directory.file;
    if (findings->damage) {
        printf("%s is damaged: %s\n  what now: %s\n", file, findings->damage,
               next(place, findings));
        return;
    }
    if (is_cut_off(findings))
        printf("%s is sound, but for its last commit, %" PRIu64
               ": %s\n  what now: %s; without it:\n",
               file, findings->pages.transaction, findings->pages.why, next(place, findings));
    else
        printf("%s is sound\n", file);
    print_text(findings);
}

int store_check_command(const struct ctl_options *options)
{
    struct store_place place;
    struct store_findings findings;
    int status = store_place_find(&place, options);
    if (status == EXIT_OK)
        status = store_place_lock(&place, true);
    if (status != EXIT_OK)
        return status;
    if (store_inspect(place.directory.file, &findings) != 0) {
        status = store_place_unreadable(&place);
    } else {
        (options->json ? print_json : print_findings)(&place, &findings);
        status = findings.damage ? EXIT_DAMAGED : EXIT_OK;
    }
    store_findings_free(&findings);
    return status;
}
