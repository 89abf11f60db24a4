#include "store_fixture.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "codecs/frame.h"

char fixture_directory[64], fixture_file[128], fixture_why[512];
struct settings fixture_settings;
struct store *fixture_store;
struct buffer fixture_found;
uint64_t fixture_totals;

void fixture_prepare(void)
{
    snprintf(fixture_directory, sizeof fixture_directory, "/tmp/test-store.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(fixture_directory));
    snprintf(fixture_file, sizeof fixture_file, "%s/store.mdb", fixture_directory);
    ck_assert_int_eq(settings_init(&fixture_settings), 0);
    free(fixture_settings.store_path);
    fixture_settings.store_path = strdup(fixture_directory);
    fixture_settings.store_size = 16 << 20;
    if (!getenv("SHOW_LOG"))
        log_set_levels(0);
}

int fixture_files(const char *prefix, bool away)
{
    DIR *open = opendir(fixture_directory);
    int count = 0;
    char path[512];
    for (struct dirent *entry; open && (entry = readdir(open));) {
        if (entry->d_name[0] == '.' || strncmp(entry->d_name, prefix, strlen(prefix)) != 0)
            continue;
        count++;
        snprintf(path, sizeof path, "%s/%s", fixture_directory, entry->d_name);
        if (away)
            unlink(path);
    }
    closedir(open);
    return count;
}

void fixture_finish(void)
{
    fixture_files("", true);
    rmdir(fixture_directory);
    settings_free(&fixture_settings);
    buffer_free(&fixture_found);
}

void must(bool good)
{
    if (!good) {
        fprintf(stderr, "store: a step failed: %s\n", fixture_why);
        abort();
    }
}

/* --- what a store holds, as text -------------------------------------------------------------- */

static uint64_t digest(uint64_t sum, struct slice bytes)
{
    sum = sum * 31 + bytes.len;
    for (size_t i = 0; i < bytes.len; i++)
        sum = sum * 31 + (unsigned char)bytes.data[i];
    return sum;
}

void print_session(struct buffer *out, const struct stored_session *session)
{
    const struct stored_counts *counts = &session->counts;
    buffer_printf(out, "\n%" PRIu64 " %.*s~%.*s %" PRIu64 " %" PRIu64 " %" PRIu64 "+%" PRIu64,
                  session->number, (int)session->address.len, session->address.data,
                  (int)session->home.len, session->home.data ? session->home.data : "",
                  session->ttl_ms, session->created_ms, counts->confirmed, counts->gap);
    buffer_printf(out, " %" PRIu64 "/%" PRIu64 "/%" PRIu64 ":", counts->dropped, counts->replaced,
                  counts->overflowed);
}

void print_message(struct buffer *out, const struct stored_message *message)
{
    uint64_t sum = digest(0, message->body) + message->made_ms * 7 + message->expires_ms * 11;
    sum = digest(digest(sum, message->replace_key), message->receipt);
    buffer_printf(out, " %" PRIu64 "%c%" PRIx64, message->id, message->dropped ? '-' : '=', sum);
    if (message->broadcast != 0)
        buffer_printf(out, "of%" PRIu64, message->broadcast);
}

void print_broadcast(struct buffer *out, uint64_t number, const struct stored_message *message)
{
    buffer_printf(out, "\nbroadcast %" PRIu64, number);
    print_message(out, message);
}

void print_key(struct buffer *out, const struct stored_key *key)
{
    buffer_printf(out, " key%" PRIx64 "=%" PRIu64 ",%" PRIu64 ",%" PRIu32 ",%" PRIx64,
                  digest(0, key->key), key->used_ms, key->first_id, key->count, key->digest);
}

void print_receipt(struct buffer *out, const struct stored_receipt *receipt)
{
    buffer_printf(out, "\nreceipt %" PRIu64 "=%" PRIx64, receipt->number,
                  digest(0, receipt->contents));
}

static int on_broadcast(void *context, uint64_t number, const struct stored_message *message)
{
    print_broadcast(context, number, message);
    return 0;
}

static int on_session(void *context, const struct stored_session *session)
{
    print_session(context, session);
    return 0;
}

static int on_message(void *context, const struct stored_message *message)
{
    print_message(context, message);
    return 0;
}

static int on_key(void *context, const struct stored_key *key)
{
    print_key(context, key);
    return 0;
}

static int on_receipt(void *context, const struct stored_receipt *receipt)
{
    print_receipt(context, receipt);
    return 0;
}

static int on_state(void *context, struct slice totals, uint64_t alive_ms)
{
    (void)context;
    struct frame_reader reader = reader_of(totals);
    fixture_totals = get_u64(&reader);
    must(reader_finish(&reader) == 0);
    must(alive_ms <= clock_wall_ms() + 1000);
    return 0;
}

void commit(uint64_t totals)
{
    struct buffer text = {0};
    put_u64(&text, totals);
    must(STORE_LMDB.end_batch(fixture_store, buffer_slice(&text)) == 0);
    buffer_free(&text);
}

void open_store_as(struct slice host)
{
    static const struct store_reader READER = {.on_broadcast = on_broadcast,
                                               .on_receipt = on_receipt,
                                               .on_session = on_session,
                                               .on_message = on_message,
                                               .on_key = on_key,
                                               .on_state = on_state};
    buffer_free(&fixture_found);
    fixture_totals = 0;
    fixture_store = STORE_LMDB.open(&fixture_settings, fixture_why, sizeof fixture_why);
    must(fixture_store != NULL);
    must(STORE_LMDB.recover(fixture_store, host, &READER, &fixture_found, fixture_why,
                            sizeof fixture_why) == 0);
}

void open_store(void)
{
    open_store_as(HOST);
}

void close_store(void)
{
    STORE_LMDB.close(fixture_store);
    fixture_store = NULL;
}
