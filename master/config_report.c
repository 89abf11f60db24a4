#include "master/config_report.h"

#include <string.h>

#include "base/log.h"

/* A sentence may quote what a file holds, which must not end the value of what="…". */
static void escape(const char *sentence, char *out, size_t room)
{
    size_t at = 0;
    for (; *sentence && at + 2 < room; sentence++) {
        if (*sentence == '"' || *sentence == '\\')
            out[at++] = '\\';
        out[at++] = *sentence;
    }
    out[at] = '\0';
}

void config_report_diagnostics(const struct diagnostics *diagnostics)
{
    for (size_t i = 0; i < diagnostics->count; i++) {
        const struct diagnostic *one = &diagnostics->items[i];
        char what[1024];
        escape(one->sentence, what, sizeof what);
        log_event(one->severity == DIAGNOSTIC_ERROR ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING,
                  "configuration", "at=%s:%u:%u what=\"%s\"", one->file ? one->file : "", one->line,
                  one->column, what);
    }
}

/* Appends the value as a string. */
static bool print_value(const struct settings *settings, const struct setting_row *row,
                        struct buffer *out)
{
    return setting_print(settings, row, out) == 0 && buffer_append(out, "", 1) == 0;
}

static bool differs(const struct settings *a, const struct settings *b,
                    const struct setting_row *row)
{
    struct buffer text_a = {0}, text_b = {0};
    bool result = print_value(a, row, &text_a) && print_value(b, row, &text_b) &&
                  strcmp(buffer_bytes(&text_a), buffer_bytes(&text_b)) != 0;
    buffer_free(&text_a);
    buffer_free(&text_b);
    return result;
}

static void report_differences(const struct settings *running, const struct settings *fresh)
{
    size_t changes = 0;
    for (size_t i = 0; i < SETTING_ROW_COUNT; i++) {
        const struct setting_row *row = &SETTING_ROWS[i];
        if (row->effect == EFFECT_DERIVED || !differs(running, fresh, row))
            continue;
        changes++;
        LOG_NOTICE("configuration-changed", "key=%s effect=\"after a restart\"", row->key);
    }
    LOG_NOTICE("configuration-checked", "result=valid changes=%zu%s", changes,
               changes ? " hint=\"restart msgserverd to use them\"" : "");
}

void config_report_changes(const struct config_source *source, const struct settings *running)
{
    struct settings fresh;
    struct diagnostics diagnostics = {0};
    int loaded = config_load(source, &fresh, &diagnostics);
    config_report_diagnostics(&diagnostics);
    if (loaded == 0)
        report_differences(running, &fresh);
    else
        LOG_ERROR("configuration-checked",
                  "result=wrong errors=%zu hint=\"the running configuration stays in use\"",
                  diagnostics.errors);
    settings_free(&fresh);
    diagnostics_free(&diagnostics);
}
